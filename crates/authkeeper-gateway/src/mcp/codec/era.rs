//! The two eras of the protocol.

use serde::{Deserialize, Serialize};

use super::message::Message;

/// Which half of the protocol's history a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::mcp) enum Era {
    /// Up to 2025-11-25: a handshake, perhaps a session.
    Handshake,
    /// From 2026-07-28: every message stands alone.
    Stateless,
}

/// A version in `_meta` says stateless, whatever the method. A notification need not carry `_meta`
/// (2026-07-28 defines none for HTTP), so it follows what the client has done before.
pub(in crate::mcp) fn era(message: &Message, after_handshake: bool) -> Era {
    match message.call() {
        Some(call) if call.version.is_some() => Era::Stateless,
        Some(_) if after_handshake => Era::Handshake,
        Some(_) if message.awaited().is_empty() => Era::Stateless,
        _ => Era::Handshake,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn eras_are_told_apart_message_by_message() {
        let modern = message(&format!(r#"{{"id":1,"method":"x","params":{{{META}}}}}"#));
        assert_eq!(era(&modern, true), Era::Stateless);
        let initialize = |params: &str| {
            let text = format!(r#"{{"id":1,"method":"initialize","params":{{{params}{META}}}}}"#);
            era(&message(&text), false)
        };
        let handshake = initialize(r#""protocolVersion":"2025-11-25","#);
        assert_eq!(handshake, Era::Handshake);
        assert_eq!(initialize(""), Era::Stateless, "a method like any");
        assert_eq!(
            era(&message(r#"{"id":1,"method":"x"}"#), false),
            Era::Handshake
        );
        assert_eq!(era(&message(r#"{"method":"x"}"#), false), Era::Stateless);
        assert_eq!(era(&message(r#"{"method":"x"}"#), true), Era::Handshake);
        assert_eq!(
            era(&message(r#"{"id":1,"result":{}}"#), true),
            Era::Handshake
        );
    }
}
