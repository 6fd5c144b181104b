//! Hold: a call without authorization waits while a person signs in, then goes on.
//!
//! ```text
//! Forwarder ─▶ Hold ─▶ SignInHost ─┬─ the store: is the incident over? (seen within 50 ms, whichever process ended it)
//!                                  └─ LinkHost ─▶ Leader (an OS lock: one process of all) ─▶ LinkServer (the link)
//! ```
//!
//! One of the processes that hold calls of a connection serves the sign-in link: it listens on loopback, and its address is
//! the link in the notification. Each click begins a sign-in of its own, with a fresh `state` and verifier, and redirects
//! the browser to the provider. If that process ends, another takes over, at the same address if it is free. A bridge
//! starts a separate process for it ([`run_detached()`]), because an MCP client may kill the bridge at any time.
//!
//! Where the daemon has a public URL, the link in a notification is a page there ([`PublicSignIn`]).

mod detached;
mod extra;
mod hold;
mod host;
mod incident_links;
mod leader;
mod policy;
mod poll;
mod public_page;
mod public_url;
mod run_detached;
mod server;

#[cfg(test)]
pub(crate) use self::hold::SignInHost;
pub use self::{
    extra::extra_parameters, hold::Hold, host::LinkHost, incident_links::IncidentLinks,
    leader::Links, policy::needs_sign_in, public_page::PublicSignIn, public_url::PublicUrl,
    run_detached::run_detached,
};
pub(crate) use self::{hold::sign_in, policy::is_resolved_by_sign_in, public_page::Submitted};
