//! The plain API: who am I, a list, and work that is counted.

use serde_json::{Value, json};

use super::{Caller, Door, admit, refuse};
use crate::{
    answers::Denial,
    fault::{Arrival, FaultKind},
    tally::Mood,
    wire::{Reply, Request},
    world::World,
};

const DOOR: Door = Door {
    path: "/api",
    has_metadata: true,
};

pub(crate) fn serve(world: &mut World, request: &Request, arrival: &Arrival) -> Reply {
    let caller = match by_key(world, request, arrival) {
        Some(caller) => caller,
        None => match admit(world, request, arrival, DOOR) {
            Ok(caller) => caller,
            Err(reply) => return reply,
        },
    };
    let body = match (request.is_post(), request.path.as_str()) {
        (false, "/api" | "/api/me") => json!({
            "sub": caller.user,
            "client_id": caller.client,
            "scope": caller.scope.join(" "),
        }),
        (false, "/api/items") => json!({"items": ["a rose", "a lamp", "a letter"]}),
        (true, "/api/work") => work(world, request.header("idempotency-key")),
        (false, "/api/admin") if !caller.may("admin") => {
            world.say(
                Mood::Warn,
                format!("{}: the scope admin is missing", caller.label),
            );
            return refuse(world, Denial::Scope("admin"), DOOR);
        }
        (false, "/api/admin") => json!({"grants": world.store.grants.len()}),
        _ => return Reply::json(404, &json!({"error": "not_found"})),
    };
    world.tally.api_ok += 1;
    world.say(
        Mood::Good,
        format!(
            "{} {}: served, {}",
            request.method, request.path, caller.label
        ),
    );
    Reply::json(200, &body)
}

/// Does a piece of work; under a key that was seen it is not done again.
pub(crate) fn work(world: &mut World, key: Option<&str>) -> Value {
    let number = u32::try_from(world.tally.work_done + 1).unwrap_or(u32::MAX);
    if let Some(key) = key {
        let known = *world.store.work.entry(key.to_owned()).or_insert(number);
        if known != number {
            world.tally.work_duplicates += 1;
            return json!({"piece": known, "duplicate": true});
        }
    }
    world.tally.work_done += 1;
    json!({"piece": number, "duplicate": false})
}

/// A caller with an API key, in its own header or as a bearer token.
fn by_key(world: &mut World, request: &Request, arrival: &Arrival) -> Option<Caller> {
    let shown = request.header("x-api-key").or_else(|| request.bearer())?;
    let mut keys = world.store.keys.iter_mut();
    let (number, key) = keys.find(|(_, key)| key.value == shown && !key.retired)?;
    let label = format!("key#{number} ({})", key.name);
    let early = |kind: &FaultKind| (*kind == FaultKind::Early401).then_some(());
    if world.faults.take(arrival, early).is_some() {
        world.tally.faults_struck += 1;
        return None;
    }
    key.calls += 1;
    Some(Caller {
        user: None,
        client: key.name.clone(),
        scope: vec!["read".to_owned(), "write".to_owned()],
        label,
    })
}
