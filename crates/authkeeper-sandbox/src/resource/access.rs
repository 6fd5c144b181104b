//! Access control of the resources: checks the access token, or refuses.

use serde_json::json;

use crate::{
    answers::{self, AccessDenial, ChallengeContext},
    events::Mood,
    fault::{Arrival, FaultKind},
    oauth::metadata::resource_metadata,
    profile::Disabled,
    state::SandboxState,
    store::AccountState,
    wire::{HttpReply, HttpRequest},
};

/// The user and the client on whose behalf a request is served.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizedCaller {
    pub(crate) user: Option<String>,
    pub(crate) client: String,
    pub(crate) scope: Vec<String>,
    /// Its name in the event log.
    pub(crate) label: String,
}

impl AuthorizedCaller {
    pub(crate) fn may(&self, scope: &str) -> bool {
        self.scope.iter().any(|word| word == scope)
    }
}

/// A resource that needs an access token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtectedResource {
    /// Its path, which is also its name in the metadata.
    pub(crate) path: &'static str,
    pub(crate) has_metadata: bool,
}

/// Authorizes a request, or gives the reply that refuses it.
pub(crate) fn admit(
    state: &mut SandboxState,
    request: &HttpRequest,
    arrival: &Arrival,
    door: ProtectedResource,
) -> Result<AuthorizedCaller, HttpReply> {
    match checked(state, request, arrival, door) {
        Ok(caller) => Ok(caller),
        Err((denial, what)) => {
            state.say(
                Mood::Warn,
                format!("{} {}: refused, {what}", request.method, request.path),
            );
            Err(refuse(state, denial, door))
        }
    }
}

/// Counts a refusal and gives its reply, in the profile's words.
pub(crate) fn refuse(
    state: &mut SandboxState,
    denial: AccessDenial,
    door: ProtectedResource,
) -> HttpReply {
    let metadata = resource_metadata(&state.base, door.path);
    let challenge = ChallengeContext {
        base: &state.base,
        metadata: door.has_metadata.then_some(metadata),
        always: door.path == "/mcp",
    };
    let reply = answers::deny(state.habits().dialect, denial, &challenge);
    match reply.status {
        403 => state.counters.forbidden += 1,
        _ => state.counters.unauthorized += 1,
    }
    reply
}

type ReasonedDenial = (AccessDenial, String);

fn checked(
    state: &mut SandboxState,
    request: &HttpRequest,
    arrival: &Arrival,
    door: ProtectedResource,
) -> Result<AuthorizedCaller, ReasonedDenial> {
    let Some(text) = request.bearer() else {
        return Err((AccessDenial::NoToken, "no access token".to_owned()));
    };
    let label = state.store.access_label(text);
    let bad = |what: &str| (AccessDenial::BadToken, format!("{label} {what}"));
    let Some(token) = state.store.access.get(text).cloned() else {
        return Err((AccessDenial::BadToken, label));
    };
    if token.revoked {
        state.counters.revoked_tokens_presented += 1;
        return Err(bad("is revoked or replaced"));
    }
    if token.ends <= state.now() {
        state.counters.expired_tokens_presented += 1;
        expired_shown(state, token.grant, token.generation);
        return Err((AccessDenial::Expired, format!("{label} has ended")));
    }
    let expected = format!("{}{}", state.base, door.path);
    let elsewhere =
        |audience: &String| *audience != expected && audience.trim_end_matches('/') != state.base;
    if door.has_metadata && token.audience.as_ref().is_some_and(elsewhere) {
        return Err(bad("was made for another resource"));
    }
    let grant = state.store.grants.get(&token.grant).cloned();
    let grant = grant.ok_or_else(|| bad("has no grant"))?;
    if is_out(state, state.store.owner(&grant)) {
        return Err((AccessDenial::UserOut, format!("{label}: the user is out")));
    }
    let early = |kind: &FaultKind| (*kind == FaultKind::Early401).then_some(());
    if state.faults.take(arrival, early).is_some() {
        state.counters.faults_struck += 1;
        return Err(bad("is good, but a fault refuses it"));
    }
    if let Some(token) = state.store.access.get_mut(text) {
        token.used = true;
    }
    Ok(AuthorizedCaller {
        user: grant.user,
        client: grant.client,
        scope: token.scope,
        label,
    })
}

fn is_out(state: &SandboxState, owner: AccountState) -> bool {
    let disabled = state.habits().disabled;
    match owner {
        AccountState::Enabled => false,
        AccountState::Disabled => disabled == Disabled::RefusedEverywhere,
        AccountState::Deleted => disabled != Disabled::RefusedAtRefresh,
    }
}

/// Some servers revoke the refresh token of an expired access token when it is presented.
fn expired_shown(state: &mut SandboxState, grant: u32, generation: u32) {
    if !state.habits().expired_access_kills {
        return;
    }
    let mut tokens = state.store.refresh.values();
    let paired = tokens.any(|token| {
        token.grant == grant && token.generation == generation && token.spent.is_none()
    });
    if paired {
        state.kill(
            grant,
            "an expired access token was shown, and this server forgets the pair",
        );
    }
}

/// The userinfo endpoint.
pub(crate) fn userinfo(
    state: &mut SandboxState,
    request: &HttpRequest,
    arrival: &Arrival,
) -> HttpReply {
    let door = ProtectedResource {
        path: "/userinfo",
        has_metadata: false,
    };
    match admit(state, request, arrival, door) {
        Err(reply) => reply,
        Ok(caller) => HttpReply::json(200, &json!({"sub": caller.user.unwrap_or(caller.client)})),
    }
}
