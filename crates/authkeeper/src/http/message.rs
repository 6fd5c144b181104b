//! Requests and replies.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};

/// The most of a reply that is read. Token and metadata documents are a few KiB; nothing we ask for is larger.
pub const REPLY_LIMIT: usize = 1024 * 1024;

/// How we name ourselves to servers.
pub const USER_AGENT: &str = concat!("authkeeper/", env!("CARGO_PKG_VERSION"));

/// A request as it goes out.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Headers besides `host`, which the transport sets.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A `GET` that asks for JSON.
    pub fn get_json() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        Self {
            method: Method::GET,
            headers,
            body: Bytes::new(),
        }
    }
}

/// A reply, read whole.
#[derive(Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`REPLY_LIMIT`] bytes.
    pub body: Bytes,
}

/// Neither headers nor body: they hold tokens, codes and secrets.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Neither headers nor body: they hold tokens.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (status, bytes) = (&self.status, &self.body.len());
        f.debug_struct("Reply")
            .field("status", status)
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// The `Content-Type` without parameters, in lower case.
    pub fn content_type(&self) -> String {
        let value = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        value
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_wire_does_not_print() {
        let request = Request {
            body: "refresh_token=hunter2".into(),
            ..Request::get_json()
        };
        let reply = Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "hunter2".into(),
        };
        assert!(!format!("{request:?} {reply:?}").contains("hunter2"));
    }
}
