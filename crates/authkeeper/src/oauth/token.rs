//! The token endpoint (RFC 6749 §4.1.3, §5, §6; RFC 8707).

use std::time::Duration;

use serde_json::Value;

use super::{
    answer::{self, Around},
    client_auth::ClientProof,
    jwt,
    lifetime::{self, Lifetimes},
};
use crate::{
    http::Request,
    model::{LifetimeSource, Moment, RefreshToken, Resource, Scope, SubjectBinding, TokenSet},
    secret::SecretString,
    text::sanitize::one_line,
};

/// What is believed of a token's lifetime when nobody says anything.
pub const ASSUMED_LIFETIME: Duration = Duration::from_hours(1);

/// A request that spends a refresh token. The scope is left out unless the provider needs it: on some servers naming one
/// narrows the grant for ever, and leaving it out means "as granted" (RFC 6749 §6).
pub fn refresh_request(
    client: &ClientProof,
    refresh_token: &SecretString,
    scope: Option<&Scope>,
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
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    fields.extend(client.refresh_parameters());
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
    fields.extend(client.exchange_parameters());
    client.form(&fields)
}

/// A successful answer, read but not yet believed.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    lifetimes: Lifetimes,
    scope: Option<Scope>,
    subject_binding: Box<SubjectBinding>,
    /// Its type, as it was told.
    kind: Option<String>,
}

/// The types of token that are presented otherwise than a bearer token is: with a proof of a key (RFC 9449, the drafts
/// of `MAC` and `PoP` tokens), or not at all (RFC 8693 §2.2.1). All other names that providers use ("User Access Token",
/// "bot", `BearerToken`) mean a bearer token.
const NOT_BEARER: [&str; 4] = ["dpop", "mac", "pop", "n_a"];

impl TokenAnswer {
    /// Reads an answer's JSON object; none if it has no access token that can be sent. Tokens may be one or more levels
    /// down: where exactly one object has an access token, or under `authed_user`, where Slack puts a person's.
    pub fn read(body: &Value) -> Option<Self> {
        Self::read_in(body, None)
    }

    /// The same where the provider is known to put its tokens at this path (`data.auth`).
    pub fn read_in(body: &Value, path: Option<&str>) -> Option<Self> {
        // An identity provider's assertion for another server is no access token (RFC 8693 §2.2.1).
        if answer::is_id_jag(body) {
            return None;
        }
        let mut answer = Self::of(&holder(body, "access_token", path)?)?;
        if answer.refresh_token.is_none() {
            answer.refresh_token = refresh_apart(body).map(|token| token.to_owned().into());
        }
        Some(answer)
    }

    fn of(objects: &Around<'_>) -> Option<Self> {
        let text = |field: &str| find(objects, field);
        let access_token = text("access_token").filter(|token| sendable(token))?;
        let scope = scope_in(objects);
        let refresh_token = refresh_in(objects).ok()?;
        Some(Self {
            subject_binding: subject_binding(access_token, text("id_token"), scope.as_ref()).into(),
            access_token: access_token.to_owned().into(),
            refresh_token: refresh_token.map(|token| token.to_owned().into()),
            lifetimes: Lifetimes::read(objects),
            scope,
            kind: text("token_type").map(one_line),
        })
    }

    /// The same answer with the time of the provider's clock when it came: ends that are told as dates are counted by it.
    #[must_use]
    pub fn answered_at(mut self, at: Option<jiff::Timestamp>) -> Self {
        self.lifetimes.answered = at;
        self
    }

    /// The type of the access token, where it is none that can be presented: with a proof if it was asked for with one
    /// (RFC 9449 §5), else as a bearer token. Neither is ever shown as the other.
    pub fn unusable_type(&self, bound: bool) -> Option<&str> {
        let kind = self.kind.as_deref();
        let is = |word: &str| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(word));
        match bound {
            true if is("dpop") => None,
            true => Some(kind.unwrap_or("Bearer")),
            false => kind.filter(|_| NOT_BEARER.into_iter().any(is)),
        }
    }

    /// The tokens as one generation, with a lifetime from the best source there is. `issued` is when the request left.
    pub fn into_token_set(self, issued: Moment, default_lifetime: Option<Duration>) -> TokenSet {
        let (lifetime, lifetime_source) = self.lifetime(issued, default_lifetime);
        let refresh_ends = self.lifetimes.refresh_ends(issued.wall);
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
            refresh_in: self.lifetimes.refresh_in().filter(|wait| *wait < lifetime),
            subject_binding: self.subject_binding,
        }
    }

    fn lifetime(&self, issued: Moment, default: Option<Duration>) -> (Duration, LifetimeSource) {
        let own = jwt_lifetime(&self.access_token, issued);
        match (self.lifetimes.access(issued.wall, own), own) {
            (lifetime::Access::Span(span), _) => (span, LifetimeSource::ExpiresIn),
            (lifetime::Access::Sibling(span), _) => (span, LifetimeSource::SiblingField),
            (lifetime::Access::Own, Some(own)) => (own, LifetimeSource::JwtExp),
            _ => (default.unwrap_or(ASSUMED_LIFETIME), LifetimeSource::Assumed),
        }
    }
}

