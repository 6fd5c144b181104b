//! `token`: a fresh access token on stdout.

use authkeeper::{
    model::ConnectionName,
    runtime::{IssuedToken, TokenRequest},
};
use serde_json::json;

use super::trouble;
use crate::{app::App, args::TokenArgs, failure::Failure};

pub(crate) async fn token(app: &App, args: TokenArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let request = TokenRequest::new(name.clone()).min_ttl(args.min_ttl);
    let answer = app.runtime.access_token(&request).await;
    if let Ok(token) = &answer {
        print(app, &name, token);
    }
    // A refresh that was started behind the caller's back is finished before this process ends.
    app.drain().await;
    trouble::report(app, &name, answer.as_ref().err()).await;
    answer.map(drop).map_err(Failure::from)
}

#[expect(
    clippy::disallowed_methods,
    reason = "printing the access token is what this command is for"
)]
fn print(app: &App, name: &ConnectionName, token: &IssuedToken) {
    if !app.output.json {
        if !token.min_ttl_met {
            app.output.say(
                "the provider gives no token that lives that long; this is the longest there is",
            );
        }
        app.output.data(token.secret.expose());
        return;
    }
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
        "min_ttl_met": token.min_ttl_met,
    }));
}
