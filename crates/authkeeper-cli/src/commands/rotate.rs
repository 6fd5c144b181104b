//! `rotate`: a new API key or client secret in the place of the current one, with an overlap.

use authkeeper::{
    model::{ClientSecret, ConnectionName, RegistrationSource},
    signin::{ConnectError, Rotation},
};
use serde_json::json;

use super::{connect::rotate_by, secret_input};
use crate::{
    app::App,
    args::RotateArgs,
    failure::Failure,
    output::{Paint, count, minute},
};

pub(crate) async fn rotate(app: &App, args: RotateArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    match &args.client_secret_file {
        Some(path) => {
            let secret = secret_input::one_line_of(path, "client secret")?;
            rotate_secret(app, &name, ClientSecret::new(secret)).await
        }
        None => rotate_key(app, &name, &args).await,
    }
}

async fn rotate_key(app: &App, name: &ConnectionName, args: &RotateArgs) -> Result<(), Failure> {
    let now = app.runtime.now();
    let by = rotate_by(&args.key, now)?;
    // Nobody is asked for a key that could not be kept.
    let status = app.runtime.status(name).await?;
    if let Some(other) = status.grant_type.filter(|kind| !kind.is_key()) {
        let (name, grant_type) = (name.clone(), other.as_str());
        return Err(ConnectError::NoKey { name, grant_type }.into());
    }
    let key = secret_input::given(app.output, "API key", args.key.source()).await?;
    let until = now.saturating_add(args.overlap).unwrap_or(now);
    let rotation = Rotation::new(key, by, until);
    let grant = app.runtime.rotate_key(name, rotation).await?;
    if app.output.json {
        app.output.data_json(&json!({
            "connection": name.as_str(), "generation": grant.generation.0, "rotate_by": by, "overlap_until": until,
        }));
        return Ok(());
    }
    let good = app.output.paint_err(Paint::Good, "in use");
    let overlap = if args.overlap.is_zero() {
        "The old one is not kept.".to_owned()
    } else {
        format!(
            "Leave the old one valid at the provider until {}: it serves again if the new one is refused.",
            minute(until)
        )
    };
    app.output
        .say(&format!("The new key of {name} is {good}. {overlap}"));
    if by.is_none() {
        app.output
            .say("It has no rotation date, so nobody will be told ahead (--rotate-by sets one).");
    }
    app.output.say(&format!(
        "  {} authkeeper check {name}, then retire the old key at the provider",
        app.output.paint_err(Paint::Strong, "next:")
    ));
    Ok(())
}

/// The new secret is tried first from now on; the ones before it stay behind it.
async fn rotate_secret(
    app: &App,
    name: &ConnectionName,
    secret: ClientSecret,
) -> Result<(), Failure> {
    let client = app.runtime.replace_client_secret(name, secret).await?;
    if client.source != RegistrationSource::Given {
        app.output.say(&format!(
            "warning: client {} registered itself; a new sign-in may register it again",
            client.client_id
        ));
    }
    if app.output.json {
        app.output.data_json(&json!({
            "connection": name.as_str(), "client_id": client.client_id.as_str(), "secrets": client.secrets.len(),
        }));
        return Ok(());
    }
    app.output.say(&format!(
        "The new secret of client {} is tried first from now on, and {} behind it if it is refused.",
        client.client_id,
        count(client.secrets.len().saturating_sub(1), "older one")
    ));
    Ok(())
}
