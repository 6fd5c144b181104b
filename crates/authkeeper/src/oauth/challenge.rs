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
        .filter_map(|value| value.to_str().ok())
        .flat_map(schemes)
        .map(|(scheme, params)| (scheme, said(params)))
        .collect()
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

/// The schemes that a header lists, each with its parameters.
fn schemes(value: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = vec![];
    for item in split_outside_quotes(value) {
        let item = item.trim();
        let (scheme, rest) = match item.split_once(char::is_whitespace) {
            Some((scheme, rest)) if !scheme.contains('=') => (Some(scheme), rest.trim()),
            _ if !item.contains('=') => (Some(item), ""),
            _ => (None, item),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            found.push((scheme.to_ascii_lowercase(), vec![]));
        }
        if let (Some((_, params)), Some((name, value))) = (found.last_mut(), rest.split_once('=')) {
            params.push((name.trim().to_owned(), unquote(value.trim())));
        }
    }
    found
}

/// Splits at commas that are not inside a quoted string.
fn split_outside_quotes(value: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in value.chars() {
        match c {
            ',' if !quoted => {
                items.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && quoted && !escaped;
        if let Some(item) = items.last_mut() {
            item.push(c);
        }
    }
    items
}

fn unquote(value: &str) -> String {
    let Some(inner) = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            other => text.push(other),
        }
    }
    text
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
    fn anything_else_is_no_challenge() {
        for value in ["", "Basic realm=x", "Negotiate", ",,,", "=", "\"Bearer\""] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }
}
