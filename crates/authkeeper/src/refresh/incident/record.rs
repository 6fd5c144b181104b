//! Records of incidents: their texts and the action that each asks of a person.

use jiff::Timestamp;

use crate::{
    model::{
        AccessToken, Drift, Event, Grant, ReauthorizeReason, Record, Renewal, Scope, StepUps,
        SuspendReason, UnknownKind,
    },
    refresh::OnBehalfOf,
};

pub(crate) fn uncertain_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    kind: UnknownKind,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    Record {
        event: Event::Uncertain,
        connection: on_behalf_of.connection.to_string(),
        principal: on_behalf_of.principal.to_string(),
        task: None,
        reason: kind.as_str().to_owned(),
        detail: unknown_outcome(kind).to_owned(),
        since: now,
        expires_at: ends(grant),
        scope: None,
        action: format!(
            "nothing yet: authkeeper asks again as the provider's rule allows; see authkeeper status {}",
            on_behalf_of.connection
        ),
        link: None,
        trace_id: trace_id.to_owned(),
        ts: now,
    }
}

/// What came in the place of an answer.
fn unknown_outcome(kind: UnknownKind) -> &'static str {
    match kind {
        UnknownKind::ServerError | UnknownKind::GatewayTimeout => {
            "the provider answered a refresh with an error of its own; whether it acted is not known"
        }
        UnknownKind::Unreadable => {
            "the provider answered a refresh with what can't be read as an answer; whether it acted is not known"
        }
        UnknownKind::Reset
        | UnknownKind::Silence
        | UnknownKind::UnreadTokens
        | UnknownKind::Crash => {
            "a refresh was sent and its answer was lost; whether the provider acted is not known"
        }
    }
}

pub(crate) fn reauthorize_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    reason: ReauthorizeReason,
    (since, now): (Timestamp, Timestamp),
    trace_id: &str,
) -> Record {
    Record {
        event: Event::ReauthorizationRequired,
        connection: on_behalf_of.connection.to_string(),
        principal: on_behalf_of.principal.to_string(),
        task: None,
        reason: reason.as_str().to_owned(),
        detail: detail(grant, reason),
        since,
        expires_at: ends(grant),
        scope: None,
        action: action(on_behalf_of, grant, reason),
        link: None,
        trace_id: trace_id.to_owned(),
        ts: now,
    }
}

/// Where two servers are asked it is said which of them is meant.
fn detail(grant: &Grant, reason: ReauthorizeReason) -> String {
    match grant.grant_material.identity_provider() {
        Some(idp) => format!(
            "at the identity provider ({}): {}",
            idp.token_url,
            reason.sentence()
        ),
        None => reason.sentence().to_owned(),
    }
}

fn ends(grant: &Grant) -> Option<Timestamp> {
    grant.access.as_ref().and_then(AccessToken::expires_at)
}

fn action(on_behalf_of: &OnBehalfOf, grant: &Grant, reason: ReauthorizeReason) -> String {
    match reason {
        ReauthorizeReason::AnswerUnread => format!(
            "authkeeper doctor --reread {} after an upgrade or with tokens_in set (docs/configuration.md), else {}",
            on_behalf_of.connection,
            sign_in_action(on_behalf_of, grant)
        ),
        _ => sign_in_action(on_behalf_of, grant),
    }
}

/// The command that restores the grant: a sign-in, or a new API key.
fn sign_in_action(on_behalf_of: &OnBehalfOf, grant: &Grant) -> String {
    match grant.grant_type.renewal() {
        Renewal::ByHand => format!(
            "authkeeper rotate {} --key-file FILE",
            on_behalf_of.connection
        ),
        Renewal::IdentityProvider => {
            let file = grant
                .grant_material
                .identity_provider()
                .map(|idp| idp.subject.path());
            let file = file.map(|file| file.display().to_string());
            format!(
                "put a new token of the identity provider into {}, then authkeeper reauthorize {}",
                file.unwrap_or_default(),
                on_behalf_of.connection
            )
        }
        Renewal::RefreshToken | Renewal::ClientItself | Renewal::AssertionFile => {
            format!("authkeeper reauthorize {}", on_behalf_of.connection)
        }
    }
}

/// The new API key was refused, and the one before it serves until its overlap ends.
pub(crate) fn fell_back_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    let until = grant.standby.as_ref().map(|standby| standby.until);
    let until = until
        .map(|until| format!(" until {until}"))
        .unwrap_or_default();
    Record {
        event: Event::RotationFailed,
        reason: "new_key_refused".to_owned(),
        detail: format!("the server refused the new API key; the one before it serves{until}"),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::KeyRefused,
            (now, now),
            trace_id,
        )
    }
}

