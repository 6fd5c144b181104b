//! Where a call goes: the connection's URL, or something below it. Never another origin.

use authkeeper::http::HttpUrl;
use http::Uri;

/// Where a call goes, relative to the connection's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Empty for the URL itself, else starts with `/`. Percent-encoding is passed on untouched.
    suffix: String,
    query: Option<String>,
    /// Another URL of the same server in the place of both, absolute or relative to the connection's URL.
    whole: Option<String>,
}

/// A path or URL nothing is sent to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTarget {
    /// The path climbs out of the connection's URL.
    #[error("the path {0:?} leaves the connection's URL")]
    Traversal(String),
    /// The connection's URL is none that can be called.
    #[error("the connection's URL can't be used: {0}")]
    Url(String),
}

impl Target {
    /// The connection's URL itself.
    pub fn exact() -> Self {
        Self {
            suffix: String::new(),
            query: None,
            whole: None,
        }
    }

    /// Another URL of the same server: one that a person or the catalogue names, never a caller.
    pub fn of_same_server(url: &str) -> Self {
        Self {
            whole: Some(url.to_owned()),
            ..Self::exact()
        }
    }

    /// A URL that the server itself named, absolute or relative to the connection's. A server behind a TLS front often names
    /// its own host with `http`: that is the connection's origin all the same.
    pub(crate) fn named_by_server(reference: &str) -> Self {
        let own_scheme = reference.strip_prefix("http://");
        let reference = own_scheme.map_or_else(|| reference.to_owned(), |rest| format!("//{rest}"));
        Self {
            whole: Some(reference),
            ..Self::exact()
        }
    }

    /// Something below it. Segments that climb are refused however they are spelled, because what is
    /// on the other side may decode before it resolves.
    pub fn below(suffix: &str, query: Option<&str>) -> Result<Self, BadTarget> {
        let rooted = suffix.is_empty() || suffix.starts_with('/');
        if !rooted || climbs(suffix) {
            return Err(BadTarget::Traversal(suffix.to_owned()));
        }
        Ok(Self {
            suffix: suffix.to_owned(),
            query: query.map(str::to_owned),
            whole: None,
        })
    }

    /// The same for the same target; part of a call's fingerprint.
    pub fn spelled(&self) -> String {
        format!(
            "{}?{}",
            self.suffix,
            self.query.as_deref().unwrap_or_default()
        )
    }

    /// The URL to call, for a connection with this URL.
    pub fn under(&self, connection_url: &str) -> Result<Uri, BadTarget> {
        let unusable = |detail: String| BadTarget::Url(detail);
        let base = HttpUrl::parse(connection_url).map_err(|error| unusable(error.to_string()))?;
        let path = if self.suffix.is_empty() {
            base.path().to_owned()
        } else {
            format!("{}{}", base.path().trim_end_matches('/'), self.suffix)
        };
        let queries: Vec<&str> = [base.uri().query(), self.query.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let query = if queries.is_empty() {
            String::new()
        } else {
            format!("?{}", queries.join("&"))
        };
        let text = format!("{}{path}{query}", base.origin());
        let target = match &self.whole {
            Some(reference) => base.join(reference),
            None => HttpUrl::parse(&text),
        };
        let target = target.map_err(|error| unusable(error.to_string()))?;
        if !target.same_origin(&base) {
            return Err(unusable("it would lead to another server".to_owned()));
        }
        Ok(target.uri().clone())
    }
}

/// How often a path is decoded to find a climb that hides behind several layers of encoding.
const LAYERS: usize = 4;

fn climbs(path: &str) -> bool {
    let mut text = path.to_ascii_lowercase();
    for _ in 0..LAYERS {
        let mut segments = text
            .split('/')
            .map(|segment| segment.split(';').next().unwrap_or_default());
        if text.contains('\\') || segments.any(|segment| matches!(segment, "." | "..")) {
            return true;
        }
        let shown = text
            .replace("%2e", ".")
            .replace("%2f", "/")
            .replace("%5c", "\\")
            .replace("%3b", ";");
        text = shown.replace("%25", "%");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(url: &str, suffix: &str, query: Option<&str>) -> String {
        Target::below(suffix, query)
            .unwrap()
            .under(url)
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_suffix_is_appended_and_its_encoding_kept() {
        let url = "https://api.example/v1";
        assert_eq!(under(url, "", None), url);
        assert_eq!(
            under(url, "/a%2Fb/%C3%BC", Some("q=%20x")),
            "https://api.example/v1/a%2Fb/%C3%BC?q=%20x"
        );
        assert_eq!(
            under("https://api.example/v1/", "/x", None),
            "https://api.example/v1/x"
        );
        assert_eq!(
            under("https://api.example", "/x/", None),
            "https://api.example/x/"
        );
        assert_eq!(
            under("https://api.example/mcp?k=1", "", Some("z=2")),
            "https://api.example/mcp?k=1&z=2"
        );
        assert_eq!(
            under(url, "/..a/b..", None),
            "https://api.example/v1/..a/b.."
        );
    }

    #[test]
    fn a_climb_is_refused_however_it_is_spelled() {
        for bad in [
            "/..",
            "/../x",
            "/a/../../x",
            "/./x",
            "/%2e%2e/x",
            "/.%2E/x",
            "/%2E%2E%2Fx",
            "/a%2f..%2fx",
            "/..%5cx",
            "/..\\x",
            "/a\\b",
            "/%252e%252e/x",
            "/..;/x",
            "/..%3b/x",
            "evil.example/",
        ] {
            assert!(Target::below(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_whole_url_stays_on_its_server() {
        let under = |url: &str| Target::of_same_server(url).under("https://api.example/v1");
        let there = under("https://api.example/me?x=1").unwrap();
        assert_eq!(there.to_string(), "https://api.example/me?x=1");
        for elsewhere in [
            "https://evil.example/me",
            "http://api.example/me",
            "https://api.example@evil.example/me",
            "https://api.example:444/me",
        ] {
            assert!(under(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_url_that_the_server_names_stays_on_it_and_takes_its_scheme() {
        let under = |reference: &str| {
            Target::named_by_server(reference).under("https://api.example/v1/sse?k=1")
        };
        let there = "https://api.example/v1/messages?session=1";
        for reference in [
            there,
            "/v1/messages?session=1",
            "messages?session=1",
            "//api.example/v1/messages?session=1",
            "http://api.example/v1/messages?session=1",
        ] {
            let uri = under(reference).map(|uri| uri.to_string());
            assert_eq!(uri.as_deref(), Ok(there), "{reference}");
        }
        for elsewhere in [
            "https://evil.example/messages",
            "http://evil.example/messages",
            "//evil.example/messages",
            "https://api.example:444/messages",
        ] {
            assert!(under(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn no_suffix_leads_to_another_origin() {
        for suffix in ["/@evil.example", "//evil.example/x", "/:80"] {
            let uri = Target::below(suffix, None)
                .unwrap()
                .under("https://api.example")
                .unwrap();
            assert_eq!(uri.authority().unwrap().as_str(), "api.example", "{suffix}");
        }
        assert!(
            Target::exact().under("http://api.example/").is_err(),
            "tokens need TLS"
        );
    }
}
