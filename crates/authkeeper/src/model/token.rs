//! Tokens: one generation of a grant.

use std::time::Duration;

use jiff::Timestamp;

use super::{Generation, Lineage, Moment, Resource, Scope, SubjectBinding};
use crate::secret::SecretString;

/// `expires_in` counts whole seconds (RFC 6749 §5.1) and servers round either way, so the last second of a token is
/// not trusted; of a very short one, the last fifth.
const ROUNDING: Duration = Duration::from_secs(1);

/// Where the belief about a token's lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeSource {
    /// The token response's `expires_in`.
    ExpiresIn,
    /// Another field of the token response (`expires_at` and the like), where `expires_in` is missing or makes no sense.
    SiblingField,
    /// The `exp` claim of a token that happens to be a JWT.
    JwtExp,
    /// A person's setting, which overrides what the provider says.
    Configured,
    /// The provider's configured default, or one hour.
    Assumed,
    /// It does not end by itself (an API key).
    Endless,
}

impl LifetimeSource {
    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExpiresIn => "expires_in",
            Self::SiblingField => "sibling_field",
            Self::JwtExp => "jwt_exp",
            Self::Configured => "configured",
            Self::Assumed => "assumed",
            Self::Endless => "endless",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::ExpiresIn,
            Self::SiblingField,
            Self::JwtExp,
            Self::Configured,
            Self::Assumed,
            Self::Endless,
        ];
        all.into_iter().find(|s| s.as_str() == text)
    }
}

/// An access token and what is known of it.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The token itself.
    pub secret: SecretString,
    /// Which sign-in it stems from.
    pub lineage: Lineage,
    /// Which generation of the grant it belongs to.
    pub generation: Generation,
    /// When it was asked for: the earliest moment at which the issuer can have started to count.
    pub issued: Moment,
    /// How long it lives from then, as the issuer gave it.
    pub lifetime: Duration,
    /// Where that belief comes from.
    pub lifetime_source: LifetimeSource,
    /// How long from then the issuer wants it refreshed, if it said so (`refresh_in`).
    pub refresh_in: Option<Duration>,
    /// What was granted, if the server said so (RFC 6749 §5.1: absent means as requested).
    pub scope: Option<Scope>,
    /// What it is for.
    pub resource: Option<Resource>,
    /// Whether it was fetched because its predecessor got a 401: if this one gets a 401 too, it is not expired but
    /// rejected.
    pub after_rejection: bool,
}

impl AccessToken {
    /// How long the issuer can ever have let it be presented.
    pub fn usable_lifetime(&self) -> Duration {
        self.lifetime
            .saturating_sub(ROUNDING.min(self.lifetime / 5))
    }

    /// How old it is.
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.issued)
    }

    /// How long it may still be presented; zero when it may not.
    pub fn left(&self, now: Moment) -> Duration {
        self.usable_lifetime().saturating_sub(self.age(now))
    }

    /// When the issuer's count ends, by the wall clock; none if it does not end by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        if self.lifetime_source == LifetimeSource::Endless {
            return None;
        }
        let ends = self.issued.wall.saturating_add(self.lifetime);
        Some(ends.unwrap_or(Timestamp::MAX))
    }
}

/// What stands for the lifetime of what does not end by itself: longer than any machine runs.
pub const ENDLESS: Duration = Duration::from_hours(24 * 365 * 100);

/// A refresh token. Its own lifetime, where a provider tells it, is kept beside it.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// The token itself.
    pub secret: SecretString,
    /// When the provider said it ends, if it said so.
    pub expires_at: Option<Timestamp>,
}

impl RefreshToken {
    /// Whether nothing of it differs.
    #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
    pub fn is_same(&self, other: &Self) -> bool {
        self.secret.expose() == other.secret.expose() && self.expires_at == other.expires_at
    }
}

