//! Requests and replies as plain values. The server sends them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Form,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn is_post(&self) -> bool {
        self.method == Method::POST
    }

    pub(crate) fn form(&self) -> Form {
        Form::parse(&self.body)
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.credentials("bearer")
    }

    /// The credentials after this scheme in the `Authorization` header. Schemes are case-insensitive (RFC 9110 §11.1).
    pub(crate) fn credentials(&self, scheme: &str) -> Option<&str> {
        let (said, rest) = self.header("authorization")?.split_once(' ')?;
        said.eq_ignore_ascii_case(scheme).then_some(rest.trim())
    }

    /// User name and password of HTTP Basic, form-decoded as RFC 6749 §2.3.1 asks.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        let bytes = STANDARD.decode(self.credentials("basic")?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (name, password) = text.split_once(':')?;
        Some((form_decoded(name), form_decoded(password)))
    }
}

fn form_decoded(text: &str) -> String {
    let with_key = format!("x={text}");
    form_urlencoded::parse(with_key.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

/// Fields of a form or a query, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first field of this name, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let (_, value) = fields.find(|(key, value)| key == name && !value.is_empty())?;
        Some(value)
    }

    /// Whether there is a field of this name, empty or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    pub(crate) fn words(&self, name: &str) -> Option<Vec<String>> {
        Some(words(self.get(name)?))
    }
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A reply, and how it is sent.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The events that follow the body, each after a delay.
    pub(crate) later: Vec<(Duration, Bytes)>,
    /// The delay before the first byte.
    pub(crate) delay: Duration,
    /// The socket is cut instead of answering.
    pub(crate) lost: bool,
    /// Set where a built-in scenario controls the end of the body.
    pub(crate) staged: Option<Box<StagedBody>>,
}

/// How a built-in scenario controls a body.
#[derive(Debug)]
pub(crate) enum StagedBody {
    /// An event stream that is held open while the scenario wants, and ends with this event.
    Kept(Bytes),
    /// The scenario is told when the last byte was taken or the reader is gone.
    Watched(WatchedBody),
}

/// A body whose end is reported to the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchedBody {
    /// A stream that the MCP server opened, by its number.
    Stream(usize),
    /// The long answer of the test tool.
    Answer,
}

impl HttpReply {
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            later: Vec::new(),
            delay: Duration::ZERO,
            lost: false,
            staged: None,
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let mut reply = Self::empty(status).with("content-type", "application/json");
        reply.body = value.to_string().into();
        reply
    }

    pub(crate) fn html(status: u16, page: String) -> Self {
        let mut reply = Self::empty(status).with("content-type", "text/html; charset=utf-8");
        reply.body = page.into();
        reply
    }

    pub(crate) fn redirect(location: String) -> Self {
        Self::empty(303).with("location", location)
    }

    /// Sets a header; one of the same name is replaced.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Removes a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
}

/// Escapes a text for HTML, attributes included.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Adds parameters to the query of a URL.
pub(crate) fn with_query(url: &str, fields: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let mut headers = HeaderMap::new();
        let value = format!("bAsIc {}", STANDARD.encode("a%3Ab:c+d%2B"));
        headers.insert("authorization", value.parse().unwrap());
        let request = HttpRequest {
            method: Method::POST,
            path: "/token".into(),
            query: Form::default(),
            headers,
            body: Bytes::new(),
        };
        let pair = request.basic();
        assert_eq!(pair, Some(("a:b".into(), "c d+".into())));
    }

    #[test]
    fn markup_in_a_text_stays_text() {
        assert_eq!(escaped("<a href='x'>&"), "&lt;a href=&#39;x&#39;&gt;&amp;");
    }
}
