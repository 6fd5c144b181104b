//! What a resource's answer says of the token that was shown to it (RFC 6750 §3.1). Judged by status and challenges alone:
//! a body may be anybody's, a proxy's page too.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    model::Scope,
    oauth::{
        challenge::{self, BearerChallenge},
        classify,
    },
    text::sanitize::one_line,
};

/// What an answer says of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing: it is an answer, whatever its status.
    None,
    /// The token is not taken: expired, revoked, of another issuer; the resource rarely says which.
    Token,
    /// The token is good and does not reach this far.
    Scope {
        /// What the call needs, byte for byte; none if the challenge does not name it.
        needs: Option<Scope>,
    },
}

/// A longer text is a page and no message.
const LONGEST_LINE: usize = 200;

/// The schemes whose challenges speak of access tokens (RFC 6750 §3, RFC 9449 §7.1).
const TOKEN_SCHEMES: [&str; 2] = ["bearer", "dpop"];

/// Reads an answer. A 403 is an answer unless its challenge says `insufficient_scope`: a newer token has the same rights. The
/// code counts more than the status: some servers say it with 401. `invalid_token` is about the token under any error status.
pub fn of(status: StatusCode, headers: &HeaderMap) -> Refusal {
    if !status.is_client_error() && !status.is_server_error() {
        return Refusal::None;
    }
    let challenges = token_challenges(headers);
    let of_code = |code: &'static str| {
        let is_it = move |challenge: &&BearerChallenge| challenge.error.as_deref() == Some(code);
        challenges.iter().filter(is_it)
    };
    let may_lack_scope = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let insufficient = of_code("insufficient_scope").filter(|_| may_lack_scope);
    let said: Vec<_> = insufficient
        .map(|challenge| challenge.scope.clone())
        .collect();
    if !said.is_empty() {
        // Two schemes may say it, and only one of them what is needed.
        let named = said.into_iter().flatten();
        let mut named = named.map(|scope| super::quote::displayable_scope(&scope));
        let needs = named.find(|scope| !scope.is_empty());
        return Refusal::Scope { needs };
    }
    if status == StatusCode::UNAUTHORIZED || of_code("invalid_token").next().is_some() {
        Refusal::Token
    } else {
        Refusal::None
    }
}

/// Whether the answer asks for a token at all. Without a challenge a 401 may be about something else, such as a session.
pub fn is_challenged(headers: &HeaderMap) -> bool {
    !token_challenges(headers).is_empty()
}

fn token_challenges(headers: &HeaderMap) -> Vec<BearerChallenge> {
    let all = challenge::all(headers).into_iter();
    all.filter(|(scheme, _)| TOKEN_SCHEMES.contains(&scheme.as_str()))
        .map(|(_, challenge)| challenge)
        .collect()
}

/// The server's own words for a refusal, fit to be shown: what its challenge says, else the fields of a JSON body that hold an
/// error, else one short line of plain text. No other part of a body is shown, for it may hold anything.
pub fn said(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let challenges = challenge::all(headers).into_iter();
    let told = challenges.map(|(_, challenge)| words(challenge.error, challenge.error_description));
    let told = told.flatten().next();
    told.or_else(|| said_in(body))
        .or_else(|| said_plainly(headers, body))
}

/// When the server wants to be called again: `Retry-After`, seconds or a date (RFC 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    classify::retry_after_of(headers, now)
}

fn said_plainly(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let text = str::from_utf8(body).ok()?.trim();
    let is_line = text.len() <= LONGEST_LINE && !text.contains('\n');
    (kind.starts_with("text/plain") && is_line)
        .then(|| words(None, Some(text.to_owned())))
        .flatten()
}

fn said_in(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let inner = body.get("error").filter(|error| error.is_object());
    let text = |keys: &[&str]| {
        let all = inner.into_iter().chain([&body]);
        let mut found = all.flat_map(|of| keys.iter().filter_map(|key| of.get(*key)?.as_str()));
        found.next().map(str::to_owned)
    };
    words(
        text(&["error", "code"]),
        text(&["error_description", "message", "detail", "title"]),
    )
}

