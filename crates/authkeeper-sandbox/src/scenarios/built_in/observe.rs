//! Turns requests and replies into evidence.

use serde_json::Value;

use crate::{
    clock::SandboxTime,
    fault::{Arrival, Endpoint},
    scenarios::judge::evidence::{
        AccessTokenRef, Evidence, GrantRef, McpRecord, Observed, RefreshAnswer, RefreshRecord,
    },
    state::SandboxState,
    store::AccessTokenEntry,
    wire::{HttpReply, HttpRequest, words},
};

/// What is known of a request before it is served, and can't be told afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestBefore {
    refresh: Option<RefreshRecord>,
    token: Option<AccessTokenRef>,
    /// When the access token that was presented ends.
    pub(super) ends: Option<SandboxTime>,
    tool_calls: u64,
    streams_opened: usize,
}

impl RequestBefore {
    /// Looks at a request that is about to be served.
    pub(super) fn of(
        state: &SandboxState,
        evidence: &Evidence,
        request: &HttpRequest,
        arrival: &Arrival,
    ) -> Self {
        let is_refresh = arrival.endpoint == Endpoint::Refresh;
        let presented = request
            .bearer()
            .and_then(|text| state.store.access.get(text));
        Self {
            refresh: is_refresh.then(|| refresh_sent(state, evidence, request)),
            token: presented.map(token),
            ends: presented.map(|token| token.ends),
            tool_calls: state.counters.tool_calls,
            streams_opened: streams_opened(state),
        }
    }

    /// What happened while the request was served, in order.
    pub(super) fn seen(
        self,
        state: &SandboxState,
        request: &HttpRequest,
        arrival: &Arrival,
        reply: &HttpReply,
    ) -> Vec<Observed> {
        let stream = self.stream_opened(state, request);
        let what = match arrival.endpoint {
            Endpoint::Register if reply.status < 300 => Some(registered(reply)),
            Endpoint::Authorize if request.path == "/authorize" => Some(Observed::Asked),
            Endpoint::Code if reply.status == 200 => signed_in(state),
            Endpoint::Refresh => self.refresh.map(|sent| renewed(sent, reply)),
            Endpoint::Mcp => {
                let executed = state.counters.tool_calls > self.tool_calls;
                Some(mcp(request, self.token, reply, executed))
            }
            _ => None,
        };
        stream.into_iter().chain(what).collect()
    }

    fn stream_opened(&self, state: &SandboxState, request: &HttpRequest) -> Option<Observed> {
        let last_event_id = request.header("last-event-id").map(str::to_owned);
        let opened = Observed::StreamOpened {
            token: self.token,
            last_event_id,
        };
        (streams_opened(state) > self.streams_opened).then_some(opened)
    }
}

fn streams_opened(state: &SandboxState) -> usize {
    let overrides = state.overrides.as_ref();
    overrides.map_or(0, |overrides| overrides.streams_opened)
}

fn signed_in(state: &SandboxState) -> Option<Observed> {
    let (number, grant) = state.store.grants.iter().next_back()?;
    let first = state.store.refresh.values();
    let mut first = first.filter(|token| token.grant == *number);
    Some(Observed::SignedIn {
        grant: GrantRef {
            number: *number,
            client: grant.client.clone(),
        },
        scope: first.next().map(|token| token.scope.clone())?,
    })
}

/// A refresh request that was not answered yet.
pub(super) fn refresh_sent(
    state: &SandboxState,
    evidence: &Evidence,
    request: &HttpRequest,
) -> RefreshRecord {
    let form = request.form();
    let known = form
        .get("refresh_token")
        .and_then(|text| state.store.refresh.get(text));
    RefreshRecord {
        grant: known.map(|token| token.grant),
        generation: known.map_or(0, |token| token.generation),
        replayed: known.is_some_and(|token| token.spent.is_some()),
        needed: known.is_none_or(|token| is_worn(state, evidence, token.grant)),
        scope: form.words("scope"),
        resource: form.get("resource").map(str::to_owned),
        outcome: RefreshAnswer::Faulty,
    }
}

/// Whether a grant's newest access token has ended, was refused, or is in the second half of its lifetime.
fn is_worn(state: &SandboxState, evidence: &Evidence, grant: u32) -> bool {
    let tokens = state.store.access.values();
    let newest = tokens
        .filter(|token| token.grant == grant)
        .max_by_key(|token| token.number);
    newest.is_none_or(|newest| {
        let life = newest.ends.since(newest.issued);
        let old = newest.ends.since(state.now()) <= life / 2;
        old || newest.revoked || was_refused(evidence, token(newest))
    })
}

fn was_refused(evidence: &Evidence, token: AccessTokenRef) -> bool {
    let mut asked = evidence.mcp();
    asked.any(|mcp| mcp.token == Some(token) && mcp.status == 401)
}

fn token(token: &AccessTokenEntry) -> AccessTokenRef {
    AccessTokenRef {
        grant: token.grant,
        number: token.number,
    }
}

/// The JSON-RPC message in a request.
pub(super) fn message(request: &HttpRequest) -> Option<Value> {
    request.json().filter(Value::is_object)
}

fn registered(reply: &HttpReply) -> Observed {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let types = body["grant_types"].as_array();
    Observed::Registered {
        may_refresh: types.is_some_and(|types| types.iter().any(|name| name == "refresh_token")),
    }
}

fn renewed(sent: RefreshRecord, reply: &HttpReply) -> Observed {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let scope = body["scope"].as_str().map(words);
    let outcome = match (reply.lost, reply.status) {
        (true, _) => RefreshAnswer::Lost,
        (false, 200) => RefreshAnswer::Renewed {
            scope: scope.unwrap_or_default(),
        },
        _ => RefreshAnswer::Refused,
    };
    Observed::Refresh(RefreshRecord { outcome, ..sent })
}

fn mcp(
    request: &HttpRequest,
    token: Option<AccessTokenRef>,
    reply: &HttpReply,
    executed: bool,
) -> Observed {
    let message = message(request);
    let message = message.as_ref();
    let method = message.and_then(|message| message["method"].as_str());
    let id = message
        .map(|message| &message["id"])
        .filter(|id| !id.is_null());
    let session = request.header("mcp-session-id").unwrap_or_default();
    Observed::Mcp(McpRecord {
        http: request.method.clone(),
        method: method.map(str::to_owned),
        id: id.map(|id| format!("{session} {id}")),
        token,
        status: reply.status,
        executed,
    })
}
