//! Absolute `http` and `https` URLs, kept byte for byte.

use std::net::IpAddr;

use http::Uri;

use crate::text::sanitize::one_line;

/// The longest URL that is taken: others name them, and persons read them.
const URL_LIMIT: usize = 2048;

/// How much of a URL is shown that is none.
const SHOWN: usize = 200;

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
    /// The URL that was meant: the same with `https`, without a fragment and without a user name.
    pub fn meant(&self) -> Option<HttpUrl> {
        // What was cut for showing is not the URL any more.
        if self.url.len() >= SHOWN {
            return None;
        }
        let (text, _fragment) = self.url.split_once('#').unwrap_or((&self.url, ""));
        let text = text.trim();
        if let Some((scheme, rest)) = text.split_once("://") {
            let secure = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end)?;
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            let scheme = scheme.to_ascii_lowercase();
            let same = HttpUrl::parse(&format!("{scheme}://{host}{path}"));
            let other = || HttpUrl::parse(&format!("https://{host}{path}"));
            return same.or_else(|_| other()).ok().filter(|_| secure);
        }
        let whole = HttpUrl::parse(&format!("https://{text}")).ok()?;
        if whole.is_loopback() {
            return HttpUrl::parse(&format!("http://{text}")).ok();
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

    /// The URL that a reference names, seen from this one: absolute, from the root, or beside it (RFC 3986 §4.2). A
    /// fragment is for a browser and left out.
    pub fn join(&self, reference: &str) -> Result<Self, InvalidUrl> {
        let reference = reference.trim();
        let (reference, _fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let (head, _query) = reference.split_once('?').unwrap_or((reference, ""));
        if head.contains("://") {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            let scheme = self.uri.scheme_str().unwrap_or("https");
            return Self::parse(&format!("{scheme}:{reference}"));
        }
        let folder = match reference.chars().next() {
            Some('/') => "",
            Some('?') | None => self.path(),
            Some(_) => self
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder),
        };
        let gap = if reference.starts_with(['/', '?']) || reference.is_empty() {
            ""
        } else {
            "/"
        };
        Self::parse(&format!("{}{folder}{gap}{reference}", self.origin()))
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
    fn a_reference_is_read_from_where_it_stands() {
        let base = HttpUrl::parse("https://as.example:8443/a/b?c").unwrap();
        for (reference, whole) in [
            ("https://x.example/y", "https://x.example/y"),
            ("//x.example/y", "https://x.example/y"),
            ("/y?z#top", "https://as.example:8443/y?z"),
            ("y", "https://as.example:8443/a/y"),
            ("?z=http://q", "https://as.example:8443/a/b?z=http://q"),
            ("", "https://as.example:8443/a/b"),
        ] {
            assert_eq!(base.join(reference).unwrap().as_str(), whole, "{reference}");
        }
        assert!(base.join("ftp://x.example/").is_err());
        assert!(base.join("http://x.example/").is_err());
    }

    #[test]
    fn what_lacks_only_its_scheme_is_known() {
        for (typed, meant) in [
            ("mcp.notion.com/mcp", Some("https://mcp.notion.com/mcp")),
            ("mcp.notion.com", Some("https://mcp.notion.com")),
            ("127.0.0.1:8765/mcp", Some("http://127.0.0.1:8765/mcp")),
            ("localhost:8765/mcp", Some("http://localhost:8765/mcp")),
            ("http://mcp.example/mcp", Some("https://mcp.example/mcp")),
            (
                "https://mcp.example/mcp#top",
                Some("https://mcp.example/mcp"),
            ),
            (
                "https://me:pw@mcp.example/mcp",
                Some("https://mcp.example/mcp"),
            ),
            ("http://localhost:1/mcp#top", Some("http://localhost:1/mcp")),
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
