//! The token endpoint (RFC 6749 §4.1.3, §5, §6; RFC 8707).

use std::time::Duration;

use serde_json::Value;

use super::{client_auth::ClientProof, id_jag, jwt};
use crate::{
    http::Request,
    model::{LifetimeSource, Mandate, Moment, RefreshToken, Resource, Scope, TokenSet},
    secret::SecretString,
    shown::one_line,
};

/// What is believed of a token's lifetime when nobody says anything.
pub const ASSUMED_LIFETIME: Duration = Duration::from_hours(1);

/// A request that spends a refresh token. The scope is left out: on some servers naming one narrows the grant for ever,
/// and leaving it out means "as granted" (RFC 6749 §6).
pub fn refresh_request(
    client: &ClientProof,
    refresh_token: &SecretString,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the refresh token is sent to its issuer"
    )]
    let secret = refresh_token.expose();
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", secret.as_str()),
    ];
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A request for a token of our client's own (RFC 6749 §4.4.2). It is issued anew each time: nothing is spent by it.
pub fn client_credentials_request(
    client: &ClientProof,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    let mut fields = vec![("grant_type", "client_credentials")];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A request that asks whether a person has signed in on the other device (RFC 8628 §3.4).
pub fn device_request(
    client: &ClientProof,
    device_code: &SecretString,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the device code is sent to its issuer"
    )]
    let code = device_code.expose();
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", code.as_str()),
    ];
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A request for a token in return for an assertion (RFC 7523 §2.1). The assertion may be good again: nothing of ours is
/// spent by it.
pub fn jwt_bearer_request(
    client: &ClientProof,
    assertion: &SecretString,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the assertion is sent to the server that it is for"
    )]
    let assertion = assertion.expose();
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion.as_str()),
    ];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A request that exchanges an authorization code.
pub fn code_request(
    client: &ClientProof,
    code: &SecretString,
    verifier: &SecretString,
    redirect_uri: &str,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "code and verifier are sent to their issuer"
    )]
    let (code, verifier) = (code.expose().as_str(), verifier.expose().as_str());
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// A successful answer, read but not yet believed.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    expires_in: Option<Duration>,
    refresh_expires_in: Option<Duration>,
    refresh_in: Option<Duration>,
    scope: Option<Scope>,
    mandate: Box<Mandate>,
    /// Its type, as it was told.
    kind: Option<String>,
}

/// The types of token that are shown as a bearer token is. Slack says "user" and "bot", Apigee `BearerToken`. RFC 6749
/// §7.1: a type that is not understood must not be used.
const BEARER: [&str; 4] = ["bearer", "bearertoken", "user", "bot"];

/// The fields that say how long a refresh token lives, or the grant behind it: Google and GitHub, Keycloak, `QuickBooks`,
/// and the two of the draft on refresh-token expiration. The earliest end counts.
const REFRESH_LIFETIMES: [&str; 5] = [
    "refresh_token_expires_in",
    "refresh_expires_in",
    "x_refresh_token_expires_in",
    "refresh_token_timeout",
    "authorization_expires_in",
];

impl TokenAnswer {
    /// Reads an answer's JSON object; none if it has no access token that can be sent as a bearer token. Slack puts a
    /// person's token (and not its bot's) one level down, under `authed_user`.
    pub fn read(body: &Value) -> Option<Self> {
        Self::read_flat(body).or_else(|| Self::read_flat(body.get("authed_user")?))
    }

