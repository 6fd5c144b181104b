//! `WWW-Authenticate` challenges (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// What a `Bearer` challenge says, or another that says the same things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// `error`: `invalid_token`, `insufficient_scope`, …
    pub error: Option<String>,
    /// `error_description`, for a person.
    pub error_description: Option<String>,
    /// `scope` that the call needs.
    pub scope: Option<String>,
    /// Where the protected-resource metadata is.
    pub resource_metadata: Option<String>,
}

/// The first `Bearer` challenge among the headers, if there is one.
pub fn bearer(headers: &HeaderMap) -> Option<BearerChallenge> {
    first(headers, "bearer")
}

/// The first `DPoP` challenge among the headers, if there is one (RFC 9449 §7.1).
pub fn dpop(headers: &HeaderMap) -> Option<BearerChallenge> {
    first(headers, "dpop")
}

fn first(headers: &HeaderMap, wanted: &str) -> Option<BearerChallenge> {
    let mut all = all(headers).into_iter();
    all.find_map(|(scheme, challenge)| (scheme == wanted).then_some(challenge))
}

/// Every challenge among the headers, in their order, with its scheme in lower case. A header may list several.
pub fn all(headers: &HeaderMap) -> Vec<(String, BearerChallenge)> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    values
        .flat_map(|value| schemes(&ascii(value.as_bytes())))
        .map(|(scheme, params)| (scheme, said(params)))
        .collect()
}

/// What of a header is in the grammar's alphabet: a realm in another one does not cost the rest.
fn ascii(value: &[u8]) -> String {
    let plain = value.iter().filter(|byte| byte.is_ascii());
    plain.map(|byte| char::from(*byte)).collect()
}

fn said(params: Vec<(String, String)>) -> BearerChallenge {
    let mut challenge = BearerChallenge::default();
    for (name, value) in params {
        let slot = match name.to_ascii_lowercase().as_str() {
            "error" => &mut challenge.error,
            "error_description" => &mut challenge.error_description,
            "scope" => &mut challenge.scope,
            "resource_metadata" => &mut challenge.resource_metadata,
            _ => continue,
        };
        slot.get_or_insert(value);
    }
    challenge
}

type Scheme = (String, Vec<(String, String)>);

/// Schemes that are known by their name where no comma stands before them.
const SCHEMES: [&str; 5] = ["bearer", "dpop", "basic", "digest", "negotiate"];

fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The schemes that a header lists, each with its parameters. What can be read is read, though not by the grammar of RFC
/// 9110 §11.6.1: parameters without commas between them, values without quotes or with others, no scheme at all.
fn schemes(value: &str) -> Vec<Scheme> {
    let mut found: Vec<Scheme> = vec![];
    let mut rest = Rest(value);
    let mut apart = true;
    while let Some(next) = rest.next() {
        match next {
            Part::Comma => apart = true,
            Part::Word(word) => {
                let word = word.trim_end_matches(':');
                if !word.is_empty() && (apart || is_scheme(word)) {
                    found.push((word.to_ascii_lowercase(), vec![]));
                }
                apart = false;
            }
            Part::Parameter(name, value) => {
                // Only the guard of a resource names its metadata.
                if found.is_empty() && name.eq_ignore_ascii_case("resource_metadata") {
                    found.push(("bearer".to_owned(), vec![]));
                }
                if let Some((_, params)) = found.last_mut() {
                    params.push((name, value));
                }
                apart = false;
            }
        }
    }
    found
}

enum Part {
    Comma,
    Word(String),
    Parameter(String, String),
}

/// What of a header is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn next(&mut self) -> Option<Part> {
        self.0 = self.0.trim_start();
        let first = self.0.chars().next()?;
        if matches!(first, ',' | ';') {
            self.skip(first);
            return Some(Part::Comma);
        }
        if closing(first).is_some() {
            return Some(Part::Word(self.quoted().map(|_| String::new())?));
        }
        let name = self.until(|c| c.is_whitespace() || matches!(c, ',' | ';' | '='));
        let after = self.0.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            return Some(Part::Word(name));
        };
        self.0 = value.trim_start();
        let value = self.quoted().unwrap_or_else(|| self.bare());
        Some(Part::Parameter(name, value))
    }

    fn skip(&mut self, first: char) {
        self.0 = self.0.strip_prefix(first).unwrap_or_default();
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> String {
        let end = self.0.find(ends).unwrap_or(self.0.len());
        let (read, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        self.0 = rest;
        read.to_owned()
    }

    /// A text in quotes, which may lack its end; none if none begins here.
    fn quoted(&mut self) -> Option<String> {
        let first = self.0.chars().next()?;
        let end = closing(first)?;
        self.skip(first);
        let mut text = String::new();
        let mut chars = self.0.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.extend(chars.next()),
                c if c == end => break,
                c => text.push(c),
            }
        }
        self.0 = chars.as_str();
        Some(text)
    }

    /// A value without quotes: a word, and the words of its sentence.
    fn bare(&mut self) -> String {
        let mut text = self.until(|c| c.is_whitespace() || matches!(c, ',' | ';'));
        loop {
            let before = self.0;
            self.0 = self.0.trim_start();
            let word = self.until(|c| c.is_whitespace() || matches!(c, ',' | ';' | '='));
            let is_name = self.0.trim_start().starts_with('=');
            let quoted = word.starts_with(|c| closing(c).is_some());
            if word.is_empty() || is_name || quoted || is_scheme(&word) {
                self.0 = before;
                return text;
            }
            text.push(' ');
            text.push_str(&word);
        }
    }
}

