//! `import`: a refresh token that another program was given. It is spent only once a person has confirmed that the other
//! copy is retired.

mod mcp_remote;

use authkeeper::{
    http::HttpUrl,
    model::{ConnectionName, ConnectionState, Issuer, PrincipalId, Resource, Scope, SuspendReason},
    signin::{ConnectRequest, ImportRequest},
};
use serde_json::json;

use self::mcp_remote::Stored;
use super::{
    connect::{given_client, imported},
    secret_input,
};
use crate::{
    app::App,
    args::{ImportArgs, SecretSource},
    exit::Exit,
    failure::Failure,
    output::Paint,
};

pub(crate) async fn import(app: &App, args: ImportArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let Some(url) = &args.url else {
        return confirm(app, &name, args.other_copy_retired).await;
    };
    let mut connect = ConnectRequest::new(name.clone(), HttpUrl::parse(url)?);
    connect.principal = PrincipalId::new(args.principal.clone());
    connect.issuer = args.issuer.clone().map(Issuer::new);
    connect.resource = args.resource.clone().map(Resource::new);
    connect.scope = args
        .scope
        .clone()
        .map(Scope::new)
        .filter(|scope| !scope.is_empty());
    connect.client = given_client(app, &args.client)?;
    connect
        .assertion_audience
        .clone_from(&args.client.assertion_audience);
    let mut request = if args.from_mcp_remote {
        let stored = Stored::find(app, &args, url)?;
        stored.request(connect, app.runtime.now())?
    } else {
        if connect.client.client_id.is_none() {
            let what =
                "a refresh token is spent by the client that it was given to, and none is named";
            return Err(Failure::new(Exit::Usage, what, "add --client-id ID"));
        }
        let source = SecretSource {
            file: args.refresh_token_file.as_deref(),
            stdin: args.refresh_token_stdin,
            flags: "--refresh-token-file FILE or --refresh-token-stdin",
        };
        let token = secret_input::given(app.output, "refresh token", source).await?;
        ImportRequest::new(connect, token)
    };
    request.token_url = args.token_url;
    request.sole_copy = args.other_copy_retired;
    app.runtime.import(request).await?;
    if args.other_copy_retired {
        return prove(app, &name).await;
    }
    let status = app.runtime.status(&name).await?;
    let waits = matches!(
        status.state,
        ConnectionState::Suspended {
            reason: SuspendReason::SecondCopy,
            ..
        }
    );
    if app.output.json {
        let reason = waits.then_some("second_copy");
        app.output.data_json(&json!({
            "connection": name.as_str(), "state": status.state.as_str(), "reason": reason
        }));
        return Ok(());
    }
    if !waits {
        app.output.say(&format!(
            "{name} lives on the grant that holds this refresh token already; authkeeper status {name} shows how it stands."
        ));
        return Ok(());
    }
    let kept = app.output.paint_err(Paint::Warn, "kept, not used yet");
    let issuer = status.connection.issuer;
    app.output.say(&format!(
        "{name} is {kept}: it will be refreshed at {issuer}, and two programs that spend one refresh token can cost the whole grant."
    ));
    app.output.say(&format!(
        "  {} end the program that used it, delete its copy, then: authkeeper import {name} --other-copy-retired",
        app.output.paint_err(Paint::Strong, "next:")
    ));
    Ok(())
}

async fn confirm(app: &App, name: &ConnectionName, retired: bool) -> Result<(), Failure> {
    if !retired {
        let what = format!("import {name} needs to know what to import");
        let next = "give the URL and where the refresh token is; or confirm an import with --other-copy-retired";
        return Err(Failure::new(Exit::Usage, what, next));
    }
    if !app.runtime.confirm_sole_copy(name).await? {
        app.output.say(&format!(
            "{name} did not wait for that: it is in use already."
        ));
    }
    prove(app, name).await
}

/// Refreshes an imported grant once, so that a bad one fails while its owner is present.
async fn prove(app: &App, name: &ConnectionName) -> Result<(), Failure> {
    app.runtime.prove(name).await?;
    imported(app, name).await
}