    fn read_flat(body: &Value) -> Option<Self> {
        // An identity provider's assertion for another server is no access token (RFC 8693 §2.2.1).
        if id_jag::is_one(body) {
            return None;
        }
        let text = |key: &str| {
            body.get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let access_token = text("access_token").filter(|token| sendable(token))?;
        let scope = text("scope").map(|scope| super::scope_told(&scope));
        // Zero means "not said", or that it does not end.
        let lifetimes = REFRESH_LIFETIMES.iter();
        let lifetimes = lifetimes.filter_map(|key| seconds(body.get(*key)?));
        Some(Self {
            mandate: mandate(&access_token, text("id_token").as_deref(), scope.as_ref()).into(),
            access_token: access_token.into(),
            refresh_token: text("refresh_token").map(Into::into),
            expires_in: body.get("expires_in").and_then(seconds),
            refresh_expires_in: lifetimes.filter(|lifetime| !lifetime.is_zero()).min(),
            refresh_in: body.get("refresh_in").and_then(seconds),
            scope,
            kind: text("token_type").map(|kind| one_line(&kind)),
        })
    }

    /// The type of the access token, where it is none that can be presented: with a proof if it was asked for with one
    /// (RFC 9449 §5), else as a bearer token. Neither is ever shown as the other.
    pub fn unusable_type(&self, bound: bool) -> Option<&str> {
        let kind = self.kind.as_deref();
        let is = |words: &[&str]| {
            kind.is_some_and(|kind| words.iter().any(|word| kind.eq_ignore_ascii_case(word)))
        };
        match bound {
            true if is(&["dpop"]) => None,
            true => Some(kind.unwrap_or("Bearer")),
            false if is(&BEARER) => None,
            false => kind,
        }
    }

    /// The tokens as one generation, with a lifetime from the best source there is. `issued` is when the request left.
    pub fn into_token_set(self, issued: Moment, default_lifetime: Option<Duration>) -> TokenSet {
        let (lifetime, lifetime_source) = self.lifetime(issued, default_lifetime);
        let refresh_ends = self
            .refresh_expires_in
            .and_then(|left| issued.wall.saturating_add(left).ok());
        TokenSet {
            access_token: self.access_token,
            refresh_token: self.refresh_token.map(|secret| RefreshToken {
                secret,
                expires_at: refresh_ends,
            }),
            scope: self.scope,
            issued,
            lifetime,
            lifetime_source,
            // Later than its end it is no hint.
            refresh_in: self
                .refresh_in
                .filter(|wait| !wait.is_zero() && *wait < lifetime),
            mandate: self.mandate,
        }
    }

    fn lifetime(&self, issued: Moment, default: Option<Duration>) -> (Duration, LifetimeSource) {
        // Zero is no lifetime: servers that send it mean "not said", and a token that is born dead would be refreshed
        // without end.
        if let Some(lifetime) = self.expires_in.filter(|lifetime| !lifetime.is_zero()) {
            return (lifetime, LifetimeSource::ExpiresIn);
        }
        if let Some(lifetime) = jwt_lifetime(&self.access_token, issued) {
            return (lifetime, LifetimeSource::JwtExp);
        }
        (default.unwrap_or(ASSUMED_LIFETIME), LifetimeSource::Assumed)
    }
}

/// What an answer shows of whose its tokens are, and for what.
fn mandate(access: &str, id: Option<&str>, scope: Option<&Scope>) -> Mandate {
    let access = jwt::claims(access);
    let id = id.and_then(jwt::claims);
    Mandate {
        id_token: id.as_ref().and_then(jwt::account),
        access_token: access.as_ref().and_then(jwt::account),
        audience: access.as_ref().map(jwt::audience).unwrap_or_default(),
        scope: scope
            .map(|scope| Mandate::words(scope.as_str()))
            .unwrap_or_default(),
        bound_to: None,
    }
}

/// RFC 6750 §2.1: what may stand in an `Authorization` header.
fn sendable(token: &str) -> bool {
    token.len() <= 64 * 1024 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `expires_in` as a number, or as the text of one, as some servers send it.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())?;
    let bounded = number.is_finite() && (0.0..=1e10).contains(&number);
    bounded.then(|| Duration::from_secs_f64(number))
}