/// The quote that ends what this one begins.
fn closing(quote: char) -> Option<char> {
    matches!(quote, '"' | '\'').then_some(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<BearerChallenge> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, value.parse().unwrap());
        bearer(&headers)
    }

    #[test]
    fn reads_quoted_and_bare_parameters() {
        let challenge = read(
            r#"Bearer error="invalid_token", error_description="a, \"b\"", scope=read,resource_metadata="http://127.0.0.1:1/x""#,
        )
        .unwrap();
        assert_eq!(challenge.error.as_deref(), Some("invalid_token"));
        assert_eq!(challenge.error_description.as_deref(), Some(r#"a, "b""#));
        assert_eq!(challenge.scope.as_deref(), Some("read"));
        assert_eq!(
            challenge.resource_metadata.as_deref(),
            Some("http://127.0.0.1:1/x")
        );
    }

    #[test]
    fn finds_bearer_among_other_schemes() {
        let challenge =
            read(r#"Basic realm="a", BEARER scope="x y", DPoP algs="ES256", error="no""#).unwrap();
        assert_eq!(challenge.scope.as_deref(), Some("x y"));
        assert_eq!(challenge.error, None, "that error belongs to DPoP");
        let mut headers = HeaderMap::new();
        let both = r#"Bearer scope="x", DPoP error="no""#;
        headers.insert(WWW_AUTHENTICATE, both.parse().unwrap());
        let dpop = dpop(&headers).unwrap();
        assert_eq!((dpop.error.as_deref(), dpop.scope), (Some("no"), None));
        assert_eq!(read("Bearer"), Some(BearerChallenge::default()));
    }

    #[test]
    fn a_challenge_that_can_be_read_is_read() {
        let at = Some("https://x.example/m?a=b");
        for value in [
            r#"Bearer resource_metadata="https://x.example/m?a=b""#,
            r#"Bearer realm="OAuth" resource_metadata="https://x.example/m?a=b" scope="read""#,
            "Bearer resource_metadata=https://x.example/m?a=b, scope=read",
            "Bearer realm=a b c; resource_metadata = https://x.example/m?a=b",
            "Bearer resource_metadata='https://x.example/m?a=b'",
            r#"Bearer, resource_metadata="https://x.example/m?a=b""#,
            r#"Bearer: resource_metadata="https://x.example/m?a=b"#,
            r#"resource_metadata="https://x.example/m?a=b""#,
            r#"Bearer error="invalid_token" the token expired, resource_metadata="https://x.example/m?a=b""#,
            "Bearer error_description=No token was sent, resource_metadata=https://x.example/m?a=b",
            "Negotiate, Bearer resource_metadata=“https://x.example/m?a=b”",
        ] {
            let mut headers = HeaderMap::new();
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(WWW_AUTHENTICATE, value.clone());
            let read = bearer(&headers).and_then(|challenge| challenge.resource_metadata);
            assert_eq!(read.as_deref(), at, "{value:?}");
        }
        let told = read("Bearer error_description=No token was sent, scope=a").unwrap();
        assert_eq!(told.error_description.as_deref(), Some("No token was sent"));
        assert_eq!(told.scope.as_deref(), Some("a"));
        let both = read("Bearer scope=a b DPoP scope=c").unwrap();
        assert_eq!(both.scope.as_deref(), Some("a b"));
        let mut odd = HeaderMap::new();
        let bytes = b"Bearer realm=\"caf\xe9\", scope=\"read\"";
        odd.insert(
            WWW_AUTHENTICATE,
            http::HeaderValue::from_bytes(bytes).unwrap(),
        );
        assert_eq!(bearer(&odd).unwrap().scope.as_deref(), Some("read"));
    }

    #[test]
    fn anything_else_is_no_challenge() {
        for value in ["", "Basic realm=x", "Negotiate", ",,,", "=", "\"Bearer\""] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }
}
