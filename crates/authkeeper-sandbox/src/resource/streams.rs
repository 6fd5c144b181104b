//! Event streams of the built-in scenarios: those on which the server speaks unasked, and an answer that takes long.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::tools::event;
use crate::{
    builtin::{Token, What},
    wire::{Reply, Request, Staged, Watch},
    world::World,
};

/// So long after its token's end a stream ends.
const AFTER_THE_END: Duration = Duration::from_millis(200);
/// So long after its token's end a long answer is there.
const ANSWERED: Duration = Duration::from_secs(1);
/// How often something comes, so that nobody takes a stream for dead.
const BEAT: Duration = Duration::from_millis(500);
/// In which a reader is asked to open a stream again.
const RETRY_MILLISECONDS: u32 = 300;
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const CHANGED: &str = "notifications/tools/list_changed";

/// Whether the server tells of changes.
pub(crate) fn offered(world: &World) -> bool {
    let stage = world.stage.as_ref();
    stage.is_some_and(|stage| stage.plan.streams)
}

/// The standing stream of a session, opened by GET (2025-11-25).
pub(crate) fn standing(world: &mut World, request: &Request) -> Option<Reply> {
    let number = opens(world, request)?;
    // An event with an id and without data, so that the stream can be resumed from its start.
    let first = format!("id: {number}-0\nretry: {RETRY_MILLISECONDS}\ndata:\n\n");
    let changed = json!({"jsonrpc": "2.0", "method": CHANGED});
    let changed = format!("id: {number}-1\nevent: message\ndata: {changed}\n\n");
    Some(until_its_token_ends(
        world,
        request,
        number,
        [first.into(), changed.into()],
    ))
}

/// The stream of a subscription (2026-07-28).
pub(crate) fn listening(world: &mut World, request: &Request, id: &Value) -> Option<Reply> {
    let number = opens(world, request)?;
    let meta = json!({SUBSCRIPTION: id});
    let honored = json!({"toolsListChanged": true});
    let first = json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": meta, "notifications": honored},
    });
    let changed = json!({"jsonrpc": "2.0", "method": CHANGED, "params": {"_meta": meta}});
    Some(until_its_token_ends(
        world,
        request,
        number,
        [event(&first), event(&changed)],
    ))
}

/// Which stream it is, from 1; none where none is offered.
fn opens(world: &mut World, request: &Request) -> Option<usize> {
    let now = world.now();
    let shown = request
        .bearer()
        .and_then(|text| world.store.access.get(text));
    let token = shown.map(|token| Token {
        grant: token.grant,
        number: token.number,
    });
    let last_event_id = request.header("last-event-id").map(str::to_owned);
    let stage = world.stage.as_mut().filter(|stage| stage.plan.streams)?;
    stage.see(
        now,
        What::StreamOpened {
            token,
            last_event_id,
        },
    );
    Some(stage.stream_opens(now))
}

/// The first stream of all only begins; on those after it something is told.
fn until_its_token_ends(
    world: &World,
    request: &Request,
    number: usize,
    [first, told]: [Bytes; 2],
) -> Reply {
    let mut reply = events(first);
    if number > 1 {
        reply.later.push((BEAT / 2, told));
    }
    reply
        .later
        .extend(beats(left(world, request) + AFTER_THE_END));
    reply.staged = Some(Box::new(Staged::Watched(Watch::Stream(number))));
    reply
}

/// What the tool of the scenarios answers.
pub(crate) fn staged(world: &World, request: &Request, answer: &Value) -> Reply {
    let plan = world.stage.as_ref().map(|stage| &stage.plan);
    if plan.is_some_and(|plan| plan.long_answer) {
        let mut reply = events(": begun\n\n".into());
        reply.later.extend(beats(left(world, request) + ANSWERED));
        reply.later.push((Duration::ZERO, event(answer)));
        reply.staged = Some(Box::new(Staged::Watched(Watch::Answer)));
        return reply;
    }
    if plan.is_some_and(|plan| plan.streams) {
        let mut reply = events(": begun\n\n".into());
        reply.staged = Some(Box::new(Staged::Kept(event(answer))));
        return reply;
    }
    let mut reply = Reply::json(200, answer);
    reply.delay = plan.map(|plan| plan.tool_takes).unwrap_or_default();
    reply
}

fn events(first: Bytes) -> Reply {
    let mut reply = Reply::empty(200)
        .with("content-type", "text/event-stream")
        .with("cache-control", "no-cache");
    reply.body = first;
    reply
}

/// For how long the access token that was shown is still good.
fn left(world: &World, request: &Request) -> Duration {
    let shown = request
        .bearer()
        .and_then(|text| world.store.access.get(text));
    shown.map_or(Duration::ZERO, |token| token.ends.since(world.now()))
}

/// Comments, for so long.
fn beats(time: Duration) -> impl Iterator<Item = (Duration, Bytes)> {
    let count = time.as_millis() / BEAT.as_millis() + 1;
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (0..count).map(move |_| (time / count, Bytes::from_static(b": going on\n\n")))
}
