//! How our client proves who it is (RFC 6749 §2.3).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    http::Request,
    model::{ClientAuthMethod, ClientRegistration},
};

/// A form `POST` to an endpoint that our client authenticates at. `fields` are sent in order.
pub(crate) fn authenticated_form<'a>(
    registration: &'a ClientRegistration,
    mut fields: Vec<(&'a str, &'a str)>,
) -> Request {
    let mut headers = form_headers();
    let client_id = registration.client_id.as_str();
    let secret = registration.client_secret.as_ref();
    #[expect(
        clippy::disallowed_methods,
        reason = "the client secret is sent to its issuer"
    )]
    match (registration.auth_method, secret) {
        (ClientAuthMethod::Basic, Some(secret)) => {
            headers.insert(header::AUTHORIZATION, basic(client_id, secret.expose()));
        }
        (ClientAuthMethod::Post, Some(secret)) => {
            fields.push(("client_id", client_id));
            fields.push(("client_secret", secret.expose()));
        }
        _ => fields.push(("client_id", client_id)),
    }
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    Request {
        method: http::Method::POST,
        headers,
        body: body.into(),
    }
}

fn form_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

/// RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClientId, Issuer, RegistrationSource};

    fn registration(auth_method: ClientAuthMethod) -> ClientRegistration {
        ClientRegistration {
            issuer: Issuer::new("https://as.example"),
            client_id: ClientId::new("a:b"),
            client_secret: Some("p q&r".to_owned().into()),
            auth_method,
            redirect_uris: vec![],
            source: RegistrationSource::Given,
        }
    }

    #[test]
    fn each_method_puts_the_secret_where_it_belongs_and_nowhere_else() {
        let basic = authenticated_form(&registration(ClientAuthMethod::Basic), vec![("x", "1")]);
        assert_eq!(
            basic.headers[header::AUTHORIZATION],
            format!("Basic {}", STANDARD.encode("a%3Ab:p+q%26r"))
        );
        assert_eq!(&basic.body[..], b"x=1");
        let post = authenticated_form(&registration(ClientAuthMethod::Post), vec![]);
        assert_eq!(&post.body[..], b"client_id=a%3Ab&client_secret=p+q%26r");
        assert!(!post.headers.contains_key(header::AUTHORIZATION));
        let none = authenticated_form(&registration(ClientAuthMethod::None), vec![]);
        assert_eq!(&none.body[..], b"client_id=a%3Ab");
    }
}
