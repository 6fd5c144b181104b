//! The stdio side of a remote MCP server: JSON-RPC lines in, Streamable HTTP out, and back.
//!
//! Between a client and a server of one era, messages are forwarded byte for byte. The bridge reads only their id, method and
//! a few params, to know where an answer belongs and which headers the era wants, so methods and fields that it does not
//! know pass through. It changes three things: a line break between tokens, which a line protocol cannot carry; the id of
//! an HTTP-level error that names no request; and the list of tools, from which a tool with invalid header annotations is
//! left out. Between a client of one era and a server of the other, messages are translated (`version`).
//!
//! Two eras share one bridge, told apart message by message:
//!
//! | | up to 2025-11-25 | from 2026-07-28 |
//! |---|---|---|
//! | a message belongs here when | an `initialize` came before | its `_meta` names a protocol version, even if it is called `initialize` |
//! | headers | session id, negotiated version | version, method, name and annotated parameters of this message |
//! | server messages outside an answer | on a GET stream | inside the answer to a request |
//! | cancel | the notification is forwarded | the request's response stream is closed |
//! | stream breaks | resumed by its last event id | the request fails |
//! | session forgotten (404) | re-initialized unseen by the client, log level and subscriptions renewed | there is none |
//! | headers refused (−32020) | there are none | the tools are listed again, the call is made once more |
//! | the server knows only the other era | asked `server/discover`, then translated | greeted with `initialize`, then translated |
//!
//! A server of the HTTP+SSE transport (2024-11-05) is spoken to through `http_sse`, which makes it look like one of
//! Streamable HTTP.
//!
//! The layers, each using those below it only:
//!
//! | folder | contents |
//! |---|---|
//! | `pump` | the life of a session (`life`), jobs, negotiation, session control, exchanges |
//! | `session` | sessions, the order of messages, headers, tools |
//! | `version` | translation between the eras |
//! | `codec` | JSON-RPC messages, lines, events |
//!
//! ```text
//! stdin ─ framing ─ life (version) ─┬─ job: exchange (one task a message) ─ (http_sse) ─ Upstream ─ server
//! stdout ─ writer task ─────────────┴─ get_stream (one task a session) ────┘
//! ```
//!
//! A request without an answer of the server gets a JSON-RPC error of the bridge: a [`CallError`](crate::error::CallError)
//! as `error_message` renders it.
//!
//! While a request waits for a person to sign in, its client gets progress if it asked for it; a cancellation or the client's
//! end ends the wait at once.
//!
//! The bridge knows no tokens: an `Upstream` injects them and recovers from a 401.

mod answer;
mod bridge;
mod codec;
mod error_message;
mod event_stream;
mod forward_upstream;
mod http_message;
mod http_sse;
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
    bridge::{refuse, serve},
    forward_upstream::ForwardUpstream,
    list_tools::{ListToolsError, ListedTools, list_tools},
    options::BridgeOptions,
    pump::outcome::BridgeError,
    version::VersionCache,
};
pub(crate) use self::{http_message::HttpMessage, session::headers::SESSION_ID};
