//! The plain API: `me`, a list, and counted work.

use serde_json::{Value, json};

use super::access::{AuthorizedCaller, ProtectedResource, admit, refuse};
use crate::{
    answers::AccessDenial,
    events::Mood,
    fault::{Arrival, FaultKind},
    state::SandboxState,
    wire::{HttpReply, HttpRequest},
};

const DOOR: ProtectedResource = ProtectedResource {
    path: "/api",
    has_metadata: true,
};

pub(crate) fn serve(
    state: &mut SandboxState,
    request: &HttpRequest,
    arrival: &Arrival,
) -> HttpReply {
    let caller = match by_key(state, request, arrival) {
        Some(caller) => caller,
        None => match admit(state, request, arrival, DOOR) {
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
        (true, "/api/work") => work(state, request.header("idempotency-key")),
        (false, "/api/admin") if !caller.may("admin") => {
            state.say(
                Mood::Warn,
                format!("{}: the scope admin is missing", caller.label),
            );
            return refuse(state, AccessDenial::Scope("admin"), DOOR);
        }
        (false, "/api/admin") => json!({"grants": state.store.grants.len()}),
        _ => return HttpReply::json(404, &json!({"error": "not_found"})),
    };
    state.counters.api_ok += 1;
    state.say(
        Mood::Good,
        format!(
            "{} {}: served, {}",
            request.method, request.path, caller.label
        ),
    );
    HttpReply::json(200, &body)
}

/// Does a piece of work. Under a known idempotency key it is not done again.
pub(crate) fn work(state: &mut SandboxState, key: Option<&str>) -> Value {
    let number = u32::try_from(state.counters.work_done + 1).unwrap_or(u32::MAX);
    if let Some(key) = key {
        let known = *state.store.work.entry(key.to_owned()).or_insert(number);
        if known != number {
            state.counters.work_duplicates += 1;
            return json!({"piece": known, "duplicate": true});
        }
    }
    state.counters.work_done += 1;
    json!({"piece": number, "duplicate": false})
}

/// A caller with an API key, in its own header or as a bearer token.
fn by_key(
    state: &mut SandboxState,
    request: &HttpRequest,
    arrival: &Arrival,
) -> Option<AuthorizedCaller> {
    let shown = request.header("x-api-key").or_else(|| request.bearer())?;
    let mut keys = state.store.keys.iter_mut();
    let (number, key) = keys.find(|(_, key)| key.value == shown && !key.retired)?;
    let label = format!("key#{number} ({})", key.name);
    let early = |kind: &FaultKind| (*kind == FaultKind::Early401).then_some(());
    if state.faults.take(arrival, early).is_some() {
        state.counters.faults_struck += 1;
        return None;
    }
    key.calls += 1;
    Some(AuthorizedCaller {
        user: None,
        client: key.name.clone(),
        scope: vec!["read".to_owned(), "write".to_owned()],
        label,
    })
}
