//! `status`: what is connected, how long it is good, and what needs a person.

mod monitor;
mod table;

use std::fmt::Write as _;

use authkeeper::{
    model::{
        ConnectionName, ConnectionState, GrantType, HealthCause, HealthState, PrincipalId,
        ReauthorizeReason, SuspendReason, WhoseMove, restoring_command,
    },
    runtime::ConnectionStatus,
};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::monitor::unknown;
use super::{
    client_certificate::{self, Standing},
    health::{next_step, what_of},
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
        app.output.data_whole(&line);
        return Ok(code);
    }
    if !(args.check && statuses.is_empty() && !app.output.json) {
        show(app, &statuses);
    }
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
    let certificate = certificate.look();
    let standing = Standing::of(&certificate, now);
    let said = format!("{}: {}.", status.connection.name, standing.said());
    match standing {
        Standing::Good(_) => vec![said],
        Standing::Soon(_) | Standing::Bad(_) => {
            vec![said, format!("  {}", client_certificate::fix(&certificate))]
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
        "client_certificate": status.certificate.as_ref().map(|own| client_certificate::json(&own.look())),
        "action": action(status),
        "link": null,
        "health": status.health,
        "incidents": status.incidents.iter().map(|incident| &incident.record).collect::<Vec<_>>(),
    })
}

/// The command that a person has to run, if any.
fn action(status: &ConnectionStatus) -> Option<String> {
    if status.health.needs_attention() {
        return status.health.action.clone();
    }
    let again = || restoring_command(status.connection.name.as_str(), status.grant_type);
    status.scope_request.as_ref().map(|_wanted| again())
}

/// What lives on at the provider if it is not revoked, and until when.
pub(super) fn what_is_left(status: &ConnectionStatus) -> String {
    let Some(grant_type) = status.grant_type.filter(|kind| !kind.is_key()) else {
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
    let key = status.grant_type.is_some_and(GrantType::is_key);
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
        // A key does not change its state by being refused: the server may take it again.
        Some(HealthCause::GrantOver(ReauthorizeReason::KeyRefused))
            if status.state == ConnectionState::Active =>
        {
            "key refused"
        }
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

fn colour(status: &ConnectionStatus) -> Paint {
    match status.health.state {
        HealthState::Ok => Paint::Good,
        HealthState::Notice | HealthState::AtRisk => Paint::Warn,
        HealthState::Off if status.state == ConnectionState::Pending => Paint::Warn,
        HealthState::Down | HealthState::Off => Paint::Bad,
    }
}

/// What the table can't say: what is wrong, and who has to do what.
fn todo(status: &ConnectionStatus, link: Option<String>) -> Vec<String> {
    let Some(cause) = status.health.cause else {
        return vec![];
    };
    let mut wrong = format!("{}: {}.", status.connection.name, what_of(&status.health));
    if cause == HealthCause::Revoked {
        let _ = write!(wrong, " {}.", what_is_left(status));
    }
    let mut lines = vec![wrong, format!("  {}", to_do(status, cause))];
    lines.extend(link.map(|link| format!("  or open {link}")));
    lines
}

fn to_do(status: &ConnectionStatus, cause: HealthCause) -> String {
    let (name, principal) = (&status.connection.name, &status.connection.principal);
    match (cause, action(status)) {
        (HealthCause::Revoked, Some(action)) => format!("to try again: {action}"),
        (HealthCause::Suspended(SuspendReason::SecondCopy), Some(action)) => {
            format!("once it is retired: {action}")
        }
        (_, Some(action)) if status.health.whose_move == WhoseMove::Operator => {
            format!("to do: {action}")
        }
        (_, Some(action)) => {
            let must = match status.grant_type {
                Some(grant_type) if grant_type.is_key() => "replace the key: ",
                // It says more than that.
                _ if !action.starts_with("authkeeper ") => "",
                None => "sign in: ",
                Some(_) => "sign in again: ",
            };
            if *principal == PrincipalId::local_user() {
                return format!("to do: {must}{action}");
            }
            format!("{principal} must {must}{action}")
        }
        (HealthCause::Uncertain, None) => {
            let wait = status.asked_again_in.map(|wait| match wait.as_secs() {
                0 if !wait.is_zero() => 1,
                whole => whole,
            });
            Outlook::of(status.left.as_secs(), wait).next()
        }
        (_, None) => next_step(name, &status.health),
    }
}