fn words(code: Option<String>, text: Option<String>) -> Option<String> {
    let both: Vec<String> = [code, text]
        .into_iter()
        .flatten()
        .map(|said| one_line(&said))
        .filter(|said| !said.trim().is_empty())
        .collect();
    (!both.is_empty()).then(|| both.join(": "))
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};

    use super::*;

    fn read(status: u16, challenges: &[&str]) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "text/html".parse().unwrap());
        for challenge in challenges {
            headers.append(WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        of(StatusCode::from_u16(status).unwrap(), &headers)
    }

    fn needs(scope: &str) -> Refusal {
        Refusal::Scope {
            needs: (!scope.is_empty()).then(|| Scope::new(scope)),
        }
    }

    /// What it is, its status and challenges, and what that means.
    type ErrorRow = (&'static str, u16, &'static [&'static str], Refusal);

    fn judge(rows: &[ErrorRow]) {
        for (what, status, challenges, meaning) in rows {
            assert_eq!(read(*status, challenges), *meaning, "{what}");
        }
    }

    const NEEDS_X: &str = r#"Bearer error="insufficient_scope", scope="x""#;

    #[test]
    fn an_answer_says_whether_the_token_is_taken() {
        use Refusal::{None, Token};
        let rows: &[ErrorRow] = &[
            ("an answer", 200, &[], None),
            ("an answer with a challenge", 200, &[NEEDS_X], None),
            ("a server error", 503, &[NEEDS_X], None),
            ("a 401 without a challenge", 401, &[], Token),
            ("a proxy's page", 401, &["Negotiate"], Token),
            (
                "an expired token",
                401,
                &[r#"Bearer error="invalid_token""#],
                Token,
            ),
            ("a first challenge", 401, &[r#"Bearer scope="x""#], Token),
            (
                "a nonce is wanted",
                401,
                &[r#"DPoP error="use_dpop_nonce""#],
                Token,
            ),
            (
                "RFC 9470",
                401,
                &[r#"Bearer error="insufficient_user_authentication", acr_values="a""#],
                Token,
            ),
            ("a plain 403", 403, &[], None),
            ("a firewall's 403", 403, &["Basic realm=x"], None),
            (
                "a 403 for the account",
                403,
                &[r#"Bearer error="access_denied""#],
                None,
            ),
            (
                "a 403 for a dead token",
                403,
                &[r#"Bearer error="invalid_token""#],
                Token,
            ),
            (
                "a scope without the code",
                403,
                &[r#"Bearer scope="x""#],
                None,
            ),
        ];
        judge(rows);
    }

    #[test]
    fn a_refusal_is_quoted_by_its_challenge_or_its_error_fields() {
        let quoted = |challenge: &str, body: &str| {
            let mut headers = HeaderMap::new();
            if !challenge.is_empty() {
                headers.append(WWW_AUTHENTICATE, challenge.parse().unwrap());
            }
            said(&headers, body.as_bytes())
        };
        let challenge = r#"Bearer error="invalid_token", error_description="it has expired""#;
        let rows = [
            (
                challenge,
                r#"{"error":"other"}"#,
                Some("invalid_token: it has expired"),
            ),
            (
                "Bearer realm=x",
                r#"{"error":"a\u001b[2J","error_description":"b"}"#,
                Some("a[2J: b"),
            ),
            (
                "",
                r#"{"message":"Resource not accessible"}"#,
                Some("Resource not accessible"),
            ),
            ("", r#"{"error":{"code":-1,"message":"no"}}"#, Some("no")),
            (
                "",
                r#"{"error":{"code":"x","message":"no"}}"#,
                Some("x: no"),
            ),
            ("", r#"{"token":"secret"}"#, None),
            ("", "<html>", None),
            ("", r#"{"error":""}"#, None),
        ];
        for (challenge, body, words) in rows {
            assert_eq!(
                quoted(challenge, body).as_deref(),
                words,
                "{challenge} {body}"
            );
        }
    }

    #[test]
    fn a_challenge_says_what_is_needed() {
        use Refusal::None;
        let rows: &[ErrorRow] = &[
            ("RFC 6750", 403, &[NEEDS_X], needs("x")),
            ("the code with 401", 401, &[NEEDS_X], needs("x")),
            (
                "no scope",
                403,
                &[r#"Bearer error="insufficient_scope""#],
                needs(""),
            ),
            (
                "an empty one",
                403,
                &[r#"Bearer error="insufficient_scope", scope="""#],
                needs(""),
            ),
            (
                "byte for byte",
                403,
                &[r#"bearer realm="a, b", scope="Files:Write  x/y,z", error=insufficient_scope"#],
                needs("Files:Write  x/y,z"),
            ),
            (
                "several in one header",
                403,
                &[
                    r#"Basic realm="a", Bearer error="insufficient_scope", scope="x", DPoP algs="ES256""#,
                ],
                needs("x"),
            ),
            (
                "in two headers",
                403,
                &["Basic realm=a", NEEDS_X],
                needs("x"),
            ),
            (
                "beside DPoP that says nothing",
                403,
                &[r#"DPoP algs="ES256""#, NEEDS_X],
                needs("x"),
            ),
            (
                "by DPoP",
                403,
                &[r#"Bearer realm="a", DPoP error="insufficient_scope", scope="y", algs="ES256""#],
                needs("y"),
            ),
            (
                "by both, one names it",
                403,
                &[
                    r#"DPoP error="insufficient_scope", Bearer error="insufficient_scope", scope="z""#,
                ],
                needs("z"),
            ),
            (
                "of another scheme",
                403,
                &[r#"GNAP error="insufficient_scope", scope="x""#],
                None,
            ),
            (
                "in the text of another",
                403,
                &[r#"Basic realm="Bearer error=insufficient_scope""#],
                None,
            ),
            (
                "garbage",
                403,
                &[r#"Bearer ===, "error=insufficient_scope"#],
                None,
            ),
        ];
        judge(rows);
    }
}
