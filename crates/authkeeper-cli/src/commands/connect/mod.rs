//! `connect`, `reauthorize`, `disconnect`.

mod assertion_flags;
mod certificate_flags;
mod interrupted;
mod person;
mod proof;
mod resolve;
mod typed;

use authkeeper::{
    model::{ConnectionName, GrantType, RegistrationSource, Renewal},
    oauth::revoke::Revocation,
    runtime::ConnectionStatus,
    signin::{Again, ConnectRequest, SignInMethod},
};
use authkeeper_gateway::signin_link::{extra_parameters, needs_sign_in};
use serde_json::json;

pub(crate) use self::interrupted::say_interrupted;
pub(super) use self::resolve::{given_client, request, rotate_by};
use self::{person::Terminal, proof::Proof};
use super::{check, status};
use crate::{
    app::App,
    args::{ConnectArgs, ReauthorizeArgs, SignInArgs},
    exit::Exit,
    failure::Failure,
    output::{Paint, day, span},
    sign_in_progress::SignInProgress,
};

pub(crate) async fn connect(app: &App, args: ConnectArgs) -> Result<(), Failure> {
    let no_check = args.sign_in.no_check;
    let request = request(app, args).await?;
    let name = request.name.clone();
    sign_in(app, request).await?;
    signed_in(app, &name, Proof::of(app, &name, no_check).await).await
}

/// Signs in as it was asked for, and keeps what comes of it.
pub(super) async fn sign_in(app: &App, request: ConnectRequest) -> Result<(), Failure> {
    let name = request.name.clone();
    app.signing_in(SignInProgress::begin(&app.runtime, &name).await);
    let given = request.client.client_id.is_some();
    let person = Terminal::new(app, given);
    let connected = app.runtime.connect(request, &person).await;
    connected
        .map(drop)
        .map_err(|error| Failure::of_sign_in(error, given))
}

/// One connection, or every one that needs it. The exit code is the gravest failure's.
pub(crate) async fn reauthorize(app: &App, args: ReauthorizeArgs) -> Result<u8, Failure> {
    if let Some(name) = &args.name {
        let name = ConnectionName::parse(name)?;
        return reauthorize_one(app, &args, name).await.map(|()| 0);
    }
    let all = app.runtime.statuses().await?;
    let names: Vec<_> = all
        .into_iter()
        .filter(needs_sign_in)
        .map(|status| status.connection.name)
        .collect();
    if names.is_empty() {
        app.output.say("No connection needs a sign-in.");
    }
    let mut worst: Option<Exit> = None;
    for name in names {
        if let Err(failure) = reauthorize_one(app, &args, name).await {
            app.output.failure(&failure);
            let exits = worst.into_iter().chain([failure.exit]);
            worst = exits.max_by_key(|exit| exit.gravity());
        }
    }
    Ok(worst.map_or(0, Exit::code))
}

async fn reauthorize_one(
    app: &App,
    args: &ReauthorizeArgs,
    name: ConnectionName,
) -> Result<(), Failure> {
    let way = way(&args.sign_in);
    let mut again = Again::new(args.sign_in.patience(way.as_ref()));
    again.way = way;
    again.extra = extra_parameters(&app.runtime, &name).await?;
    again.callback_port = args.sign_in.callback_port;
    again.requests = typed::requests(&args.request)?;
    again.scope = args.scope.as_deref().and_then(typed::scope);
    app.signing_in(SignInProgress::begin(&app.runtime, &name).await);
    let connection = app.runtime.status(&name).await?.connection;
    let client = app.runtime.inspect(&name).await?.client;
    let given = client.is_some_and(|client| client.source == RegistrationSource::Given);
    let person = Terminal::new(app, given);
    let before = connection.issuer;
    let done = app.runtime.reauthorize(&name, again, &person).await;
    done.map_err(|error| Failure::of_sign_in(error, given).again(&name, &connection.url))?;
    let issuer = app.runtime.status(&name).await?.connection.issuer;
    if issuer != before {
        app.output.say(&format!(
            "{name}'s authorization server is now {issuer} (it was {before}), as the server names it."
        ));
    }
    let proof = Proof::of(app, &name, args.sign_in.no_check).await;
    signed_in(app, &name, proof).await
}

/// The way that was chosen, if one was.
fn way(args: &SignInArgs) -> Option<SignInMethod> {
    if args.device {
        Some(SignInMethod::Device)
    } else {
        args.headless.then_some(SignInMethod::Headless)
    }
}

