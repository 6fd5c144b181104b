//! `connect`, `reauthorize`, `disconnect`.

use std::path::Path;

use authkeeper::{
    http::HttpUrl,
    model::{ClientId, ConnectionName, Issuer, PrincipalId, Resource, Scope},
    oauth::{register::GivenClient, revoke::Revocation},
    secret::SecretString,
    signin::{ConnectRequest, Invitation},
};
use serde_json::json;

use super::status;
use crate::{
    app::App,
    args::{ConnectArgs, ReauthorizeArgs},
    browser,
    exit::Exit,
    failure::Failure,
    output::{Output, Paint, span},
};

pub(crate) async fn connect(app: &App, args: ConnectArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let mut request = ConnectRequest::new(name.clone(), HttpUrl::parse(&args.url)?);
    request.principal = PrincipalId::new(args.principal);
    request.issuer = args.issuer.map(Issuer::new);
    request.resource = args.resource.map(Resource::new);
    request.scope = args.scope.map(Scope::new).filter(|scope| !scope.is_empty());
    let secret = args
        .client_secret_file
        .as_deref()
        .map(read_secret)
        .transpose()?;
    let metadata_url = args
        .client_metadata_url
        .or_else(|| app.settings.client_metadata_url.clone());
    request.client = GivenClient {
        client_id: args.client_id.map(ClientId::new),
        client_secret: secret,
        metadata_url,
    };
    request.callback_port = args.sign_in.callback_port;
    request.patience = args.sign_in.timeout;
    app.runtime
        .connect(request, |invitation| invite(app, invitation))
        .await?;
    signed_in(app, &name).await
}

pub(crate) async fn reauthorize(app: &App, args: ReauthorizeArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let (port, patience) = (args.sign_in.callback_port, args.sign_in.timeout);
    let show = |invitation: &Invitation| invite(app, invitation);
    app.runtime.reauthorize(&name, port, patience, show).await?;
    signed_in(app, &name).await
}

pub(crate) async fn disconnect(app: &App, name: &str) -> Result<(), Failure> {
    let name = ConnectionName::parse(name)?;
    let revocation = app.runtime.disconnect(&name).await?;
    let (word, said) = match revocation {
        Revocation::Done => ("done", "revoked at the provider".to_owned()),
        Revocation::Failed(why) => {
            let what = format!(
                "{name} is unusable here, but the provider did not confirm the revocation: {why}"
            );
            let next = format!(
                "authkeeper disconnect {name} tries again; or revoke it at the provider by hand"
            );
            return Err(Failure::new(Exit::Unavailable, what, next));
        }
        _ => (
            "not_offered",
            "the provider offers no revocation; remove the access there by hand".to_owned(),
        ),
    };
    if app.output.json {
        app.output
            .data_json(&json!({"connection": name.as_str(), "revocation": word, "detail": said}));
    } else {
        app.output.say(&format!(
            "{name} is disconnected and forgotten here: {said}"
        ));
    }
    Ok(())
}

/// The URL holds this sign-in's `state`, so it is shown on the terminal and nowhere else.
#[expect(
    clippy::disallowed_methods,
    reason = "the person who signs in must see where to go"
)]
fn invite(app: &App, invitation: &Invitation) {
    let url = invitation.url.expose();
    let opened = browser::open(&app.environment, url);
    let what = if opened {
        "A browser opens. If it does not, open:"
    } else {
        "Open in a browser on this machine:"
    };
    let output: Output = app.output;
    output.say(&format!(
        "Sign in at {}",
        output.paint_err(Paint::Strong, invitation.issuer.as_str())
    ));
    output.say(&format!("{what}\n\n  {url}\n"));
    let seconds = invitation.patience.as_secs();
    output.say(&output.paint_err(Paint::Dim, &format!("Waiting up to {} …", span(seconds))));
}

async fn signed_in(app: &App, name: &ConnectionName) -> Result<(), Failure> {
    let status = app.runtime.status(name).await?;
    if app.output.json {
        app.output.data_json(&status::json(&status));
        return Ok(());
    }
    let good = app.output.paint_err(Paint::Good, "connected");
    let left = span(status.left.as_secs());
    app.output.say(&format!(
        "{name} is {good}: access for {left}, refreshed ahead of time from here on."
    ));
    if !status.refreshable {
        let warn = app.output.paint_err(Paint::Warn, "warning:");
        app.output.say(&format!(
            "{warn} the provider gave no refresh token, so a person is needed again in {left}. \
             Ask for one with --scope (often offline_access)."
        ));
    }
    Ok(())
}

fn read_secret(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("{} can't be read: {error}", path.display());
        Failure::new(
            Exit::Data,
            what,
            "put the client secret alone into that file",
        )
    })?;
    let secret = text.trim();
    if secret.is_empty() || secret.contains('\n') {
        let what = format!("{} does not hold one client secret", path.display());
        return Err(Failure::new(
            Exit::Data,
            what,
            "put the client secret alone into that file",
        ));
    }
    Ok(secret.to_owned().into())
}
