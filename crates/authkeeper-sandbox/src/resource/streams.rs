//! Event streams of the built-in scenarios: the server's own streams, and a long answer.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::tools::event;
use crate::{
    state::SandboxState,
    wire::{HttpReply, HttpRequest, StagedBody, WatchedBody},
};

/// A stream ends this long after its access token.
const AFTER_THE_END: Duration = Duration::from_millis(200);
/// A long answer comes this long after the end of its access token.
const ANSWERED: Duration = Duration::from_secs(1);
/// The interval of the comments that keep a stream alive.
const BEAT: Duration = Duration::from_millis(500);
/// The `retry` field: after this time a client should open a closed stream again.
const RETRY_MILLISECONDS: u32 = 300;
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const CHANGED: &str = "notifications/tools/list_changed";

/// Whether the server reports changes of its tool list.
pub(crate) fn offered(state: &SandboxState) -> bool {
    let overrides = state.overrides.as_ref();
    overrides.is_some_and(|overrides| overrides.offers_stream)
}

/// The standing stream of a session, opened by GET (2025-11-25).
pub(crate) fn standing(state: &mut SandboxState, request: &HttpRequest) -> Option<HttpReply> {
    let number = opens(state)?;
    // An event with an id and without data, so that the stream can be resumed from its start.
    let first = format!("id: {number}-0\nretry: {RETRY_MILLISECONDS}\ndata:\n\n");
    let changed = json!({"jsonrpc": "2.0", "method": CHANGED});
    let changed = format!("id: {number}-1\nevent: message\ndata: {changed}\n\n");
    Some(until_its_token_ends(
        state,
        request,
        number,
        [first.into(), changed.into()],
    ))
}

/// The stream of a subscription (2026-07-28).
pub(crate) fn listening(
    state: &mut SandboxState,
    request: &HttpRequest,
    id: &Value,
) -> Option<HttpReply> {
    let number = opens(state)?;
    let meta = json!({SUBSCRIPTION: id});
    let honored = json!({"toolsListChanged": true});
    let first = json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": meta, "notifications": honored},
    });
    let changed = json!({"jsonrpc": "2.0", "method": CHANGED, "params": {"_meta": meta}});
    Some(until_its_token_ends(
        state,
        request,
        number,
        [event(&first), event(&changed)],
    ))
}

/// The number of the stream that opens, from 1; none if the server offers none.
fn opens(state: &mut SandboxState) -> Option<usize> {
    let overrides = state.overrides.as_mut();
    let overrides = overrides.filter(|overrides| overrides.offers_stream)?;
    overrides.streams_opened += 1;
    Some(overrides.streams_opened)
}

/// A stream that ends with its access token. The first stream carries one event; later ones carry a second.
fn until_its_token_ends(
    state: &SandboxState,
    request: &HttpRequest,
    number: usize,
    [first, told]: [Bytes; 2],
) -> HttpReply {
    let mut reply = events(first);
    if number > 1 {
        reply.later.push((BEAT / 2, told));
    }
    reply
        .later
        .extend(beats(left(state, request) + AFTER_THE_END));
    reply.staged = Some(Box::new(StagedBody::Watched(WatchedBody::Stream(number))));
    reply
}

/// The answer of the test tool.
pub(crate) fn staged(state: &SandboxState, request: &HttpRequest, answer: &Value) -> HttpReply {
    let overrides = state.overrides.as_ref();
    if overrides.is_some_and(|overrides| overrides.long_answer) {
        let mut reply = events(": begun\n\n".into());
        reply.later.extend(beats(left(state, request) + ANSWERED));
        reply.later.push((Duration::ZERO, event(answer)));
        reply.staged = Some(Box::new(StagedBody::Watched(WatchedBody::Answer)));
        return reply;
    }
    if overrides.is_some_and(|overrides| overrides.offers_stream) {
        let mut reply = events(": begun\n\n".into());
        reply.staged = Some(Box::new(StagedBody::Kept(event(answer))));
        return reply;
    }
    let mut reply = HttpReply::json(200, answer);
    reply.delay = overrides
        .map(|overrides| overrides.tool_takes)
        .unwrap_or_default();
    reply
}

fn events(first: Bytes) -> HttpReply {
    let mut reply = HttpReply::empty(200)
        .with("content-type", "text/event-stream")
        .with("cache-control", "no-cache");
    reply.body = first;
    reply
}

/// The remaining lifetime of the access token that was presented.
fn left(state: &SandboxState, request: &HttpRequest) -> Duration {
    let shown = request
        .bearer()
        .and_then(|text| state.store.access.get(text));
    shown.map_or(Duration::ZERO, |token| token.ends.since(state.now()))
}

/// Comments for this long.
fn beats(time: Duration) -> impl Iterator<Item = (Duration, Bytes)> {
    let count = time.as_millis() / BEAT.as_millis() + 1;
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (0..count).map(move |_| (time / count, Bytes::from_static(b": going on\n\n")))
}
