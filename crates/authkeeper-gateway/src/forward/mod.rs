//! Forwards calls to servers: the token is injected, a 401 is recovered from once, and after a 403 that names a scope more is
//! asked for.
//!
//! ```text
//! bridge ─ ForwardUpstream ─┐
//! server ───────────────────┴─ Forwarder ─┬─ Authority (tokens, failed calls)
//!                              (Hold)     └─ HTTP client ─ server
//! ```
//!
//! A call without a token whose provider may recover within seconds waits for that (`TokenWait`). With a
//! [`Hold`](crate::signin_link::Hold), a call that nobody is authorized to make waits for a person instead of failing.
//!
//! A token goes to the origin of its connection's URL only, and no redirect is followed.

mod authority;
mod call;
mod call_counts;
mod connect;
mod cookies;
mod decide;
#[cfg(test)]
mod dpop_tests;
mod forwarder;
mod headers;
mod operation;
mod outgoing;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod token_wait;

pub(crate) use self::{
    authority::{Authority, CallToken},
    call_counts::UNDECLARED,
};
pub use self::{
    call::{Call, CallBody, CallHeaders, fingerprint},
    call_counts::CallCounts,
    cookies::CookieJar,
    forwarder::Forwarder,
    headers::TASK_HEADER,
    target::{BadTarget, Target},
};