/// The object that holds the tokens, and those around it.
fn holder<'a>(body: &'a Value, field: &str, path: Option<&str>) -> Option<Around<'a>> {
    let holds = |objects: &Around<'a>| {
        let inner = objects.first();
        inner.is_some_and(|object| answer::text(object, field).is_some())
    };
    let at_path = |path: &str| answer::at_path(body, path).filter(&holds);
    let top = body.as_object().map(|object| vec![object]).filter(&holds);
    let found = top
        .or_else(|| path.and_then(at_path))
        .or_else(|| at_path("authed_user"));
    found.or_else(|| {
        let mut all = answer::holders(body, field);
        all.pop().filter(|_| all.is_empty())
    })
}

fn find<'a>(objects: &Around<'a>, field: &str) -> Option<&'a str> {
    let mut found = objects
        .iter()
        .filter_map(|object| answer::text(object, field));
    found.next()
}

/// The refresh token that stands in an object of its own, beside the access token's: it is not lost. One that has an access
/// token beside it belongs to that.
fn refresh_apart(body: &Value) -> Option<&str> {
    let [objects] = &answer::holders(body, "refresh_token")[..] else {
        return None;
    };
    let inner = objects.first()?;
    let of_another = answer::text(inner, "access_token").is_some();
    answer::text(inner, "refresh_token").filter(|_| !of_another)
}

/// A refresh token came in a form that nobody can read.
struct Unreadable;

/// The refresh token of an answer, which may be the one text in a list or an object.
fn refresh_in<'a>(objects: &Around<'a>) -> Result<Option<&'a str>, Unreadable> {
    if let Some(text) = find(objects, "refresh_token") {
        return Ok(Some(text));
    }
    let told = objects
        .iter()
        .find_map(|object| answer::get(object, "refresh_token"));
    let one_of = |values: Vec<&'a Value>| {
        let texts: Vec<&str> = values.into_iter().filter_map(Value::as_str).collect();
        match texts[..] {
            [text] => Ok(Some(text)),
            _ => Err(Unreadable),
        }
    };
    match told {
        None | Some(Value::Null | Value::Bool(false) | Value::String(_)) => Ok(None),
        Some(Value::Array(list)) => one_of(list.iter().collect()),
        Some(Value::Object(object)) => one_of(object.values().collect()),
        Some(_) => Err(Unreadable),
    }
}

/// A scope is one text (RFC 6749 §3.3), or a list as Twitch writes it.
fn scope_in(objects: &Around<'_>) -> Option<Scope> {
    let mut values = objects
        .iter()
        .filter_map(|object| answer::get(object, "scope"));
    let text = values.find_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            Some(names.join(" "))
        }
        _ => None,
    });
    let scope = crate::oauth::quote::displayable_scope(&text.filter(|text| !text.is_empty())?);
    Some(scope)
}

/// The refresh token of an answer that brings no access token that can be used: Azure AD B2C answers so where a refresh
/// names no scope. It takes the place of the one that was sent.
pub(super) fn refresh_alone(body: &Value, path: Option<&str>) -> Option<RefreshToken> {
    // Beside several access tokens nobody can tell whose it is.
    let ambiguous = answer::holders(body, "access_token").len() > 1;
    if ambiguous || TokenAnswer::read_in(body, path).is_some() || answer::is_id_jag(body) {
        return None;
    }
    let objects = holder(body, "refresh_token", path)?;
    let secret = find(&objects, "refresh_token")?;
    Some(RefreshToken {
        secret: secret.to_owned().into(),
        expires_at: None,
    })
}

