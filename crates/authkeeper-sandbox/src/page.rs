//! The HTML pages: sign-in, device and the live page.

use crate::{
    state::SandboxState,
    store::{AccountState, AuthorizationEntry},
    wire::{HttpReply, HttpRequest, escaped},
};

/// The live page; it asks `/control` for everything it shows.
const HOME: &str = include_str!("home.html");
const STYLE: &str = include_str!("style.css");

pub(crate) fn home() -> HttpReply {
    guarded(HttpReply::html(200, HOME.replace("/*STYLE*/", STYLE)))
}

/// Whether a request comes from this sandbox's own pages or from a program. A web page elsewhere sends its own `Origin`,
/// or reaches this machine under another `Host`.
pub(crate) fn is_own(state: &SandboxState, request: &HttpRequest) -> bool {
    let authority = state.base.strip_prefix("http://").unwrap_or_default();
    let port = authority.rsplit(':').next().unwrap_or_default();
    let ours = |host: &str| host == authority || host == format!("localhost:{port}");
    let origin = request
        .headers
        .get("origin")
        .map(|value| value.to_str().unwrap_or("?"));
    let own_origin = origin.is_none_or(|origin| origin.strip_prefix("http://").is_some_and(ours));
    own_origin && request.header("host").is_none_or(ours)
}

/// Adds headers so that no other page can frame this one or see its URL.
fn guarded(reply: HttpReply) -> HttpReply {
    reply
        .with("cache-control", "no-store")
        .with("x-frame-options", "DENY")
        // With `no-referrer`, a browser would send our own forms with `Origin: null`.
        .with("referrer-policy", "same-origin")
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style>\
         <main class=\"card\"><h1>{title}</h1>{body}</main></html>"
    )
}

pub(crate) fn problem(status: u16, what: &str) -> HttpReply {
    let body = format!("<p>{}</p>", escaped(what));
    guarded(HttpReply::html(status, page("That did not work", &body)))
}

pub(crate) fn done(what: &str) -> HttpReply {
    let body = format!("<p>{}</p>", escaped(what));
    guarded(HttpReply::html(200, page("Done", &body)))
}

/// Radio buttons for the enabled accounts.
fn accounts(state: &SandboxState) -> String {
    let users = state.store.users.iter();
    let enabled = users.filter(|(_, account)| **account == AccountState::Enabled);
    let radio = |(index, (name, _)): (usize, (&String, &AccountState))| {
        let name = escaped(name);
        let checked = if index == 0 { " checked" } else { "" };
        format!(
            "<label><input type=\"radio\" name=\"user\" value=\"{name}\"{checked}> {name}</label>"
        )
    };
    enabled.enumerate().map(radio).collect()
}

const BUTTONS: &str = "<p><button name=\"decision\" value=\"allow\">Allow</button> \
    <button name=\"decision\" value=\"deny\" class=\"quiet\">Deny</button></p>";

pub(crate) fn consent(state: &SandboxState, id: &str, asked: &AuthorizationEntry) -> HttpReply {
    let scope = escaped(&asked.scope.join(", "));
    let client = escaped(state.client_name(&asked.client));
    let body = format!(
        "<p>The program <b>{client}</b> wants to act for you: <b>{scope}</b>.</p>\
         <form action=\"/authorize/{id}\" method=\"post\"><fieldset><legend>Who are you?</legend>{}</fieldset>{BUTTONS}\
         </form><p class=\"dim\">This is a sandbox: no password, no real account. \
         <a href=\"/authorize/{id}/abort\">Cancel</a></p>",
        accounts(state)
    );
    guarded(HttpReply::html(200, page("Sign in to the sandbox", &body)))
}

pub(crate) fn device(state: &SandboxState, user_code: &str) -> HttpReply {
    let code = escaped(user_code);
    let body = format!(
        "<form action=\"/device\" method=\"post\"><p><label>The code your device shows \
         <input name=\"user_code\" value=\"{code}\" autocomplete=\"off\"></label></p>\
         <fieldset><legend>Who are you?</legend>{}</fieldset>{BUTTONS}</form>",
        accounts(state)
    );
    guarded(HttpReply::html(200, page("Connect a device", &body)))
}
