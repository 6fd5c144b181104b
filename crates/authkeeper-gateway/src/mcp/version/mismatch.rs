//! Whether a refusal may mean that the server speaks the other era (2026-07-28,
//! basic/transports/streamable-http, "Backward Compatibility").

use http::StatusCode;

use super::protocol::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION};
use crate::mcp::codec::{era::Era, message::Message};

/// How a message was refused.
#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) struct VersionRefusal {
    pub(in crate::mcp) status: StatusCode,
    /// Of the JSON-RPC error, if it came with one.
    pub(in crate::mcp) code: Option<i64>,
}

/// Errors that only a server of the stateless era makes.
pub(in crate::mcp) fn is_stateless_error(code: i64) -> bool {
    matches!(
        code,
        HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION
    )
}

/// Whether a server of the other era would refuse this message in this way.
pub(super) fn is_doubtful(message: &Message, era: Era, refusal: VersionRefusal) -> bool {
    if !is_about_the_message(refusal) {
        return false;
    }
    match era {
        Era::Handshake => message.opens_session(),
        Era::Stateless if refusal.code.is_some_and(is_stateless_error) => false,
        // Only a request says in so many words which era it is of.
        Era::Stateless if message.awaited().is_empty() => false,
        // With 200 somebody has looked at the message: what cannot be said twice is not.
        Era::Stateless => {
            refusal.status.is_client_error()
                || message.is_idempotent()
                || message.is_request("subscriptions/listen")
        }
    }
}

/// Not about who asks, and not about the server's day.
fn is_about_the_message(refusal: VersionRefusal) -> bool {
    let refused =
        refusal.status.is_client_error() || (refusal.status.is_success() && refusal.code.is_some());
    refused && !has_other_reasons(refusal.status)
}

/// Who asks, or the server's day: nothing that its era explains.
pub(in crate::mcp) fn has_other_reasons(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubtful(text: &str, era: Era, status: u16, code: Option<i64>) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        let message = Message::parse(text.to_owned().into()).unwrap();
        is_doubtful(&message, era, VersionRefusal { status, code })
    }

    #[test]
    fn a_refused_handshake_is_doubtful_and_nothing_after_it() {
        let initialize = r#"{"id":1,"method":"initialize"}"#;
        let doubt = |status, code| doubtful(initialize, Era::Handshake, status, code);
        assert!(doubt(400, Some(UNSUPPORTED_VERSION)));
        assert!(doubt(200, Some(-32601)));
        assert!(doubt(404, None) && doubt(405, None));
        assert!(!doubt(401, None) && !doubt(403, Some(-32001)) && !doubt(429, None));
        assert!(!doubt(500, None) && !doubt(200, None) && !doubt(502, Some(-32603)));
        let list = r#"{"id":1,"method":"tools/list"}"#;
        assert!(!doubtful(list, Era::Handshake, 400, Some(-32600)));
    }

    #[test]
    fn a_stateless_message_is_doubtful_unless_the_error_is_of_its_era() {
        let call = r#"{"id":1,"method":"tools/call","params":{"name":"pay"}}"#;
        let doubt = |status, code| doubtful(call, Era::Stateless, status, code);
        assert!(doubt(400, None) && doubt(400, Some(-32000)) && doubt(404, None));
        for code in [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION] {
            assert!(!doubt(400, Some(code)), "{code}");
        }
        assert!(!doubt(401, None) && !doubt(503, None));
        assert!(!doubt(200, Some(-32602)), "a call may have done something");
        let note = r#"{"method":"notifications/vendor"}"#;
        assert!(!doubtful(note, Era::Stateless, 400, None));
        let discover = r#"{"id":1,"method":"server/discover"}"#;
        assert!(doubtful(discover, Era::Stateless, 200, Some(-32601)));
    }
}