/// What an answer shows of whose its tokens are, and for what.
fn subject_binding(access: &str, id: Option<&str>, scope: Option<&Scope>) -> SubjectBinding {
    let access = jwt::claims(access);
    let id = id.and_then(jwt::claims);
    SubjectBinding {
        id_token: id.as_ref().and_then(jwt::account),
        access_token: access.as_ref().and_then(jwt::account),
        audience: access.as_ref().map(jwt::audience).unwrap_or_default(),
        scope: scope
            .map(|scope| SubjectBinding::words(scope.as_str()))
            .unwrap_or_default(),
        bound_to: None,
    }
}

/// RFC 6750 §2.1: what may stand in an `Authorization` header.
fn sendable(token: &str) -> bool {
    token.len() <= 64 * 1024 && token.bytes().all(|byte| byte.is_ascii_graphic())
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
        model::{BootId, BootStamp, ClientId, ClientRegistration, Issuer, RegistrationSource},
        platform::clock::Seams,
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

    #[expect(clippy::disallowed_methods, reason = "the test looks at what came")]
    fn refresh_of(set: &TokenSet) -> Option<String> {
        let token = set.refresh_token.as_ref();
        token.map(|token| token.secret.expose().clone())
    }

    #[test]
    fn a_refresh_token_in_an_object_of_its_own_is_kept() {
        for body in [
            r#"{"access_token":"a","refresh":{"refresh_token":"r","expires_in":9}}"#,
            r#"{"access":{"access_token":"a"},"refresh":{"refresh_token":"r"}}"#,
        ] {
            assert_eq!(refresh_of(&read(body)).as_deref(), Some("r"), "{body}");
        }
        for body in [
            r#"{"access_token":"a","authed_user":{"access_token":"u","refresh_token":"r"}}"#,
            r#"{"access_token":"a","x":{"refresh_token":"r"},"y":{"refresh_token":"s"}}"#,
        ] {
            assert_eq!(refresh_of(&read(body)), None, "{body}");
        }
    }

    #[test]
    fn a_refresh_token_that_is_no_text_is_unwrapped_or_the_answer_is_unread() {
        for told in [r#"["r"]"#, r#"{"token":"r"}"#] {
            let set = read(&format!(r#"{{"access_token":"a","refresh_token":{told}}}"#));
            assert!(set.refresh_token.is_some(), "{told}");
        }
        for told in ["7", r#"["r","s"]"#, "[]"] {
            let body = format!(r#"{{"access_token":"a","refresh_token":{told}}}"#);
            let body = serde_json::from_str(&body).unwrap();
            assert!(TokenAnswer::read(&body).is_none(), "{told}");
        }
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
        assert_eq!(
            set.subject_binding.id_token,
            set.subject_binding.access_token
        );
        assert!(set.subject_binding.id_token.is_some());
        assert_eq!(
            (
                set.subject_binding.audience.len(),
                set.subject_binding.scope.len()
            ),
            (1, 2)
        );
    }

    #[test]
    fn a_refresh_names_the_resource_and_a_scope_only_where_it_must() {
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
        let token = "r+t".to_owned().into();
        let request = refresh_request(&proof, &token, None, Some(&resource));
        assert_eq!(
            &request.body[..],
            b"grant_type=refresh_token&refresh_token=r%2Bt&resource=http%3A%2F%2F127.0.0.1%3A1&client_id=c"
        );
        let request = refresh_request(&proof, &token, Some(&Scope::new("a b")), None);
        assert_eq!(
            &request.body[..],
            b"grant_type=refresh_token&refresh_token=r%2Bt&scope=a+b&client_id=c"
        );
    }

    #[test]
    fn a_request_carries_what_its_provider_insists_on() {
        let registration = ClientRegistration::new(
            Issuer::new("https://as.example"),
            ClientId::new("c"),
            RegistrationSource::Given,
        );
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let quirks = crate::model::Quirks {
            refresh_parameters: pair("action", "requesttoken"),
            exchange_parameters: pair("expiring", "1"),
            ..crate::model::Quirks::default()
        };
        let our = crate::oauth::client_auth::OurClient {
            registration: &registration,
            quirks: &quirks,
            audience: None,
            skew: 0,
            seams: &Seams::system(),
        };
        let (proof, secret) = (our.proof().unwrap(), "s".to_owned().into());
        let refresh = refresh_request(&proof, &secret, None, None);
        assert!(refresh.body.ends_with(b"&action=requesttoken&client_id=c"));
        let code = code_request(&proof, &secret, &secret, "http://127.0.0.1/cb", None);
        assert!(code.body.ends_with(b"&expiring=1&client_id=c"));
    }
}
