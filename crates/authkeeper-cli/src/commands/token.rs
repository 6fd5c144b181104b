//! `token`: a fresh access token on stdout.

use std::time::Duration;

use authkeeper::{
    http::HttpUrl,
    model::ConnectionName,
    oauth::dpop::Binding,
    refresh::decide::Shortfall,
    runtime::{IssuedToken, TokenRequest},
};
use http::Method;
use serde_json::json;

use super::incident;
use crate::{app::App, args::TokenArgs, exit::Exit, failure::Failure, output::span};

pub(crate) async fn token(app: &App, args: TokenArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let request = TokenRequest::new(name.clone()).min_ttl(args.min_ttl);
    let answer = app.runtime.access_token(&request).await;
    let printed = match &answer {
        Ok(token) => match shortfall(app, &name, token, &args) {
            Some(short) if args.require_ttl => Err(short),
            short => {
                if let Some(short) = short {
                    app.output.say(&format!("authkeeper: {}", short.what));
                }
                print(app, &name, (token, args.proof.as_deref()))
            }
        },
        Err(_) => Ok(()),
    };
    // A refresh that was started behind the caller's back is finished before this process ends.
    app.drain().await;
    incident::report(app, &name, answer.as_ref().err()).await;
    match answer {
        Ok(_) => printed,
        Err(error) => Err(app.with_health(&name, error.into()).await),
    }
}

/// That a token lives shorter than was asked for, why, and what helps.
fn shortfall(
    app: &App,
    name: &ConnectionName,
    token: &IssuedToken,
    args: &TokenArgs,
) -> Option<Failure> {
    let (why, wanted) = (token.shortfall.as_deref()?, args.min_ttl?);
    let left = token.expires_at?.duration_since(app.runtime.now());
    let left = Duration::try_from(left).unwrap_or_default();
    Some(too_short(name, why, (left, wanted)))
}

fn too_short(
    name: &ConnectionName,
    why: &Shortfall,
    (left, wanted): (Duration, Duration),
) -> Failure {
    let what = format!(
        "the token of {name} lives {} more, not {}: {why}",
        span(left.as_secs()),
        span(wanted.as_secs())
    );
    let next = match why {
        Shortfall::GrantOver | Shortfall::NoRefresh => format!("authkeeper reauthorize {name}"),
        Shortfall::NeverSoLong { .. } | Shortfall::JustIssued => {
            "ask for less with --min-ttl".to_owned()
        }
        _ => format!("try again later; authkeeper why {name} says more"),
    };
    Failure::new(Exit::Unavailable, what, next)
}

/// A bound token alone is good for nothing: who is handed it would only be refused, and would not know why.
fn bound(name: &ConnectionName) -> Failure {
    let what = format!("the token of {name} is bound to a key (DPoP): alone it is refused");
    let next = format!(
        "let authkeeper show it: authkeeper run --with {name} or authkeeper mcp {name}; or ask for one request's proof \
         with --json --proof \"METHOD URL\""
    );
    Failure::new(Exit::Usage, what, next)
}

/// The proof for one request to the server that the token is for.
fn proof(token: &IssuedToken, asked: Option<&str>) -> Result<Option<String>, Failure> {
    let (Some(binding), Some(asked)) = (&token.binding, asked) else {
        return Ok(None);
    };
    let wrong = |what: &str| {
        let said = format!("--proof {asked:?} {what}");
        Failure::new(
            Exit::Usage,
            said,
            "write it as --proof \"POST https://mcp.example/mcp\"",
        )
    };
    let (method, url) = asked
        .split_once(' ')
        .ok_or_else(|| wrong("names no method and URL"))?;
    let method = Method::from_bytes(method.as_bytes());
    let method = method.map_err(|_no_method| wrong("names no method"))?;
    let (url, own) = (HttpUrl::parse(url.trim())?, HttpUrl::parse(&token.url)?);
    if !url.same_origin(&own) {
        return Err(wrong("is not on the server that the token is for"));
    }
    let proof = binding.proof(&method, url.uri(), Some(&token.secret));
    let proof = proof.map_err(|unusable| Failure::new(Exit::Config, unusable.to_string(), ""))?;
    Ok(proof.to_str().ok().map(str::to_owned))
}

#[expect(
    clippy::disallowed_methods,
    reason = "printing the access token is what this command is for"
)]
fn print(
    app: &App,
    name: &ConnectionName,
    (token, asked): (&IssuedToken, Option<&str>),
) -> Result<(), Failure> {
    if !app.output.json {
        if token.binding.is_some() {
            return Err(bound(name));
        }
        app.output.data(token.secret.expose());
        return Ok(());
    }
    let proof = proof(token, asked)?;
    app.output.data_json(&json!({
        "access_token": token.secret.expose(),
        "token_type": token.presentation.prefix().trim(),
        "header": token.presentation.header(),
        "connection": name.as_str(),
        "generation": token.generation.0,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "scope": token.scope.as_ref().map(authkeeper::model::Scope::as_str),
        "resource": token.resource.as_ref().map(authkeeper::model::Resource::as_str),
        "min_ttl_met": token.min_ttl_met(),
        "min_ttl_missed": token.shortfall.as_deref().map(Shortfall::as_str),
        "bound_to": token.binding.as_ref().map(Binding::thumbprint),
        "proof": proof,
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_too_short_is_told_with_its_cause_and_what_helps() {
        let name = ConnectionName::parse("api").unwrap();
        let times = (Duration::from_mins(4), Duration::from_mins(10));
        let why = "the provider can't be asked right now: 503".to_owned();
        for (why, said, next) in [
            (
                Shortfall::RefreshFailed { why },
                "could not be refreshed: the provider can't be asked right now: 503",
                "authkeeper why api",
            ),
            (
                Shortfall::GrantOver,
                "its grant is over",
                "authkeeper reauthorize api",
            ),
            (
                Shortfall::NoRefresh,
                "nothing refreshes it",
                "authkeeper reauthorize api",
            ),
            (
                Shortfall::JustIssued,
                "a moment ago",
                "ask for less with --min-ttl",
            ),
        ] {
            let failure = too_short(&name, &why, times);
            assert_eq!(failure.exit, Exit::Unavailable);
            let start = "the token of api lives 4 min more, not 10 min: ";
            assert!(failure.what.starts_with(start), "{}", failure.what);
            assert!(failure.what.contains(said), "{}", failure.what);
            assert!(failure.next.contains(next), "{}", failure.next);
        }
    }
}
