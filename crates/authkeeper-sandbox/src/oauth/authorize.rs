//! The authorization endpoint and its sign-in page (RFC 6749 §4.1, PKCE, RFC 9207).

use std::time::Duration;

use serde_json::json;

use super::granted_scope;
use crate::{
    events::Mood,
    page,
    profile::Dialect,
    random,
    state::SandboxState,
    store::{AccountState, AuthorizationEntry, CodeEntry},
    wire::{Form, HttpReply, HttpRequest, with_query},
};

const CODE_TTL: Duration = Duration::from_mins(1);

/// `GET /authorize` shows the page. `POST /authorize/ID` and `GET /authorize/ID/abort` are the person's answer.
pub(crate) fn serve(state: &mut SandboxState, request: &HttpRequest) -> HttpReply {
    let Some(rest) = request.path.strip_prefix("/authorize/") else {
        return ask(state, &request.query);
    };
    if !page::is_own(state, request) {
        return page::problem(
            403,
            "Another page sent you here with an answer already filled in.",
        );
    }
    match (rest.strip_suffix("/abort"), request.is_post()) {
        (Some(id), _) => answer(state, id, None),
        (None, true) => {
            let form = request.form();
            let denied = form.get("decision") == Some("deny");
            let user = form.get("user").unwrap_or_default().to_owned();
            let user = if user.is_empty() {
                first_user(state)
            } else {
                Some(user)
            };
            answer(state, rest, user.filter(|_| !denied))
        }
        (None, false) => page::problem(404, "There is nothing here."),
    }
}

fn ask(state: &mut SandboxState, query: &Form) -> HttpReply {
    let asked = match understood(state, query) {
        Ok(asked) => asked,
        Err(AuthorizationError::Page(what)) => return mistrusted(state, query, what),
        Err(AuthorizationError::Redirect { to, error, what }) => {
            state.say(Mood::Warn, format!("sign-in refused: {what}"));
            return redirect(
                state,
                &to,
                query.get("state"),
                &[("error", error), ("error_description", what)],
            );
        }
    };
    let id = random::secret();
    state.store.asked.insert(id.clone(), asked.clone());
    let overrides = state.overrides.as_ref();
    if overrides.is_some_and(|overrides| overrides.deny_sign_ins) {
        return answer(state, &id, None);
    }
    if state.rules.auto_approve {
        let user = query.get("login_hint").map(str::to_owned);
        let user = user.or_else(|| first_user(state));
        return answer(state, &id, user);
    }
    page::consent(state, &id, &asked)
}

/// The error page for a client that can't be trusted with a redirect. `FastMCP` answers in JSON.
fn mistrusted(state: &SandboxState, query: &Form, what: &str) -> HttpReply {
    if state.habits().dialect != Dialect::FastMcp {
        return page::problem(400, what);
    }
    let client = query.get("client_id").unwrap_or_default();
    let what = if state.store.clients.contains_key(client) {
        what.to_owned()
    } else {
        format!("Client ID '{client}' not found")
    };
    let body = json!({"error": "invalid_request", "error_description": what});
    HttpReply::json(400, &body).with("cache-control", "no-store")
}

fn first_user(state: &SandboxState) -> Option<String> {
    let mut users = state.store.users.iter();
    let (name, _) = users.find(|(_, account)| **account == AccountState::Enabled)?;
    Some(name.clone())
}

