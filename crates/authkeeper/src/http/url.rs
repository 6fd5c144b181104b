//! Absolute `http` and `https` URLs, kept byte for byte.

use std::net::IpAddr;

use http::Uri;

use crate::text::sanitize::one_line;

/// The longest URL that is taken: others name them, and persons read them.
const URL_LIMIT: usize = 2048;

/// An absolute `http` or `https` URL, kept exactly as it was spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    pub(super) text: String,
    pub(super) uri: Uri,
}

/// A URL that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} {problem}")]
pub struct InvalidUrl {
    url: String,
    problem: String,
}

impl InvalidUrl {
    /// The URL that was meant, where only the `https://` before it was left out.
    pub fn meant(&self) -> Option<HttpUrl> {
        if self.url.contains("://") {
            return None;
        }
        let whole = HttpUrl::parse(&format!("https://{}", self.url)).ok()?;
        if whole.is_loopback() {
            return HttpUrl::parse(&format!("http://{}", self.url)).ok();
        }
        whole.host().contains('.').then_some(whole)
    }
}

impl HttpUrl {
    /// Checks a URL: absolute, `https`, or `http` on this machine only, without a fragment or user name.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let refuse = |problem: String| InvalidUrl {
            url: one_line(text),
            problem,
        };
        if text.len() > URL_LIMIT {
            return Err(refuse(format!("is longer than {URL_LIMIT} characters")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                "has characters that no URL has; write them as %XX".to_owned(),
            ));
        }
        if text.contains('#') {
            return Err(refuse(
                "has a fragment (the part after '#'); remove it".to_owned(),
            ));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error| refuse(format!("is not a URL: {error}")))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let (Some(scheme), Some(host)) = (uri.scheme_str(), host) else {
            return Err(refuse(
                "is not an absolute URL; it must start with https://".to_owned(),
            ));
        };
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(refuse(
                "carries a user name; remove the part before '@'".to_owned(),
            ));
        }
        if !has_real_port(&uri, host) {
            return Err(refuse("has a port that is none".to_owned()));
        }
        match scheme {
            "https" => {}
            "http" if is_loopback_host(host) => {}
            "http" => {
                return Err(refuse(
                    "must use https (http is for this machine only)".to_owned(),
                ));
            }
            other => return Err(refuse(format!("must use https, not {other}"))),
        }
        Ok(Self {
            text: text.to_owned(),
            uri,
        })
    }

    /// The URL byte for byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port, as in `https://host:port` (the port only where it was written).
    pub fn origin(&self) -> String {
        let authority = self
            .uri
            .authority()
            .map_or("", http::uri::Authority::as_str);
        format!("{}://{authority}", self.uri.scheme_str().unwrap_or("https"))
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether both name the same scheme, host and port. Hosts compare without regard to case (RFC 3986 §3.2.2).
    pub fn same_origin(&self, other: &Self) -> bool {
        self.uri.scheme() == other.uri.scheme()
            && self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
    }

    /// The parsed form.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host as written, without brackets.
    pub fn host(&self) -> &str {
        self.uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    pub(super) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    pub(super) fn port(&self) -> u16 {
        self.uri
            .port_u16()
            .unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether it names this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.host())
    }
}

/// Whether what follows the host is nothing or a port that can be dialled. A port that is not one would otherwise stand
/// in the text while the usual one is dialled.
fn has_real_port(uri: &Uri, host: &str) -> bool {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    match authority.strip_prefix(host) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(|port| !port.starts_with('+') && port.parse::<u16>().is_ok()),
        None => false,
    }
}

pub(super) fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_kept_byte_for_byte() {
        for text in [
            "https://mcp.example",
            "https://mcp.example/",
            "https://MCP.example:443/a%2Fb?x",
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().as_str(), text);
        }
        let url = HttpUrl::parse("http://127.0.0.1:80/x").unwrap();
        assert_eq!(url.origin(), "http://127.0.0.1:80");
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        assert!(HttpUrl::parse("http://localhost:1/x").is_ok());
        assert!(HttpUrl::parse("http://[::1]:1/x").is_ok());
        for bad in [
            "http://mcp.example/",
            "ftp://mcp.example/",
            "mcp.example",
            "/x",
            "https://a@b/",
            "https://a/#b",
            "http://127.0.0.1.example/",
            "https://a:99999/",
            "https://a:/",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_that_is_refused_can_be_shown() {
        let long = format!("https://mcp.example/{}", "x".repeat(4_000));
        let error = HttpUrl::parse(&long).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn what_lacks_only_its_scheme_is_known() {
        for (typed, meant) in [
            ("mcp.notion.com/mcp", Some("https://mcp.notion.com/mcp")),
            ("mcp.notion.com", Some("https://mcp.notion.com")),
            ("127.0.0.1:8765/mcp", Some("http://127.0.0.1:8765/mcp")),
            ("localhost:8765/mcp", Some("http://localhost:8765/mcp")),
            ("http://mcp.example/mcp", None),
            ("ftp://mcp.example", None),
            ("me@mcp.example", None),
            ("notion", None),
            ("/mcp", None),
            ("", None),
        ] {
            let found = HttpUrl::parse(typed).unwrap_err().meant();
            assert_eq!(found.as_ref().map(HttpUrl::as_str), meant, "{typed}");
        }
    }
}
