//! The stdio side of a remote MCP server: JSON-RPC lines in, Streamable HTTP out, and back.
//!
//! Between a client and a server of one era messages cross untouched. The bridge only *peeks* at them
//! (id, method, a few params) to know where an answer belongs and which headers its era wants, so
//! methods and fields it has never heard of pass byte for byte. The few things ever changed are a line
//! break between tokens, which a line protocol cannot carry, the id of an HTTP-level error that names
//! no request, and a tool whose header annotations are invalid, which is left out of the list. A client
//! of one era and a server of the other are interpreted for each other ([`era`]).
//!
//! Two eras share one bridge, told apart message by message:
//!
//! | | up to 2025-11-25 | from 2026-07-28 |
//! |---|---|---|
//! | a message belongs here when | an `initialize` came before | its `_meta` names a protocol version, even if it is called `initialize` |
//! | headers | session id, negotiated version | version, method, name and annotated parameters ([`tools`](mod@tools)) of this message |
//! | server speaks on its own | on a GET stream ([`listen`]) | inside the answer to a request |
//! | cancel | the notification is forwarded | the request's response stream is closed |
//! | stream breaks | resumed by its last event id | the request fails |
//! | session forgotten (404) | re-initialized behind the client's back, log level and subscriptions renewed | there is none |
//! | headers refused (−32020) | there are none | the tools are listed anew, the call is made once more |
//! | the server knows only the other era | asked `server/discover`, then interpreted | greeted with `initialize`, then interpreted |
//!
//! ```text
//! stdin ─ framing ─ (era) ─ bridge ─┬─ exchange (one task a message) ─ Upstream ─ server
//! stdout ─ writer task ──── (era) ──┴─ listen   (one task a session) ─┘
//! ```
//!
//! A request the server did not answer gets a JSON-RPC error of ours; `data` says `kind`, `executed`
//! (`no` or `unknown`) and `retryable`:
//!
//! | code | kind | meaning |
//! |---|---|---|
//! | −31001 | `authority`, `authority_lost` | a person must act |
//! | −31002 | `rejected` | the server refuses a fresh token |
//! | −31003 | `unavailable` | provider or network; nothing was sent |
//! | −31004 | `interrupted` | the connection broke before the answer |
//! | −31005 | `unusable_answer`, `answer_too_large` | not an MCP message |
//! | −31006 | `not_started` | the bridge can't work: what a person has to mend |
//!
//! While a request waits for a person to sign in ([`held`]), its client gets progress where it asked for it; a cancellation
//! or the client's end ends the wait at once.
//!
//! Tokens are none of its business: an [`Upstream`] injects them and recovers from a 401.

mod answer;
mod codec;
mod forward_upstream;
mod http_message;
mod list_tools;
mod options;
mod progress;
mod pump;
mod response_body;
mod session;
pub mod stdio;
#[cfg(test)]
mod tests;
mod upstream;
mod version;

pub use self::{
    forward_upstream::ForwardUpstream,
    list_tools::{ListToolsError, ListedTools, list_tools},
    options::BridgeOptions,
    pump::bridge::{BridgeError, refuse, serve},
    version::VersionCache,
};
pub(crate) use self::{forward_upstream::upstream_error, http_message::HttpMessage};
