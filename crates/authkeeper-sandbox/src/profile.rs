//! Profiles: how a server's refresh tokens behave, one table row for each real server.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// The server that the authorization server behaves like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Rotates; a second use of a spent refresh token kills the grant with all its tokens. oidc-provider 9.13.3.
    #[default]
    Strict,
    /// Rotates; a second use is refused with 401 and the grant lives on. The old access token dies at rotation, a narrowed
    /// scope stays narrow, and an expired access token that is shown takes its refresh token along. `FastMCP` 4.1.2.
    SingleUse,
    /// Rotates; within the grace window a spent refresh token gets the identical answer, until its successor is used or
    /// the window is over: then the family dies. Resources answer 403 with HTML. django-oauth-toolkit 3.4.1.
    Grace,
    /// Rotates; a spent refresh token gets the identical answer for as long as its successor is unused.
    IdempotentReplay,
    /// The refresh token before stays good until its successor is used. Cloudflare workers-oauth-provider 1.2.3.
    TwoGeneration,
    /// Rotates; a refresh token ends when its access token ends. Canaille 0.3.6.
    DiesWithAccessToken,
    /// A wrong secret, scope or resource burns the refresh token; refusals are empty. glewlwyd 2.7.5, and for the scope
    /// `node-oauth/oauth2-server` 5.3.0.
    BurnsOnError,
    /// The refresh token never changes and is not sent again, as Google does it.
    NoRotation,
}

/// The server whose error responses are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OidcProvider,
    FastMcp,
    Django,
    Cloudflare,
    Canaille,
    Glewlwyd,
}

/// The answer to a spent refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    KillsGrant,
    /// Refused; nothing else happens.
    Refused,
    /// The same answer within the grace window, afterwards the grant dies.
    SameAnswerInWindow,
    SameAnswerUntilSuccessorUsed,
    /// A new pair: the spent one counts until its successor is used.
    NewPairUntilSuccessorUsed,
}

/// The answer to a `resource` that the grant was not made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignResource {
    Ignored,
    Refused,
    /// Refused after the refresh token was spent.
    RefusedTooLate,
    /// Refused, unless the grant names no resource: then it is bound to this one.
    RefusedIfBound,
}

/// What still works for a disabled user's grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disabled {
    /// Refresh and calls are refused until the user is enabled again.
    RefusedEverywhere,

    /// Refresh is refused; access tokens work until they expire.
    RefusedAtRefresh,
    /// Nothing is refused.
    Unnoticed,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of a table: each column is a yes or no that one real server showed"
)]
pub(crate) struct Habits {
    pub(crate) dialect: Dialect,
    pub(crate) models: &'static str,
    pub(crate) rotates: bool,
    pub(crate) replay: Replay,
    pub(crate) foreign_resource: ForeignResource,
    pub(crate) disabled: Disabled,
    /// The old access token is refused as soon as there is a new one.
    pub(crate) rotation_ends_access: bool,
    /// Access tokens die with their grant.
    pub(crate) access_dies_with_grant: bool,
    /// A narrower scope in a refresh narrows the grant for good.
    pub(crate) narrowing_stays: bool,
    /// A second use of an authorization or device code revokes its grant.
    pub(crate) code_replay_kills: bool,
    /// Revoking an access token revokes its grant.
    pub(crate) revoked_access_kills: bool,
    /// A request with an expired access token revokes its refresh token.
    pub(crate) expired_access_kills: bool,
    pub(crate) refresh_ends_with_access: bool,
    /// A refresh token's lifetime starts at the end of its access token.
    pub(crate) refresh_counts_from_access_end: bool,
    /// A wrong secret, scope or resource spends the refresh token that came with it.
    pub(crate) burns_on_error: bool,
    /// The client secret is accepted in the header and in the form.
    pub(crate) any_secret_method: bool,
    /// Refresh tokens expire this many seconds early.
    pub(crate) ends_early: u64,
}

/// What most servers have in common. Each row names its differences.
const COMMON: Habits = Habits {
    dialect: Dialect::OidcProvider,
    models: "",
    rotates: true,
    replay: Replay::Refused,
    foreign_resource: ForeignResource::Refused,
    disabled: Disabled::RefusedEverywhere,
    rotation_ends_access: false,
    access_dies_with_grant: true,
    narrowing_stays: false,
    code_replay_kills: false,
    revoked_access_kills: false,
    expired_access_kills: false,
    refresh_ends_with_access: false,
    refresh_counts_from_access_end: false,
    burns_on_error: false,
    any_secret_method: false,
    ends_early: 0,
};

