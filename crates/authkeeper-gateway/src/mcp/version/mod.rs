//! A client of one era and a server of the other.
//!
//! Nothing here touches a message as long as the client's era is one of the server's. Only where a
//! server refuses a message as one of the other era would ([`ServerEras::doubts`](server_eras::ServerEras::doubts)), [`pump`](super::pump) asks it in
//! that other era's way; if it answers, a [`Translator`](translator::Translator) stands between the two for the rest of the session, and in
//! later processes from the first message on ([`cache`]). The translators are pure: messages go in,
//! [`TranslatorStep`](step::TranslatorStep)s come out. The session's loop owns the translator; nothing else sees it.
//!
//! | client says, up to 2025-11-25 | [`ToStateless`](to_stateless::ToStateless): server hears, from 2026-07-28 |
//! |---|---|
//! | `initialize` | nothing: answered from `server/discover` |
//! | any request | the same with version, client and capabilities in `_meta` |
//! | `logging/setLevel` | nothing: the level is in the `_meta` of later requests |
//! | `resources/subscribe`, and the wish to know of changed lists | `subscriptions/listen` |
//! | the answer to a request of the server's | the call again, with `inputResponses` |
//! | `ping`, `notifications/roots/list_changed` | nothing |
//!
//! | client says, from 2026-07-28 | [`ToHandshake`](to_handshake::ToHandshake): server hears, up to 2025-11-25 |
//! |---|---|
//! | `server/discover` | nothing: answered from `initialize` |
//! | any request | the same without the stateless `_meta` |
//! | a log level in `_meta` | `logging/setLevel` before it |
//! | `subscriptions/listen` | `resources/subscribe` for each resource |
//! | the call again, with `inputResponses` | the answer to its own request |
//!
//! A client that knows both eras and begins with `server/discover` is answered in the newer one, also
//! before a server that knows only the older: nothing in its question tells it from a client that
//! knows no other.
//!
//! What has no counterpart: a server that asks something while no call of a 2026-07-28 client is under
//! way (it gets an error), the tasks of 2025-11-25, and log messages that nobody asked for.

mod cache;
mod downgrade;
mod listening;
pub(super) mod messages;
pub(super) mod mismatch;
pub(super) mod protocol;
pub(super) mod server_eras;
pub(super) mod step;
mod subscriptions;
#[cfg(test)]
mod tests;
pub(super) mod to_handshake;
pub(super) mod to_stateless;
pub(super) mod translator;

pub use self::cache::VersionCache;