/// The day on which the API key should be replaced is near, or past.
pub(crate) fn rotation_due_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    (by, now): (Timestamp, Timestamp),
    trace_id: &str,
) -> Record {
    Record {
        event: Event::RotationDue,
        reason: "rotate_by".to_owned(),
        detail: format!("its API key should be replaced by {by}"),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::KeyRefused,
            (now, now),
            trace_id,
        )
    }
}

/// Authority is withdrawn for now.
pub(crate) fn suspended_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    reason: SuspendReason,
    (since, now): (Timestamp, Timestamp),
    trace_id: &str,
) -> Record {
    let action = match reason {
        SuspendReason::SecondCopy => format!(
            "end the program that used it before and delete its copy, then authkeeper import {} --other-copy-retired",
            on_behalf_of.connection
        ),
        SuspendReason::Manual => format!("ask the person who suspended {}", on_behalf_of.principal),
        SuspendReason::OtherAccount => format!(
            "sign in as the account that is meant: authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        SuspendReason::TokenType => format!(
            "have the provider issue Bearer tokens to this client, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
    };
    Record {
        event: Event::AuthorityLost,
        reason: reason.as_str().to_owned(),
        detail: reason.sentence().to_owned(),
        action,
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::RefreshRefused,
            (since, now),
            trace_id,
        )
    }
}

/// The provider grants less, or otherwise, than at the sign-in. Calls go on.
pub(crate) fn narrowed_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    drift: &Drift,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    Record {
        event: Event::AuthorityNarrowed,
        reason: drift.as_str().to_owned(),
        detail: drift.sentence(),
        action: format!(
            "nothing if calls still work; else allow it at the provider, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::RefreshRefused,
            (now, now),
            trace_id,
        )
    }
}

/// The reason of the incident that follows.
pub(crate) const REJECTED: &str = "rejected";

/// The resource refused a fresh token.
pub(crate) fn rejected_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    now: Timestamp,
    trace_id: &str,
) -> Record {
    Record {
        event: Event::AuthorityLost,
        reason: REJECTED.to_owned(),
        detail: "the server refused a token fresh from the provider; refreshing again can't help"
            .to_owned(),
        action: format!(
            "check at the provider that this account may still use the service, then authkeeper reauthorize {}",
            on_behalf_of.connection
        ),
        ..reauthorize_record(
            on_behalf_of,
            grant,
            ReauthorizeReason::RefreshRefused,
            (now, now),
            trace_id,
        )
    }
}

/// Calls were refused for lack of a scope, and a sign-in may bring it.
pub(crate) const SCOPE_WANTED: &str = "insufficient_scope";
/// Sign-ins have not brought it.
pub(crate) const SCOPE_REFUSED: &str = "scope_refused";

/// What is wanted now, if anything.
pub(crate) fn scope_wanted_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    all: &StepUps,
    at: (Timestamp, &str),
) -> Option<Record> {
    let scope_request = all.scope_request()?;
    let detail = format!("{}; other calls go on", needs(all.wanted()));
    let scope = scope_request.scope.map(|scope| scope.as_str().to_owned());
    Some(scope_record(
        on_behalf_of,
        grant,
        (SCOPE_WANTED, detail, scope),
        at,
    ))
}

/// What was given up with the tokens of this sign-in, if anything.
pub(crate) fn scope_refused_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    all: &StepUps,
    at: (Timestamp, &str),
) -> Option<Record> {
    let scope = all.given_up_scope(grant.lineage)?;
    let named = scope.as_ref().map_or("it", Scope::as_str).to_owned();
    let detail = format!(
        "{}, and signing in again has not brought it; other calls go on",
        needs(all.given_up(grant.lineage))
    );
    let scope = scope.map(|scope| scope.as_str().to_owned());
    let record = scope_record(on_behalf_of, grant, (SCOPE_REFUSED, detail, scope), at);
    let action = format!(
        "have the provider allow {named} to this account and to client {}, then {}",
        grant.client_id, record.action
    );
    Some(Record { action, ..record })
}

fn scope_record(
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    (reason, detail, scope): (&str, String, Option<String>),
    (now, trace_id): (Timestamp, &str),
) -> Record {
    let like = ReauthorizeReason::RefreshRefused;
    Record {
        event: Event::ScopeRequired,
        reason: reason.to_owned(),
        detail,
        scope,
        ..reauthorize_record(on_behalf_of, grant, like, (now, now), trace_id)
    }
}

/// So many operations are named; the scopes of all are in the record.
const MOST_NAMED: usize = 3;

fn needs<'a>(operations: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut said: Vec<String> = operations
        .map(|(operation, scope)| match scope {
            Some(scope) => format!("{operation} needs the scope {scope}"),
            None => format!("{operation} needs a scope that the server does not name"),
        })
        .collect();
    let more = said.len().saturating_sub(MOST_NAMED);
    said.truncate(MOST_NAMED);
    if more > 0 {
        said.push(format!("{more} more need others"));
    }
    format!("{}, which was not granted", said.join(", "))
}
