//! Which headers a message wants, from the message and the session alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::sessions::Session;
use crate::mcp::codec::message::{Message, MethodCall};

pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The bridge reads every answer, and reads none that is compressed.
const UNCOMPRESSED: HeaderValue = HeaderValue::from_static("identity");

/// Headers of the POST that carries `message`.
pub(in crate::mcp) fn for_message(message: &Message, session: &Session) -> HeaderMap {
    let mut headers = of_every_request();
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match message.call() {
        Some(call) if call.version.is_some() => stateless(&mut headers, call),
        Some(_) if message.opens_session() => {}
        _ => add_session(&mut headers, session),
    }
    headers
}

/// Headers of the GET that opens or resumes an event stream.
pub(in crate::mcp) fn for_listening(session: &Session, last_event_id: Option<&str>) -> HeaderMap {
    let mut headers = of_every_request();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    add_session(&mut headers, session);
    if let Some(Ok(id)) = last_event_id.map(HeaderValue::from_str) {
        headers.insert(LAST_EVENT_ID, id);
    }
    headers
}

/// Headers of the DELETE that ends a session.
pub(in crate::mcp) fn for_ending(session: &Session) -> HeaderMap {
    let mut headers = of_every_request();
    add_session(&mut headers, session);
    headers
}

/// Servers and firewalls refuse requests that do not say who sends them.
fn of_every_request() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(authkeeper::http::USER_AGENT),
    );
    headers.insert(ACCEPT_ENCODING, UNCOMPRESSED);
    headers
}

/// 2025-11-25, basic/transports, "Session Management" 2 and "Protocol Version Header".
fn add_session(headers: &mut HeaderMap, session: &Session) {
    if let Some(id) = &session.id {
        headers.insert(SESSION_ID, id.clone());
    }
    if let Some(version) = &session.version {
        headers.insert(PROTOCOL_VERSION, version.clone());
    }
}

/// 2026-07-28, basic/transports/streamable-http, "Request Metadata".
fn stateless(headers: &mut HeaderMap, call: &MethodCall) {
    let version = call.version.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(version)) = version {
        headers.insert(PROTOCOL_VERSION, version);
    }
    headers.insert(METHOD, encoded(&call.method));
    if let Some(target) = &call.target {
        headers.insert(NAME, encoded(target));
    }
}

/// Plain where a header can hold it, Base64 in the sentinel form where not ("Value Encoding").
pub(in crate::mcp) fn encoded(value: &str) -> HeaderValue {
    let plain = || {
        HeaderValue::from_str(value)
            .ok()
            .filter(|_| is_plain(value))
    };
    plain().unwrap_or_else(|| {
        let sentinel = format!("=?base64?{}?=", STANDARD.encode(value));
        HeaderValue::try_from(sentinel).unwrap_or_else(|_never| HeaderValue::from_static(""))
    })
}

fn is_plain(value: &str) -> bool {
    let safe = value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let padded = value.trim_matches([' ', '\t']) != value;
    let sentinel = value.starts_with("=?base64?") && value.ends_with("?=");
    safe && !padded && !sentinel
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn session() -> Session {
        Session {
            may_be_forgotten: false,
            id: Some(HeaderValue::from_static("s1")),
            version: Some(HeaderValue::from_static("2025-11-25")),
            generation: 1,
            heard: None,
        }
    }

    fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn the_handshake_era_sends_session_and_negotiated_version() {
        let headers = for_message(&message(r#"{"id":1,"method":"tools/list"}"#), &session());
        assert_eq!(header(&headers, "mcp-session-id"), Some("s1"));
        assert_eq!(header(&headers, "mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!(
            header(&headers, "accept"),
            Some("application/json, text/event-stream")
        );
        assert_eq!(header(&headers, "content-type"), Some("application/json"));
        assert_eq!(header(&headers, "mcp-method"), None);
    }

    #[test]
    fn every_request_says_who_sends_it_and_wants_nothing_compressed() {
        for headers in [
            for_message(&message(r#"{"id":1,"method":"x"}"#), &session()),
            for_listening(&session(), None),
            for_ending(&session()),
        ] {
            assert_eq!(header(&headers, "accept-encoding"), Some("identity"));
            let agent = header(&headers, "user-agent").unwrap();
            assert!(agent.starts_with("authkeeper/"), "{agent}");
        }
    }

    #[test]
    fn initialize_knows_no_session_yet() {
        let headers = for_message(&message(r#"{"id":1,"method":"initialize"}"#), &session());
        assert_eq!(header(&headers, "mcp-session-id"), None);
        assert_eq!(header(&headers, "mcp-protocol-version"), None);
    }

    #[test]
    fn the_stateless_era_mirrors_the_message_and_has_no_session() {
        let text = format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"add",{META}}}}}"#);
        let headers = for_message(&message(&text), &session());
        assert_eq!(header(&headers, "mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(header(&headers, "mcp-method"), Some("tools/call"));
        assert_eq!(header(&headers, "mcp-name"), Some("add"));
        assert_eq!(header(&headers, "mcp-session-id"), None);
    }

    #[test]
    fn values_a_header_cannot_hold_are_encoded_as_the_specification_shows() {
        let text = |value: &str| encoded(value).to_str().unwrap().to_owned();
        assert_eq!(text("us-west1"), "us-west1");
        assert_eq!(text("Hello, 世界"), "=?base64?SGVsbG8sIOS4lueVjA==?=");
        assert_eq!(text(" padded "), "=?base64?IHBhZGRlZCA=?=");
        assert_eq!(text("line1\nline2"), "=?base64?bGluZTEKbGluZTI=?=");
        assert_eq!(
            text("=?base64?literal?="),
            "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="
        );
    }

    #[test]
    fn listening_resumes_where_it_stopped() {
        let headers = for_listening(&session(), Some("e7"));
        assert_eq!(header(&headers, "accept"), Some("text/event-stream"));
        assert_eq!(header(&headers, "last-event-id"), Some("e7"));
        assert_eq!(header(&headers, "mcp-session-id"), Some("s1"));
        assert_eq!(
            header(&for_listening(&session(), None), "last-event-id"),
            None
        );
    }
}
