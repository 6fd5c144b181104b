//! Requests and replies as plain values: what is decided here is acted on in `server`.

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

    /// What follows the scheme in the `Authorization` header. Schemes compare without regard to case (RFC 9110 §11.1).
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

    /// Whether there is a field of this name, be it empty.
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

/// A reply, and how it is to be sent.
#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// What follows the body, each after a while: an event stream.
    pub(crate) later: Vec<(Duration, Bytes)>,
    /// How long to wait before the first byte.
    pub(crate) delay: Duration,
    /// The socket is cut instead of answering.
    pub(crate) lost: bool,
    /// What a built-in scenario has to do with it.
    pub(crate) staged: Option<Box<StagedBody>>,
}

/// A reply of a built-in scenario.
#[derive(Debug)]
pub(crate) enum StagedBody {
    /// An event stream that lasts for as long as the scenario wants, and ends with this.
    Kept(Bytes),
    /// The scenario wants to know when its last byte is taken, or its reader gone.
    Watched(WatchedBody),
}

/// Whose end is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchedBody {
    /// A stream on which the server speaks unasked, by its number.
    Stream(usize),
    /// A long answer.
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

    /// Takes a header away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
}

/// A text made safe for HTML, attributes included.
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

/// A URL with parameters added to its query.
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