/// What one successful answer of a token endpoint brought.
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// The access token.
    pub access_token: SecretString,
    /// A new refresh token; none means that the old one stays good (RFC 6749 §6).
    pub refresh_token: Option<RefreshToken>,
    /// What was granted, if the answer says so.
    pub scope: Option<Scope>,
    /// When the request left.
    pub issued: Moment,
    /// The access token's lifetime.
    pub lifetime: Duration,
    /// Where that belief comes from.
    pub lifetime_source: LifetimeSource,
    /// How long from then the issuer wants it refreshed, if it said so (`refresh_in`).
    pub refresh_in: Option<Duration>,
    /// On whose account and for what, as far as the tokens show it.
    pub subject_binding: Box<SubjectBinding>,
}

impl TokenSet {
    /// Takes a person's word for how long the access token lives.
    pub fn believe(&mut self, lifetime: Option<Duration>) {
        if let Some(lifetime) = lifetime {
            self.lifetime = lifetime;
            self.lifetime_source = LifetimeSource::Configured;
            self.refresh_in = self.refresh_in.filter(|wait| *wait < lifetime);
        }
    }

    /// The access token as a child of one generation.
    pub fn access(
        &self,
        lineage: Lineage,
        generation: Generation,
        resource: Option<Resource>,
    ) -> AccessToken {
        AccessToken {
            secret: self.access_token.clone(),
            lineage,
            generation,
            issued: self.issued,
            lifetime: self.lifetime,
            lifetime_source: self.lifetime_source,
            refresh_in: self.refresh_in,
            scope: self.scope.clone(),
            resource,
            after_rejection: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootId, BootStamp};

    fn moment(seconds: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
            boot: BootStamp {
                id: BootId(7),
                since: Duration::from_secs(seconds),
            },
        }
    }

    fn token(lifetime: u64) -> AccessToken {
        AccessToken {
            secret: "t".to_owned().into(),
            lineage: Lineage(1),
            generation: Generation(1),
            issued: moment(100),
            lifetime: Duration::from_secs(lifetime),
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            scope: None,
            resource: None,
            after_rejection: false,
        }
    }

    #[test]
    fn the_last_second_is_not_trusted() {
        assert_eq!(token(3600).left(moment(100)), Duration::from_secs(3599));
        assert_eq!(token(5).left(moment(103)), Duration::from_secs(1));
        assert_eq!(token(5).left(moment(104)), Duration::ZERO);
        assert_eq!(token(1).left(moment(100)), Duration::from_millis(800));
    }

    #[test]
    fn a_wall_clock_that_steps_back_does_not_revive_a_token() {
        let mut now = moment(200);
        now.wall = Timestamp::from_second(0).unwrap();
        assert_eq!(token(60).left(now), Duration::ZERO);
    }

    #[test]
    fn the_words_are_fixed() {
        let sources = [
            LifetimeSource::ExpiresIn,
            LifetimeSource::SiblingField,
            LifetimeSource::JwtExp,
            LifetimeSource::Configured,
            LifetimeSource::Assumed,
            LifetimeSource::Endless,
        ];
        let words = [
            "expires_in",
            "sibling_field",
            "jwt_exp",
            "configured",
            "assumed",
            "endless",
        ];
        assert_eq!(sources.map(LifetimeSource::as_str), words);
        assert_eq!(words.map(LifetimeSource::parse), sources.map(Some));
        assert_eq!(LifetimeSource::parse("learned"), None);
    }

    #[test]
    fn what_is_endless_has_no_end() {
        let mut token = token(3600);
        let end = token.issued.wall.as_second() + 3600;
        assert_eq!(token.expires_at().map(Timestamp::as_second), Some(end));
        assert_eq!(token.age(moment(160)), Duration::from_mins(1));
        token.lifetime_source = LifetimeSource::Endless;
        assert_eq!(token.expires_at(), None);
        assert_eq!(ENDLESS.as_secs(), 3_153_600_000, "a century");
    }
}