enum AuthorizationError {
    /// Shown to the person, because the redirect URI can't be trusted.
    Page(&'static str),
    /// Sent to the client (RFC 6749 §4.1.2.1).
    Redirect {
        to: String,
        error: &'static str,
        what: &'static str,
    },
}

fn understood(
    state: &SandboxState,
    query: &Form,
) -> Result<AuthorizationEntry, AuthorizationError> {
    let client_id = query.get("client_id").unwrap_or_default();
    let client = state.store.clients.get(client_id);
    let client = client.ok_or(AuthorizationError::Page("This client is not known here."))?;
    let to = query.get("redirect_uri").unwrap_or_default();
    if !is_allowed(client.redirect_uris.as_deref(), to) {
        return Err(AuthorizationError::Page(
            "This client may not be redirected there.",
        ));
    }
    let wrong = |error, what| AuthorizationError::Redirect {
        to: to.to_owned(),
        error,
        what,
    };
    if query.get("response_type") != Some("code") {
        return Err(wrong(
            "unsupported_response_type",
            "only response_type=code is served",
        ));
    }
    let challenge = query.get("code_challenge");
    let challenge = challenge.filter(|_| query.get("code_challenge_method") == Some("S256"));
    let challenge = challenge.ok_or_else(|| {
        wrong(
            "invalid_request",
            "Authorization Server policy requires PKCE to be used for this request",
        )
    })?;
    let resource = query.get("resource");
    if resource.is_some_and(|resource| !state.knows_resource(resource)) {
        return Err(wrong(
            "invalid_target",
            "resource indicator is missing, or unknown",
        ));
    }
    Ok(AuthorizationEntry {
        client: client_id.to_owned(),
        redirect_uri: to.to_owned(),
        state: query.get("state").map(str::to_owned),
        challenge: challenge.to_owned(),
        scope: granted_scope(query.words("scope")),
        resource: resource.map(str::to_owned),
    })
}

/// A loopback address may have any port (RFC 8252 §7.3); a client registered by hand may use any loopback address.
fn is_allowed(registered: Option<&[String]>, to: &str) -> bool {
    let Some(registered) = registered else {
        return loopback(to).is_some();
    };
    registered
        .iter()
        .any(|known| known == to || (loopback(known).is_some() && loopback(known) == loopback(to)))
}

/// Host and path of a loopback address, without its port.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let known = matches!(host, "127.0.0.1" | "localhost") && port.parse::<u16>().is_ok();
    (known && !path.contains('#')).then_some((host, path))
}

/// Redirects with the person's answer; `None` denies.
fn answer(state: &mut SandboxState, id: &str, user: Option<String>) -> HttpReply {
    let Some(asked) = state.store.asked.remove(id) else {
        return page::problem(404, "This sign-in is over. Start again from the program.");
    };
    let enabled = |user: &String| state.store.user(user) == AccountState::Enabled;
    let Some(user) = user.filter(enabled) else {
        state.say(
            Mood::Warn,
            format!(
                "sign-in for client {} denied",
                state.client_name(&asked.client)
            ),
        );
        return redirect(
            state,
            &asked.redirect_uri,
            asked.state.as_deref(),
            &[
                ("error", "access_denied"),
                ("error_description", "End-User aborted interaction"),
            ],
        );
    };
    let code = random::secret();
    state.say(
        Mood::Plain,
        format!("{user} allowed client {}", state.client_name(&asked.client)),
    );
    let ends = state.now().plus(CODE_TTL);
    let kept = CodeEntry {
        client: asked.client,
        user,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge,
        scope: asked.scope,
        resource: asked.resource,
        ends,
        grant: None,
    };
    state.store.codes.insert(code.clone(), kept);
    let to = asked.redirect_uri;
    redirect(state, &to, asked.state.as_deref(), &[("code", &code)])
}

fn redirect(
    state: &SandboxState,
    to: &str,
    client_state: Option<&str>,
    fields: &[(&str, &str)],
) -> HttpReply {
    let mut fields = fields.to_vec();
    if let Some(client_state) = client_state {
        fields.push(("state", client_state));
    }
    fields.push(("iss", &state.base));
    HttpReply::redirect(with_query(to, &fields)).with("cache-control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_a_loopback_address_is_free() {
        let known = ["http://127.0.0.1/callback".to_owned()];
        let allowed = |to| is_allowed(Some(&known), to);
        assert!(allowed("http://127.0.0.1:4711/callback"));
        assert!(!allowed("http://127.0.0.1:4711/other"));
        assert!(!allowed("http://localhost:4711/callback"));
        assert!(!allowed("http://127.0.0.1.evil.example/callback"));
        assert!(!allowed("http://127.0.0.1:80@evil.example/callback"));
        assert!(is_allowed(None, "http://localhost:1/x"));
        assert!(!is_allowed(None, "https://evil.example/x"));
    }
}
