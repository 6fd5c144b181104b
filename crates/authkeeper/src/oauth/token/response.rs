//! Successful responses of the token endpoint (RFC 6749 §5.1).

use std::time::Duration;

use serde_json::Value;

use crate::{
    model::{LifetimeSource, Moment, RefreshToken, Scope, SubjectBinding, TokenSet},
    oauth::{
        answer::{self, ObjectPath},
        jwt,
        lifetime::{self, ResponseLifetimes},
    },
    secret::SecretString,
    text::sanitize::one_line,
};

/// What is believed of a token's lifetime when nobody says anything.
pub const ASSUMED_LIFETIME: Duration = Duration::from_hours(1);

/// A successful answer, read but not yet believed.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    pub(super) access_token: SecretString,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) lifetimes: ResponseLifetimes,
    pub(super) scope: Option<Scope>,
    pub(super) subject_binding: Box<SubjectBinding>,
    /// Its type, as it was told.
    pub(super) kind: Option<String>,
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

    fn of(objects: &ObjectPath<'_>) -> Option<Self> {
        let text = |field: &str| find(objects, field);
        let access_token = text("access_token").filter(|token| sendable(token))?;
        let scope = scope_in(objects);
        let refresh_token = refresh_in(objects).ok()?;
        Some(Self {
            subject_binding: subject_binding(access_token, text("id_token"), scope.as_ref()).into(),
            access_token: access_token.to_owned().into(),
            refresh_token: refresh_token.map(|token| token.to_owned().into()),
            lifetimes: ResponseLifetimes::read(objects),
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

    /// The thumbprint of the client certificate that the access token is bound to, where it says so itself (RFC 8705 §3.1).
    pub fn bound_certificate(&self) -> Option<String> {
        jwt::bound_certificate(&self.access_token)
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
            (lifetime::AccessLifetime::Span(span), _) => (span, LifetimeSource::ExpiresIn),
            (lifetime::AccessLifetime::Sibling(span), _) => (span, LifetimeSource::SiblingField),
            (lifetime::AccessLifetime::Own, Some(own)) => (own, LifetimeSource::JwtExp),
            _ => (default.unwrap_or(ASSUMED_LIFETIME), LifetimeSource::Assumed),
        }
    }
}

/// The object that holds the tokens, and those around it.
fn holder<'a>(body: &'a Value, field: &str, path: Option<&str>) -> Option<ObjectPath<'a>> {
    let holds = |objects: &ObjectPath<'a>| {
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

fn find<'a>(objects: &ObjectPath<'a>, field: &str) -> Option<&'a str> {
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
pub(super) struct Unreadable;

/// The refresh token of an answer, which may be the one text in a list or an object.
pub(super) fn refresh_in<'a>(objects: &ObjectPath<'a>) -> Result<Option<&'a str>, Unreadable> {
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
fn scope_in(objects: &ObjectPath<'_>) -> Option<Scope> {
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
pub(in crate::oauth) fn refresh_alone(body: &Value, path: Option<&str>) -> Option<RefreshToken> {
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