pub(crate) async fn disconnect(app: &App, name: &str, forget: bool) -> Result<(), Failure> {
    let name = ConnectionName::parse(name)?;
    let left = status::what_is_left(&app.runtime.status(&name).await?);
    let revocation = app.runtime.disconnect(&name).await?;
    let (word, said) = match revocation {
        Revocation::Done => ("done", "revoked at the provider".to_owned()),
        Revocation::Refused(why) => (
            "refused",
            format!(
                "the provider revokes nothing for this client: {why}. {left}: remove the access there by hand"
            ),
        ),
        Revocation::Failed(why) if forget => {
            app.runtime.forget(&name).await?;
            let said = format!(
                "the provider did not confirm a revocation: {why}. {left}: revoke it there by hand"
            );
            ("failed", said)
        }
        Revocation::Failed(why) => {
            let what = format!(
                "{name} is unusable here, but the provider did not confirm the revocation: {why}. {left}"
            );
            let next = format!(
                "authkeeper disconnect {name} tries again; with --forget it is forgotten here all the same, and is to \
                 be revoked at the provider by hand"
            );
            return Err(Failure::new(Exit::Unavailable, what, next));
        }
        Revocation::Shared(others) => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            let others = others.join(" and ");
            (
                "shared",
                format!("its grant is not revoked, for {others} lives on it"),
            )
        }
        _ => (
            "not_offered",
            format!("the provider offers no revocation. {left}: remove the access there by hand"),
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

/// What a person wants to know once an import is done.
pub(super) async fn imported(app: &App, name: &ConnectionName) -> Result<(), Failure> {
    signed_in(app, name, Proof::Skipped).await
}

/// What a person wants to know once a connection stands.
async fn signed_in(app: &App, name: &ConnectionName, proof: Proof) -> Result<(), Failure> {
    let status = app.runtime.status(name).await?;
    if app.output.json {
        let mut shown = status::json(&status);
        shown["check"] = proof.json(name);
        app.output.data_json(&shown);
        return proof.verdict(name);
    }
    warn_of_secrets(app, name).await?;
    if matches!(proof, Proof::Refused(_)) {
        return proof.verdict(name);
    }
    let good = app.output.paint_err(Paint::Good, "connected");
    app.output
        .say(&format!("{name} is {good}{}", stands(&status)));
    say_acting_as(app, &status);
    say_proof(app, name, &proof);
    if !status.refreshable && !status.grant_type.is_some_and(GrantType::is_key) {
        let warn = app.output.paint_err(Paint::Warn, "warning:");
        let scope = app.runtime.inspect(name).await?.refresh_scope();
        app.output.say(&format!(
            "{warn} the provider gave no refresh token, so a person is needed again in {}; {}.",
            span(status.left.as_secs()),
            ask_for_refresh(name.as_str(), scope.as_deref())
        ));
    }
    Ok(())
}

/// How long it is good.
fn stands(status: &ConnectionStatus) -> String {
    let is_key = status.grant_type.is_some_and(GrantType::is_key);
    match (is_key, status.rotate_by) {
        (true, Some(by)) => {
            format!(". Its key should be replaced by {}.", day(by))
        }
        (true, None) => ". Its key has no rotation date (--rotate-by sets one).".to_owned(),
        (false, _) => format!(
            ": access for {}, refreshed ahead of time from here on.",
            span(status.left.as_secs())
        ),
    }
}

/// In whose name it acts, where that is not the person's who signed in.
fn say_acting_as(app: &App, status: &ConnectionStatus) {
    let id = &status.connection.client_id;
    match status.grant_type.map(GrantType::renewal) {
        Some(Renewal::ClientItself) => app
            .output
            .say(&format!("It acts as client {id} itself; nobody signs in.")),
        Some(Renewal::AssertionFile) => app
            .output
            .say("It acts by its platform's word; the file is read again at each renewal."),
        Some(Renewal::IdentityProvider) => app
            .output
            .say("It acts by the identity provider's word for the person; nobody signs in here."),
        Some(Renewal::RefreshToken | Renewal::ByHand) | None => {}
    }
}

fn say_proof(app: &App, name: &ConnectionName, proof: &Proof) {
    let next = app.output.paint_err(Paint::Strong, "next:");
    match proof {
        Proof::Proven(checked) => app.output.say(&check::sentence(name, checked)),
        Proof::Unproven(failure) => {
            let warn = app.output.paint_err(Paint::Warn, "warning:");
            app.output.say(&format!(
                "{warn} whether its server accepts it is not known: {}",
                failure.what
            ));
            app.output
                .say(&format!("  {next} authkeeper check {name} tries again"));
        }
        Proof::Skipped => app.output.say(&format!(
            "  {next} authkeeper check {name} shows whether its server accepts it"
        )),
        Proof::Refused(_) => {}
    }
}

/// How a refresh token is asked for. A scope is named only where the provider knows it.
pub(super) fn ask_for_refresh(name: &str, scope: Option<&str>) -> String {
    match scope {
        Some(scope) => format!("ask for one: authkeeper connect {name} … --scope '… {scope}'"),
        None => format!(
            "its metadata names no scope for one: see the provider's documentation, often it is a setting of the client, \
             then authkeeper reauthorize {name}"
        ),
    }
}

/// A secret that was refused while an older one served is found out now, and not when the older one ends.
async fn warn_of_secrets(app: &App, name: &ConnectionName) -> Result<(), Failure> {
    let Some(client) = app.runtime.inspect(name).await?.client else {
        return Ok(());
    };
    let refused = client
        .secrets
        .iter()
        .filter(|secret| secret.refused.is_some());
    let refused = refused.count();
    if refused > 0 && refused < client.secrets.len() {
        let warn = app.output.paint_err(Paint::Warn, "warning:");
        app.output.say(&format!(
            "{warn} the provider refused {refused} of the {} secrets that are kept of this client, and took another",
            client.secrets.len()
        ));
    }
    Ok(())
}
