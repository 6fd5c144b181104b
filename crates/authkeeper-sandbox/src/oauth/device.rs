//! The device authorization grant (RFC 8628).

use std::time::Duration;

use serde_json::json;

use super::{client_auth, granted_scope};
use crate::{
    answers::{self, Refusal},
    page,
    profile::Dialect,
    random,
    store::{Answer, Device, DeviceState, UserState},
    tally::Mood,
    wire::{Form, Reply, Request, with_query},
    world::World,
};

pub(crate) fn serve(world: &mut World, request: &Request) -> Reply {
    if request.path == "/device_authorization" {
        return begin(world, request);
    }
    if !request.is_post() {
        return page::device(world, request.query.get("user_code").unwrap_or_default());
    }
    if !page::is_own(world, request) {
        return page::problem(
            403,
            "Another page sent you here with an answer already filled in.",
        );
    }
    decide(world, &request.form())
}

fn begin(world: &mut World, request: &Request) -> Reply {
    let form = request.form();
    let dialect = world.habits().dialect;
    let client = match client_auth::authenticate(world, request, &form) {
        Ok(client) => client,
        Err(refusal) => return answers::refuse(dialect, &refusal, &world.base),
    };
    let (device_code, user_code) = (random::secret(), random::user_code());
    let device = Device {
        client,
        user_code: user_code.clone(),
        scope: granted_scope(form.words("scope")),
        resource: form.get("resource").map(str::to_owned),
        ends: world.now().plus(world.rules.device_ttl),
        interval: world.rules.device_interval,
        polled: None,
        state: DeviceState::Waiting,
    };
    world.say(
        Mood::Plain,
        format!("a device of client {} asks to sign in", device.client),
    );
    world.store.devices.insert(device_code.clone(), device);
    let page = format!("{}/device", world.base);
    let body = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": with_query(&page, &[("user_code", &user_code)]),
        "expires_in": world.rules.device_ttl.as_secs(),
        "interval": world.rules.device_interval.as_secs(),
    });
    let reply = Reply::json(200, &body);
    match dialect {
        Dialect::OidcProvider => answers::oidc_headers(reply),
        _ => answers::no_store(reply),
    }
}

fn decide(world: &mut World, form: &Form) -> Reply {
    let code = form
        .get("user_code")
        .unwrap_or_default()
        .to_ascii_uppercase();
    let user = form.get("user").unwrap_or("alice").to_owned();
    let allowed = form.get("decision") != Some("deny");
    let now = world.now();
    let enabled = world.store.user(&user) == UserState::Enabled;
    let mut devices = world.store.devices.values_mut();
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
    world.say(Mood::Plain, text);
    page::done("You can close this page and go back to your device.")
}

/// How much longer a device must wait after it asked too soon (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The device asks at the token endpoint.
pub(crate) fn poll(world: &mut World, client: &str, form: &Form) -> Result<Answer, Refusal> {
    let text = form
        .get("device_code")
        .ok_or(Refusal::Missing("device_code"))?;
    let now = world.now();
    let device = world
        .store
        .devices
        .get_mut(text)
        .ok_or(Refusal::UnknownDevice)?;
    if device.client != client {
        return Err(Refusal::OtherClient);
    }
    if now >= device.ends {
        return Err(Refusal::DeviceExpired);
    }
    let before = device.polled.replace(now);
    if before.is_some_and(|before| now.since(before) < device.interval) {
        device.interval += SLOWER;
        return Err(Refusal::SlowDown);
    }
    let user = match &device.state {
        DeviceState::Waiting => return Err(Refusal::Pending),
        DeviceState::Denied => {
            // It is told once.
            world.store.devices.remove(text);
            return Err(Refusal::Denied);
        }
        DeviceState::Used { grant } => {
            let grant = *grant;
            if world.habits().code_replay_kills {
                world.kill(grant, "its device code was used twice");
            }
            return Err(Refusal::UnknownDevice);
        }
        DeviceState::Allowed { user } => user.clone(),
    };
    let (scope, resource) = (device.scope.clone(), device.resource.clone());
    let number = world.new_grant(Some(user.clone()), client, resource.clone());
    if let Some(device) = world.store.devices.get_mut(text) {
        device.state = DeviceState::Used { grant: number };
    }
    world.tally.sign_ins += 1;
    let with_refresh = world.may_refresh(client);
    world.say(
        Mood::Good,
        format!("sign-in: {user} for a device of client {client} is grant {number}"),
    );
    Ok(world.issue(number, scope, resource, with_refresh))
}