/// The time a token has left by its own `exp`, if it happens to be a JWT. Read as a hint, never as a proof.
fn jwt_lifetime(token: &SecretString, issued: Moment) -> Option<Duration> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the token's own claims are read, not printed"
    )]
    let claims = jwt::claims(token.expose())?;
    let ends = claims.get("exp")?.as_i64()?;
    let starts = claims
        .get("iat")
        .and_then(Value::as_i64)
        .unwrap_or(issued.wall.as_second());
    let whole = ends.checked_sub(starts)?;
    // A provider may hand out a token again that it made a while ago. Where our clocks agree, what is left is less.
    let from_now = ends.checked_sub(issued.wall.as_second())?;
    let left = if from_now > 0 {
        whole.min(from_now)
    } else {
        whole
    };
    let left = u64::try_from(left).ok()?;
    (1..=10_000_000_000)
        .contains(&left)
        .then(|| Duration::from_secs(left))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jiff::Timestamp;

    use super::*;
    use crate::{
        clock::Seams,
        model::{BootId, BootStamp, ClientId, ClientRegistration, Issuer, RegistrationSource},
    };

    fn issued() -> Moment {
        Moment {
            wall: Timestamp::from_second(1_000).unwrap(),
            boot: BootStamp {
                id: BootId(1),
                since: Duration::from_secs(5),
            },
        }
    }

    fn read(json: &str) -> TokenSet {
        let answer = TokenAnswer::read(&serde_json::from_str(json).unwrap()).unwrap();
        answer.into_token_set(issued(), None)
    }

    #[test]
    fn lifetimes_come_from_the_best_source() {
        let set = read(r#"{"access_token":"a","expires_in":5}"#);
        assert_eq!(
            (set.lifetime.as_secs(), set.lifetime_source),
            (5, LifetimeSource::ExpiresIn)
        );
        let set = read(r#"{"access_token":"a","expires_in":"3600","token_type":"BEARER"}"#);
        assert_eq!(set.lifetime.as_secs(), 3600);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iat":10,"exp":310}"#);
        let set = read(&format!(r#"{{"access_token":"h.{claims}.s"}}"#));
        assert_eq!(
            (set.lifetime.as_secs(), set.lifetime_source),
            (300, LifetimeSource::JwtExp)
        );
        let set = read(r#"{"access_token":"a"}"#);
        assert_eq!(
            (set.lifetime, set.lifetime_source),
            (ASSUMED_LIFETIME, LifetimeSource::Assumed)
        );
    }

    #[test]
    fn slacks_tokens_are_found_where_it_puts_them() {
        let set =
            read(r#"{"ok":true,"access_token":"xoxb","token_type":"bot","expires_in":43200}"#);
        assert_eq!(set.lifetime.as_secs(), 43_200);
        let set = read(
            r#"{"ok":true,"authed_user":{"access_token":"xoxp","token_type":"user","expires_in":9}}"#,
        );
        assert_eq!(set.lifetime.as_secs(), 9);
    }

    #[test]
    fn a_refresh_tokens_own_end_is_kept() {
        let set = read(r#"{"access_token":"a","refresh_token":"r","refresh_expires_in":60}"#);
        assert_eq!(
            set.refresh_token.unwrap().expires_at,
            Timestamp::from_second(1_060).ok()
        );
        let set = read(r#"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":0}"#);
        assert_eq!(
            set.refresh_token.unwrap().expires_at,
            None,
            "zero means that it does not end"
        );
    }

    #[test]
    fn a_scope_moves_no_cursor() {
        let set = read(r#"{"access_token":"a","scope":"read\u001b[2J wri\u202ete"}"#);
        assert_eq!(set.scope, Some(Scope::new("read[2J write")));
    }

    #[test]
    fn what_cannot_be_sent_as_a_bearer_token_is_no_answer() {
        for bad in [
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\r\nX: y"}"#,
            r#"{"access_token":7}"#,
            "null",
        ] {
            assert!(
                TokenAnswer::read(&serde_json::from_str(bad).unwrap()).is_none(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_type_that_cannot_be_presented_is_told_and_loses_no_token() {
        let body = r#"{"access_token":"a","refresh_token":"r","token_type":"DPoP"}"#;
        let answer = TokenAnswer::read(&serde_json::from_str(body).unwrap()).unwrap();
        assert_eq!(answer.unusable_type(false), Some("DPoP"));
        assert_eq!(answer.unusable_type(true), None, "with a proof it can");
        assert!(
            answer
                .into_token_set(issued(), None)
                .refresh_token
                .is_some()
        );
        for good in ["bearer", "BEARER", "BearerToken", "bot", ""] {
            let body = serde_json::json!({"access_token": "a", "token_type": good});
            let answer = TokenAnswer::read(&body).unwrap();
            assert_eq!(answer.unusable_type(false), None);
            assert!(
                answer.unusable_type(true).is_some(),
                "{good}: never with a proof"
            );
        }
    }

    #[test]
    fn the_earliest_end_of_a_refresh_token_counts() {
        for (field, ends) in [
            ("refresh_token_expires_in", 1_060),
            ("refresh_expires_in", 1_060),
            ("x_refresh_token_expires_in", 1_060),
            ("refresh_token_timeout", 1_060),
            ("authorization_expires_in", 1_060),
        ] {
            let set = read(&format!(
                r#"{{"access_token":"a","refresh_token":"r","{field}":60}}"#
            ));
            let found = set.refresh_token.unwrap().expires_at;
            assert_eq!(found, Timestamp::from_second(ends).ok(), "{field}");
        }
        let set = read(
            r#"{"access_token":"a","refresh_token":"r","refresh_token_timeout":90,"authorization_expires_in":30,"refresh_expires_in":0}"#,
        );
        let found = set.refresh_token.unwrap().expires_at;
        assert_eq!(found, Timestamp::from_second(1_030).ok());
    }

    #[test]
    fn when_to_refresh_is_read_where_it_can_be_true() {
        let after = |text: &str| read(text).refresh_in.map(|wait| wait.as_secs());
        let body = r#"{"access_token":"a","expires_in":3600,"refresh_in":1800}"#;
        assert_eq!(after(body), Some(1800));
        for no in ["0", "3600", "7200", "\"soon\""] {
            let body = format!(r#"{{"access_token":"a","expires_in":3600,"refresh_in":{no}}}"#);
            assert_eq!(after(&body), None, "{no}");
        }
    }

    #[test]
    fn what_tokens_show_of_an_account_is_read() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://a","sub":"7","aud":"x"}"#);
        let set = read(&format!(
            r#"{{"access_token":"h.{claims}.s","id_token":"h.{claims}.s","scope":"b a"}}"#
        ));
        assert_eq!(set.mandate.id_token, set.mandate.access_token);
        assert!(set.mandate.id_token.is_some());
        assert_eq!(
            (set.mandate.audience.len(), set.mandate.scope.len()),
            (1, 2)
        );
    }

    #[test]
    fn a_refresh_names_the_resource_and_never_a_scope() {
        let registration = ClientRegistration::new(
            Issuer::new("https://as.example"),
            ClientId::new("c"),
            RegistrationSource::Given,
        );
        let resource = Resource::new("http://127.0.0.1:1");
        let our = crate::oauth::client_auth::OurClient {
            registration: &registration,
            quirks: &crate::model::Quirks::default(),
            audience: None,
            seams: &Seams::system(),
            skew: 0,
        };
        let proof = our.proof().unwrap();
        let request = refresh_request(&proof, &"r+t".to_owned().into(), Some(&resource));
        assert_eq!(
            &request.body[..],
            b"grant_type=refresh_token&refresh_token=r%2Bt&resource=http%3A%2F%2F127.0.0.1%3A1&client_id=c"
        );
    }
}
