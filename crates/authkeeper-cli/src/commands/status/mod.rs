//! `status`: what is connected, how long it is good, and what needs a person.

mod monitor;
mod table;

use authkeeper::{
    model::{
        ConnectionName, ConnectionState, Event, GrantType, HealthCause, HealthState,
        ReauthorizeReason, SuspendReason, WhoseMove,
    },
    runtime::ConnectionStatus,
};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::monitor::unknown;
use super::{
    client_certificate::{self, Standing},
    lost_answer::Outlook,
};
use crate::{
    app::App,
    args::StatusArgs,
    failure::Failure,
    output::{Paint, day, span},
};

/// Shows how connections stand. The exit code is 0 whatever that is, unless a monitor asks.
pub(crate) async fn status(app: &App, args: StatusArgs) -> Result<u8, Failure> {
    let statuses = match &args.name {
        Some(name) => vec![app.runtime.status(&ConnectionName::parse(name)?).await?],
        None => app.runtime.statuses().await?,
    };
    let healths = || {
        let all = statuses.iter();
        all.map(|status| (&status.connection.name, &status.health))
    };
    if args.nagios {
        let (code, line) = monitor::plugin_line(healths());
        app.output.data(&line);
        return Ok(code);
    }
    show(app, &statuses);
    if args.check {
        monitor::verdict(healths())?;
    }
    Ok(0)
}

fn show(app: &App, statuses: &[ConnectionStatus]) {
    if app.output.json {
        let all = statuses.iter().map(|status| {
            let mut shown = json(status);
            shown["link"] = app.link_for(status).into();
            shown
        });
        return app.output.data_json(&Value::Array(all.collect()));
    }
    if statuses.is_empty() {
        return app.say_nothing_connected();
    }
    let rows = statuses.iter().map(|status| (row(status), colour(status)));
    for line in table::lines(app.output, rows.collect()) {
        app.output.data(&line);
    }
    for status in statuses {
        let mut lines = todo(status, app.link_for(status));
        lines.extend(certificate(status, app.runtime.now()));
        if !lines.is_empty() {
            app.output.data(&format!("\n{}", lines.join("\n")));
        }
    }
}

/// Which client certificate is shown, and what to do about one that ends.
fn certificate(status: &ConnectionStatus, now: Timestamp) -> Vec<String> {
    let Some(certificate) = &status.certificate else {
        return vec![];
    };
    let standing = Standing::of(certificate, now);
    let said = format!("{}: {}.", status.connection.name, standing.said());
    match standing {
        Standing::Good(_) => vec![said],
        Standing::Soon(_) | Standing::Bad(_) => {
            vec![said, format!("  {}", client_certificate::fix(certificate))]
        }
    }
}

/// One connection, in the shape that scripts may rely on.
pub(crate) fn json(status: &ConnectionStatus) -> Value {
    let connection = &status.connection;
    let (reason, since) = match &status.state {
        ConnectionState::ReauthorizationRequired { reason, since } => {
            (Some(reason.as_str()), Some(*since))
        }
        ConnectionState::Suspended { reason, since } => (Some(reason.as_str()), Some(*since)),
        _ => (None, None),
    };
    json!({
        "connection": connection.name.as_str(),
        "state": status.state.as_str(),
        "reason": reason,
        "since": since,
        "uncertain": status.is_uncertain(),
        "asked_again_in_seconds": status.asked_again_in.map(|wait| wait.as_secs()),
        "principal": connection.principal.as_str(),
        "url": connection.url,
        "issuer": connection.issuer.as_str(),
        "resource": connection.resource.as_ref().map(authkeeper::model::Resource::as_str),
        "scope": status.scope.as_ref().map(authkeeper::model::Scope::as_str),
        "wanted_scope": status.scope_request.as_ref().and_then(|wanted| wanted.scope.as_ref()).map(authkeeper::model::Scope::as_str),
        "lineage": status.lineage,
        "generation": status.generation,
        "expires_at": status.expires_at,
        "seconds_left": status.left.as_secs(),
        "refresh_in_seconds": status.due_in.as_secs(),
        "refreshable": status.refreshable,
        "refresh_expires_at": status.refresh_expires_at,
        "grant_type": status.grant_type.map(GrantType::as_str),
        "provider": connection.provider,
        "rotate_by": status.rotate_by,
        "overlap_until": status.standby_until,
        "client_certificate": status.certificate.as_ref().map(client_certificate::json),
        "action": action(status),
        "link": null,
        "health": status.health,
        "incidents": status.incidents.iter().map(|incident| &incident.record).collect::<Vec<_>>(),
    })
}

