//! The device authorization grant (RFC 8628).

use std::time::Duration;

use serde_json::json;

use super::{client_auth, granted_scope};
use crate::{
    answers::{self, TokenEndpointRefusal},
    events::Mood,
    page,
    profile::Dialect,
    random,
    state::SandboxState,
    store::{AccountState, DeviceEntry, DeviceState, TokenResponseBody},
    wire::{Form, HttpReply, HttpRequest, with_query},
};

pub(crate) fn serve(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    if request.path == "/device_authorization" {
        return begin(state, request);
    }
    if !request.is_post() {
        return page::device(state, request.query.get("user_code").unwrap_or_default());
    }
    if !page::is_own(state, request) {
        return page::problem(
            403,
            "Another page sent you here with an answer already filled in.",
        );
    }
    decide(state, &request.form())
}

fn begin(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let form = request.form();
    let dialect = state.habits().dialect;
    let client = match client_auth::authenticate(state, request, &form) {
        Ok(client) => client,
        Err(refusal) => return answers::refuse(dialect, &refusal, &state.base),
    };
    let (device_code, user_code) = (random::secret(), random::user_code());
    let device = DeviceEntry {
        client,
        user_code: user_code.clone(),
        scope: granted_scope(form.words("scope")),
        resource: form.get("resource").map(str::to_owned),
        ends: state.now().plus(state.rules.device_ttl),
        interval: state.rules.device_interval,
        polled: None,
        state: DeviceState::Waiting,
    };
    state.say(
        Mood::Plain,
        format!("a device of client {} asks to sign in", device.client),
    );
    state.store.devices.insert(device_code.clone(), device);
    let page = format!("{}/device", state.base);
    let body = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": with_query(&page, &[("user_code", &user_code)]),
        "expires_in": state.rules.device_ttl.as_secs(),
        "interval": state.rules.device_interval.as_secs(),
    });
    let reply = HttpReply::json(200, &body);
    match dialect {
        Dialect::OidcProvider => answers::oidc_headers(reply),
        _ => answers::no_store(reply),
    }
}

fn decide(state: &mut SandboxState, form: &Form) -> HttpReply {
    let code = form
        .get("user_code")
        .unwrap_or_default()
        .to_ascii_uppercase();
    let user = form.get("user").unwrap_or("alice").to_owned();
    let allowed = form.get("decision") != Some("deny");
    let now = state.now();
    let enabled = state.store.user(&user) == AccountState::Enabled;
    let mut devices = state.store.devices.values_mut();
    let waiting = devices.find(|device| {
        device.user_code == code && device.state == DeviceState::Waiting && now < device.ends
    });
    let Some(device) = waiting else {
        return page::problem(404, "No device waits with that code.");
    };
    device.state = if allowed && enabled {
        DeviceState::Allowed { user: user.clone() }
    } else {
        DeviceState::Denied
    };
    let said = if allowed && enabled {
        "allowed"
    } else {
        "denied"
    };
    let text = format!("{user} {said} the device of client {}", device.client);
    state.say(Mood::Plain, text);
    page::done("You can close this page and go back to your device.")
}

/// The longer interval after `slow_down` (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// A device polls the token endpoint.
pub(crate) fn poll(
    state: &mut SandboxState,
    client: &str,
    form: &Form,
) -> Result<TokenResponseBody, TokenEndpointRefusal> {
    let text = form
        .get("device_code")
        .ok_or(TokenEndpointRefusal::Missing("device_code"))?;
    let now = state.now();
    let device = state
        .store
        .devices
        .get_mut(text)
        .ok_or(TokenEndpointRefusal::UnknownDevice)?;
    if device.client != client {
        return Err(TokenEndpointRefusal::OtherClient);
    }
    if now >= device.ends {
        return Err(TokenEndpointRefusal::DeviceExpired);
    }
    let before = device.polled.replace(now);
    if before.is_some_and(|before| now.since(before) < device.interval) {
        device.interval += SLOWER;
        return Err(TokenEndpointRefusal::SlowDown);
    }
    let user = match &device.state {
        DeviceState::Waiting => return Err(TokenEndpointRefusal::Pending),
        DeviceState::Denied => {
            // A device is told once.
            state.store.devices.remove(text);
            return Err(TokenEndpointRefusal::Denied);
        }
        DeviceState::Used { grant } => {
            let grant = *grant;
            if state.habits().code_replay_kills {
                state.kill(grant, "its device code was used twice");
            }
            return Err(TokenEndpointRefusal::UnknownDevice);
        }
        DeviceState::Allowed { user } => user.clone(),
    };
    let (scope, resource) = (device.scope.clone(), device.resource.clone());
    let number = state.new_grant(Some(user.clone()), client, resource.clone());
    if let Some(device) = state.store.devices.get_mut(text) {
        device.state = DeviceState::Used { grant: number };
    }
    state.counters.sign_ins += 1;
    let with_refresh = state.may_refresh(client);
    state.say(
        Mood::Good,
        format!("sign-in: {user} for a device of client {client} is grant {number}"),
    );
    Ok(state.issue(number, scope, resource, with_refresh))
}
