//! The records of a provider that fails every token request, and of one whose token endpoint has moved.

use crate::refresh::{context::GrantContext, incident};
use crate::{
    catalogue,
    model::{Event, Failing, Moment, ReauthorizeReason, Record},
};

/// Every token request at this server has failed for some time. The record is told for as long as that lasts: it holds
/// nothing that only the moment says.
pub(super) fn failing(
    by: GrantContext<'_>,
    (server, failing): (&str, &Failing),
    now: Moment,
) -> Record {
    let since = shown(failing.since.wall);
    Record {
        event: Event::ProviderFailing,
        reason: "token_requests_fail".to_owned(),
        detail: format!(
            "{server} has failed every token request since {since}; its last answer: {}",
            failing.said.words()
        ),
        since: failing.since.wall,
        action: format!(
            "nothing at authkeeper: see whether {server} reports an outage or limits client {}; authkeeper goes on by itself",
            by.grant.client_id
        ),
        ..like(by, now)
    }
}

/// The token endpoint has moved, and the refresh token was sent nowhere else.
pub(super) fn moved(by: GrantContext<'_>, failing: &Failing, now: Moment) -> Record {
    let name = &by.on_behalf_of.connection;
    Record {
        event: Event::TokenEndpointMoved,
        reason: "token_endpoint_moved".to_owned(),
        detail: format!(
            "{}; the refresh token is unspent and was sent nowhere else",
            failing.said.words()
        ),
        action: next_step(by.on_behalf_of.provider.as_deref(), name.as_str()),
        ..like(by, now)
    }
}

/// What a person does about a token endpoint that has moved.
pub(crate) fn next_step(provider: Option<&str>, name: &str) -> String {
    match provider.filter(|provider| has_fixed_endpoints(provider)) {
        Some(provider) => format!(
            "see what {provider} documents as its token endpoint; a newer authkeeper may know it; then authkeeper reauthorize {name}"
        ),
        None => format!(
            "ask the provider where its token endpoint is; once its metadata names it: authkeeper reauthorize {name}"
        ),
    }
}

/// Whether the catalogue's own endpoints are used: the vendor publishes none.
pub(super) fn has_fixed_endpoints(provider: &str) -> bool {
    catalogue::named(provider).is_some_and(|entry| entry.endpoints.discovery.is_none())
}

fn like(by: GrantContext<'_>, now: Moment) -> Record {
    let trace_id = by.context.seams.random_id();
    let times = (now.wall, now.wall);
    let reason = ReauthorizeReason::RefreshRefused;
    incident::reauthorize_record(by.on_behalf_of, by.grant, reason, times, &trace_id)
}

fn shown(at: jiff::Timestamp) -> String {
    let whole = jiff::Timestamp::from_second(at.as_second());
    whole.unwrap_or(at).to_string()
}
