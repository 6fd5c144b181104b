//! Headers that a person adds to every request of one connection to its resource, like a tenant's name. Their values may
//! be keys: they are secrets, sealed with the grant.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::secret::SecretString;

/// More is no header but a body.
const LONGEST_VALUE: usize = 8 << 10;

/// One header: its name in lower case, and what stands in it. Nothing in it takes the header away.
#[derive(Clone)]
pub struct ExtraHeader {
    name: String,
    value: SecretString,
}

/// A header that can't be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// No name and no colon.
    #[error("it is no header; a header is a name, a colon and a value, like \"X-Tenant: blue\"")]
    NoHeader,
    /// A name that is set by somebody else.
    #[error("{name} can't be added: {by}")]
    Taken {
        /// Which.
        name: String,
        /// By whom.
        by: SetBy,
    },
    /// A value that HTTP can't carry, or not everywhere.
    #[error("the value of {0} holds a line break or another character that is not visible ASCII")]
    Unprintable(String),
    /// A value without end.
    #[error("the value of {0} is longer than 8 KiB")]
    TooLong(String),
}

/// Who sets a header that can't be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The token or key stands there.
    Credential,
    /// It belongs to one connection or message.
    Http,
    /// It belongs to one session.
    Mcp,
    /// The server sets them.
    Cookies,
    /// It is authkeeper's own.
    Authkeeper,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "the token or key stands there",
            Self::Http => "it belongs to one HTTP connection or message",
            Self::Mcp => "it belongs to one message or session of MCP",
            Self::Cookies => "cookies are the server's to set",
            Self::Authkeeper => "it is authkeeper's own",
        })
    }
}

impl SetBy {
    /// Who sets this header, which is in lower case.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "authorization" | "dpop" => Self::Credential,
            "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "expect"
            | "host"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade" => Self::Http,
            "accept" | "accept-encoding" | "last-event-id" => Self::Mcp,
            "cookie" | "set-cookie" => Self::Cookies,
            _ if name.starts_with("mcp-") => Self::Mcp,
            _ if name.starts_with("x-authkeeper-") => Self::Authkeeper,
            _ => return None,
        })
    }
}

impl ExtraHeader {
    /// Reads `Name: value`.
    pub fn parse(text: &str) -> Result<Self, InvalidHeader> {
        let (name, value) = text.split_once(':').ok_or(InvalidHeader::NoHeader)?;
        // What is no name may be part of a secret: it is not repeated.
        let name = HeaderName::try_from(name.trim()).map_err(|_text| InvalidHeader::NoHeader)?;
        let (name, value) = (name.as_str().to_owned(), value.trim_matches([' ', '\t']));
        if let Some(by) = SetBy::of(&name) {
            return Err(InvalidHeader::Taken { name, by });
        }
        if !value
            .bytes()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        {
            return Err(InvalidHeader::Unprintable(name));
        }
        if value.len() > LONGEST_VALUE {
            return Err(InvalidHeader::TooLong(name));
        }
        let value = value.to_owned().into();
        Ok(Self { name, value })
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    #[expect(clippy::disallowed_methods, reason = "only its length is looked at")]
    fn is_removed(&self) -> bool {
        self.value.expose().is_empty()
    }
}

/// What one connection's requests to its resource carry beside the usual.
#[derive(Clone, Default)]
pub struct ExtraHeaders(Arc<[ExtraHeader]>);

impl FromIterator<ExtraHeader> for ExtraHeaders {
    fn from_iter<I: IntoIterator<Item = ExtraHeader>>(headers: I) -> Self {
        let headers = headers.into_iter();
        headers.fold(Self::default(), |all, one| all.with(&Self([one].into())))
    }
}

impl ExtraHeaders {
    /// Their names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(ExtraHeader::name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, and those set beside them: the same header set again takes the place of the earlier one.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        let again = |name: &str| more.names().any(|other| other == name);
        let kept = self.0.iter().filter(|header| !again(&header.name));
        Self(kept.chain(&*more.0).cloned().collect())
    }

    /// Without those that were set to nothing.
    #[must_use]
    pub fn without_removed(&self) -> Self {
        let kept = self.0.iter().filter(|header| !header.is_removed());
        Self(kept.cloned().collect())
    }