const STRICT: Habits = Habits {
    models: "oidc-provider 9.13.3",
    replay: Replay::KillsGrant,
    foreign_resource: ForeignResource::RefusedTooLate,
    code_replay_kills: true,
    revoked_access_kills: true,
    ..COMMON
};

const SINGLE_USE: Habits = Habits {
    dialect: Dialect::FastMcp,
    models: "FastMCP 4.1.2",
    foreign_resource: ForeignResource::Ignored,
    rotation_ends_access: true,
    narrowing_stays: true,
    revoked_access_kills: true,
    expired_access_kills: true,
    ..COMMON
};

const GRACE: Habits = Habits {
    dialect: Dialect::Django,
    models: "django-oauth-toolkit 3.4.1",
    replay: Replay::SameAnswerInWindow,
    foreign_resource: ForeignResource::RefusedIfBound,
    disabled: Disabled::Unnoticed,
    rotation_ends_access: true,
    narrowing_stays: true,
    revoked_access_kills: true,
    refresh_counts_from_access_end: true,
    any_secret_method: true,
    ..COMMON
};

const IDEMPOTENT_REPLAY: Habits = Habits {
    models: "no one server: RFC wording, better-auth's rule without its window",
    replay: Replay::SameAnswerUntilSuccessorUsed,
    ..COMMON
};

const TWO_GENERATION: Habits = Habits {
    dialect: Dialect::Cloudflare,
    models: "Cloudflare workers-oauth-provider 1.2.3",
    replay: Replay::NewPairUntilSuccessorUsed,
    ends_early: 60,
    ..COMMON
};

const DIES_WITH_ACCESS_TOKEN: Habits = Habits {
    dialect: Dialect::Canaille,
    models: "Canaille 0.3.6",
    foreign_resource: ForeignResource::Ignored,
    disabled: Disabled::RefusedAtRefresh,
    rotation_ends_access: true,
    refresh_ends_with_access: true,
    ..COMMON
};

const BURNS_ON_ERROR: Habits = Habits {
    dialect: Dialect::Glewlwyd,
    models: "glewlwyd 2.7.5 (the scope rule: node-oauth/oauth2-server 5.3.0)",
    replay: Replay::KillsGrant,
    disabled: Disabled::Unnoticed,
    access_dies_with_grant: false,
    burns_on_error: true,
    any_secret_method: true,
    ..COMMON
};

const NO_ROTATION: Habits = Habits {
    models: "Google's rule in oidc-provider's words",
    rotates: false,
    ..COMMON
};

impl Profile {
    /// Every profile, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Strict,
        Self::SingleUse,
        Self::Grace,
        Self::IdempotentReplay,
        Self::TwoGeneration,
        Self::DiesWithAccessToken,
        Self::BurnsOnError,
        Self::NoRotation,
    ];

    /// The name used in flags, scenario files and the control endpoint.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::SingleUse => "single-use",
            Self::Grace => "grace",
            Self::IdempotentReplay => "idempotent-replay",
            Self::TwoGeneration => "two-generation",
            Self::DiesWithAccessToken => "dies-with-access-token",
            Self::BurnsOnError => "burns-on-error",
            Self::NoRotation => "no-rotation",
        }
    }

    /// The real server that the profile models.
    pub fn models(self) -> &'static str {
        self.habits().models
    }

    pub(crate) fn habits(self) -> &'static Habits {
        match self {
            Self::Strict => &STRICT,
            Self::SingleUse => &SINGLE_USE,
            Self::Grace => &GRACE,
            Self::IdempotentReplay => &IDEMPOTENT_REPLAY,
            Self::TwoGeneration => &TWO_GENERATION,
            Self::DiesWithAccessToken => &DIES_WITH_ACCESS_TOKEN,
            Self::BurnsOnError => &BURNS_ON_ERROR,
            Self::NoRotation => &NO_ROTATION,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No profile has this name.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{0:?} is no profile; there are strict, single-use, grace, idempotent-replay, two-generation, \
         dies-with-access-token, burns-on-error and no-rotation"
)]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let mut all = Self::ALL.into_iter();
        all.find(|profile| profile.as_str() == text)
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}
