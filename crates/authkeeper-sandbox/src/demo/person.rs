//! The person who signs in: opens the sign-in page, allows it, and follows the redirect.

use http::{StatusCode, header};

use super::http::LoopbackClient;

/// Why the stand-in for a person could not sign in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignInError(String);

/// Signs alice in at a sandbox's sign-in page, as a person with a browser does.
///
/// # Errors
///
/// The page can't be reached, has no form, or does not lead back to the program that signs in.
pub async fn sign_in(url: &str) -> Result<(), SignInError> {
    visit(url).await.map_err(SignInError)
}

async fn visit(url: &str) -> Result<(), String> {
    let http = LoopbackClient::new();
    let page = http.get(url).await?;
    let text = String::from_utf8_lossy(&page.body);
    let form = form_of(&text).ok_or("the sign-in page has no form")?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let place = rest.split('/').next().unwrap_or_default();
    let there = format!("{scheme}://{place}{form}");
    let answer = http.post_form(&there, "user=alice&decision=allow").await?;
    if !answer.status.is_redirection() {
        return Err(format!("the sign-in page answered {}", answer.status));
    }
    let back = answer.headers.get(header::LOCATION);
    let back = back.and_then(|to| to.to_str().ok());
    let done = http
        .get(back.ok_or("the sign-in page leads nowhere")?)
        .await?;
    match done.status {
        StatusCode::OK => Ok(()),
        status => Err(format!("the program that signs in answered {status}")),
    }
}

/// Where the page's form is sent.
fn form_of(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<form action=\"")?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_found() {
        let page = r#"<p>x</p><form action="/authorize/abc" method="post">"#;
        assert_eq!(form_of(page), Some("/authorize/abc"));
        assert_eq!(form_of("<p>no form</p>"), None);
    }
}