/// The command that a person has to run, if any.
fn action(status: &ConnectionStatus) -> Option<String> {
    let name = &status.connection.name;
    let again = to_begin_again(name.as_str(), status.grant_type);
    match status.state {
        ConnectionState::ReauthorizationRequired { reason, .. } => {
            Some(advised_by_incident(status, reason).unwrap_or(again))
        }
        ConnectionState::Suspended {
            reason: SuspendReason::OtherAccount | SuspendReason::TokenType,
            ..
        } => Some(again),
        ConnectionState::Active if key_is_refused(status) => Some(again),
        ConnectionState::Active if status.health.needs_attention() => status.health.action.clone(),
        ConnectionState::Active if status.scope_request.is_some() => Some(again),
        ConnectionState::Revoked => Some(format!("authkeeper disconnect {name}")),
        ConnectionState::Suspended {
            reason: SuspendReason::SecondCopy,
            ..
        } => Some(format!("authkeeper import {name} --other-copy-retired")),
        _ => None,
    }
}

/// The action of the open incident with this reason. It can be more precise than signing in again: after a move to another
/// server, a client that a person gave has to be replaced.
fn advised_by_incident(status: &ConnectionStatus, reason: ReauthorizeReason) -> Option<String> {
    let mut records = status.incidents.iter().map(|incident| &incident.record);
    let told = records.find(|record| record.reason == reason.as_str());
    told.map(|record| record.action.clone())
}

/// The command that replaces an ended credential: `rotate` for a key, `reauthorize` for everything else.
pub(super) fn to_begin_again(name: &str, grant: Option<GrantType>) -> String {
    match grant {
        Some(GrantType::ApiKey) => format!("authkeeper rotate {name}"),
        _ => format!("authkeeper reauthorize {name}"),
    }
}

/// The state of a connection that is disconnected and still kept.
pub(super) const UNCONFIRMED: &str =
    "it was disconnected, but the provider did not confirm that it revoked the grant";

/// What lives on at the provider if it is not revoked, and until when.
pub(super) fn what_is_left(status: &ConnectionStatus) -> String {
    let Some(grant_type) = status.grant_type.filter(|kind| *kind != GrantType::ApiKey) else {
        return "What was granted stays good there".to_owned();
    };
    let access = status.expires_at.filter(|_| !status.left.is_zero());
    let access = access.map(|until| format!("the access token until {until}"));
    let refresh = match status.refresh_expires_at {
        _ if !status.refreshable || grant_type.is_issued_again() => None,
        Some(until) => Some(format!("the refresh token until {until}")),
        None => Some("the refresh token until it is revoked".to_owned()),
    };
    let left: Vec<String> = access.into_iter().chain(refresh).collect();
    if left.is_empty() {
        return "Nothing that is good is left there".to_owned();
    }
    format!("What stays good there: {}", left.join(", "))
}

fn row(status: &ConnectionStatus) -> [String; 6] {
    let key = status.grant_type == Some(GrantType::ApiKey);
    let access = if status.left.is_zero() {
        "ended".to_owned()
    } else if key {
        "does not end".to_owned()
    } else {
        format!("{} left", span(status.left.as_secs()))
    };
    let refresh = match (&status.state, status.refreshable) {
        (ConnectionState::Active, _) if key => match status.rotate_by {
            Some(by) => format!("replace by {}", day(by)),
            None => "-".to_owned(),
        },
        (ConnectionState::Active, true) if status.due_in.is_zero() => "due".to_owned(),
        (ConnectionState::Active, true) => format!("in {}", span(status.due_in.as_secs())),
        (ConnectionState::Active, false) => "needs a person".to_owned(),
        _ => "-".to_owned(),
    };
    let state = match status.health.cause {
        Some(HealthCause::Uncertain) => "uncertain",
        Some(HealthCause::ClientRefused) => "client refused",
        Some(HealthCause::RequestRefused) => "request refused",
        Some(HealthCause::TokenEndpointMoved) => "endpoint moved",
        Some(HealthCause::TokenRejected) => "token rejected",
        Some(HealthCause::ProviderUnavailable) => "provider down",
        _ if key_is_refused(status) => "key refused",
        _ => status.state.as_str(),
    };
    let connection = &status.connection;
    [
        connection.name.to_string(),
        state.to_owned(),
        access,
        refresh,
        connection.principal.to_string(),
        connection.url.clone(),
    ]
}