    /// Puts them into a request, in the place of what it has of the same names.
    #[expect(
        clippy::disallowed_methods,
        reason = "the headers go to the server that they were set for"
    )]
    pub fn put_into(&self, headers: &mut HeaderMap) {
        for header in &*self.0 {
            let name = HeaderName::try_from(header.name.as_str());
            let value = HeaderValue::try_from(header.value.expose().as_str());
            if let (Ok(name), Ok(mut value)) = (name, value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it is written into one secret, which is sealed"
    )]
    pub(super) fn write(&self) -> Value {
        let pairs = self.0.iter();
        pairs
            .map(|header| json!([header.name, header.value.expose()]))
            .collect()
    }

    pub(super) fn read(whole: Option<&Value>) -> Self {
        let pairs: Vec<(String, String)> = whole
            .and_then(|whole| serde_json::from_value(whole.clone()).ok())
            .unwrap_or_default();
        let headers = pairs.into_iter().map(|(name, value)| ExtraHeader {
            name,
            value: value.into(),
        });
        Self(headers.collect())
    }
}

/// Names alone.
impl fmt::Debug for ExtraHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Names alone.
impl fmt::Debug for ExtraHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExtraHeader").field(&self.name).finish()
    }
}

impl PartialEq for ExtraHeader {
    #[expect(
        clippy::disallowed_methods,
        reason = "both are ours, and compared here"
    )]
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value.expose() == other.value.expose()
    }
}

impl Eq for ExtraHeader {}

impl PartialEq for ExtraHeaders {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for ExtraHeaders {}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[&str]) -> ExtraHeaders {
        all.iter()
            .map(|text| ExtraHeader::parse(text).unwrap())
            .collect()
    }

    fn sent(headers: &ExtraHeaders) -> Vec<(String, String)> {
        let mut map = HeaderMap::new();
        headers.put_into(&mut map);
        let pairs = map.iter();
        pairs
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        let both = headers(&["X-Tenant: blue", "x-note:a b: c\t"]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            sent(&both),
            [pair("x-tenant", "blue"), pair("x-note", "a b: c")]
        );
        for bad in ["X-Tenant", "", ": blue", "X Tenant: blue", "X\r\nY: z"] {
            let error = ExtraHeader::parse(bad).unwrap_err();
            assert_eq!(error, InvalidHeader::NoHeader, "{bad:?}");
        }
    }

    #[test]
    fn what_others_set_is_refused_with_the_reason() {
        for (name, by) in [
            ("Authorization", SetBy::Credential),
            ("DPoP", SetBy::Credential),
            ("Host", SetBy::Http),
            ("Content-Length", SetBy::Http),
            ("Transfer-Encoding", SetBy::Http),
            ("Connection", SetBy::Http),
            ("Proxy-Authorization", SetBy::Http),
            ("Cookie", SetBy::Cookies),
            ("Mcp-Session-Id", SetBy::Mcp),
            ("Mcp-Param-Region", SetBy::Mcp),
            ("Accept-Encoding", SetBy::Mcp),
            ("X-Authkeeper-Task", SetBy::Authkeeper),
        ] {
            let error = ExtraHeader::parse(&format!("{name}: s3cret")).unwrap_err();
            let name = name.to_ascii_lowercase();
            assert_eq!(error, InvalidHeader::Taken { name, by });
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn a_value_that_would_begin_another_header_is_refused() {
        for value in ["a\r\nX-Evil: 1", "a\nb", "a\rb", "\u{1}", "\u{7f}", "größe"] {
            let error = ExtraHeader::parse(&format!("X-Key: {value}")).unwrap_err();
            assert_eq!(error, InvalidHeader::Unprintable("x-key".to_owned()));
        }
        let long = "k".repeat(LONGEST_VALUE + 1);
        let error = ExtraHeader::parse(&format!("X-Key: {long}")).unwrap_err();
        assert_eq!(error, InvalidHeader::TooLong("x-key".to_owned()));
    }

    #[test]
    fn a_header_set_again_is_replaced_and_one_set_to_nothing_goes() {
        let before = headers(&["X-Tenant: blue", "X-Key: k"]);
        let both = before.with(&headers(&["x-tenant: green", "X-KEY:"]));
        let left = both.without_removed();
        assert_eq!(left, headers(&["X-Tenant: green"]));
    }

    #[test]
    fn nothing_of_a_value_is_printed_and_all_of_it_is_kept() {
        let all = headers(&["X-Key: s3cret"]);
        assert_eq!(format!("{all:?}"), r#"{"x-key"}"#);
        assert!(!format!("{:?}", all.0).contains("s3cret"));
        assert_eq!(ExtraHeaders::read(Some(&all.write())), all);
        assert!(ExtraHeaders::read(None).is_empty());
        let mut map = HeaderMap::new();
        all.put_into(&mut map);
        assert!(!format!("{map:?}").contains("s3cret"));
    }
}