/// A scope that sign-ins have not granted: it has to be allowed first.
fn not_for_a_sign_in(status: &ConnectionStatus) -> Option<&str> {
    let mut records = status.incidents.iter().map(|incident| &incident.record);
    let refused = records.find(|record| record.event == Event::ScopeRequired)?;
    Some(&refused.action)
}

/// A key does not change its state by being refused: the server may take it again. Until then it is said.
fn key_is_refused(status: &ConnectionStatus) -> bool {
    let mut incidents = status.incidents.iter();
    status.grant_type == Some(GrantType::ApiKey)
        && incidents.any(|incident| incident.record.event == Event::ReauthorizationRequired)
}

fn colour(status: &ConnectionStatus) -> Paint {
    match status.health.state {
        HealthState::Ok => Paint::Good,
        HealthState::Notice | HealthState::AtRisk => Paint::Warn,
        HealthState::Off if status.state == ConnectionState::Pending => Paint::Warn,
        HealthState::Down | HealthState::Off => Paint::Bad,
    }
}

/// What the table can't say: who has to do what, and why.
fn todo(status: &ConnectionStatus, link: Option<String>) -> Vec<String> {
    let name = &status.connection.name;
    let principal = &status.connection.principal;
    let mut lines = Vec::new();
    if let ConnectionState::ReauthorizationRequired { reason, since } = &status.state {
        // What is kept quotes the provider.
        let mut told = status.incidents.iter().map(|incident| &incident.record);
        let told = told.find(|record| record.reason == reason.as_str());
        let why = told.map_or(reason.sentence(), |record| &record.detail);
        lines.push(format!("{name}: {why} (since {since})."));
    } else if let ConnectionState::Suspended { reason, since } = &status.state {
        lines.push(format!("{name}: {} (since {since}).", reason.sentence()));
    } else if let Some(detail) = &status.health.detail {
        let is_bad = status.health.state >= HealthState::AtRisk;
        let since = status.health.since.filter(|_| is_bad);
        let since = since.map(|since| format!(" (since {since})"));
        lines.push(format!("{name}: {detail}{}.", since.unwrap_or_default()));
    }
    if status.state == ConnectionState::Revoked {
        lines.push(format!("{name}: {UNCONFIRMED}. {}.", what_is_left(status)));
        lines.push(format!("  to try again: authkeeper disconnect {name}"));
    } else if let ConnectionState::Suspended {
        reason: SuspendReason::SecondCopy,
        ..
    } = &status.state
    {
        lines.extend(action(status).map(|action| format!("  once it is retired: {action}")));
    } else if let Some(action) = action(status) {
        let must = match status.grant_type {
            Some(GrantType::ApiKey) => "replace the key: ",
            _ if action.starts_with("authkeeper ") => "sign in again: ",
            // It says more than that.
            _ => "",
        };
        lines.push(match status.health.whose_move {
            WhoseMove::Operator => format!("  to do: {action}"),
            _ => format!("  {principal} must {must}{action}"),
        });
    } else if let Some(action) = not_for_a_sign_in(status) {
        lines.push(format!("  {action}"));
    } else if status.is_uncertain() {
        let wait = status.asked_again_in.map(|wait| match wait.as_secs() {
            0 if !wait.is_zero() => 1,
            whole => whole,
        });
        let outlook = Outlook::of(status.left.as_secs(), wait);
        lines.push(format!("  {}", outlook.next()));
    }
    lines.extend(link.map(|link| format!("  or open {link}")));
    lines
}
