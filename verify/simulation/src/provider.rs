//! The provider's truth: which tokens it gave out, and what it does with one that comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use authkeeper::model::ReplayRule;
use serde_json::{Value, json};

/// How a provider rotates: the classes that were seen in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProviderClass {
    /// A reuse kills the family.
    Strict,
    /// The same, and nobody has told us.
    StrictUnknown,
    /// A spent token is refused; nothing else happens.
    SingleUse,
    /// For some time the spent token brings the same successor again; after that a reuse kills.
    Grace,
    /// The token before the last stays good until its successor is used.
    TwoGenerations,
    /// Strict, and the refresh token ends when the access token beside it does, or a little later.
    DiesWithAccess,
    /// It never changes.
    NoRotation,
}

/// The window of [`ProviderClass::Grace`].
pub const GRACE: Duration = Duration::from_mins(10);
/// How much longer than its access token a refresh token of [`ProviderClass::DiesWithAccess`] lives.
const OUTLIVES: Duration = Duration::from_secs(5);

impl ProviderClass {
    pub const ALL: [Self; 7] = [
        Self::Strict,
        Self::StrictUnknown,
        Self::SingleUse,
        Self::Grace,
        Self::TwoGenerations,
        Self::DiesWithAccess,
        Self::NoRotation,
    ];

    /// The rule under which it is known to us.
    pub fn known_as(self) -> ReplayRule {
        match self {
            Self::Strict | Self::DiesWithAccess => ReplayRule::Strict,
            Self::StrictUnknown => ReplayRule::Unknown,
            Self::SingleUse => ReplayRule::Refused,
            Self::Grace => ReplayRule::Grace(GRACE),
            Self::TwoGenerations => ReplayRule::TwoGenerations,
            Self::NoRotation => ReplayRule::Harmless,
        }
    }

    /// Whether a second request for a token that is not settled does no harm.
    pub fn is_patient(self) -> bool {
        !self.known_as().may_harm()
    }

    /// Whether a second request for a spent token brings good tokens.
    pub fn answers_replays(self) -> bool {
        matches!(self, Self::Grace | Self::TwoGenerations | Self::NoRotation)
    }

    fn kills(self) -> bool {
        !matches!(self, Self::SingleUse | Self::TwoGenerations)
    }
}

/// One refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimToken {
    pub family: u32,
    pub index: u32,
}

impl fmt::Display for SimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r-{}-{}", self.family, self.index)
    }
}

impl SimToken {
    pub fn parse(text: &str) -> Option<Self> {
        let (family, index) = text.strip_prefix("r-")?.split_once('-')?;
        Some(Self {
            family: family.parse().ok()?,
            index: index.parse().ok()?,
        })
    }
}

#[derive(Clone, Debug)]
struct Family {
    alive: bool,
    current: u32,
    previous: Option<u32>,
    issued: Duration,
}

/// What came of one request.
pub struct ProviderReply {
    /// The body of a success; none for a refusal.
    pub tokens: Option<Value>,
    /// The refresh token in it.
    pub granted: Option<SimToken>,
    /// The family that this very request killed.
    pub killed: Option<u32>,
}

#[derive(Debug)]
pub struct SimProvider {
    pub class: ProviderClass,
    /// How long an access token lives.
    pub lifetime: Duration,
    /// The account is disabled: refreshes are refused, and no token is harmed.
    pub disabled: bool,
    families: BTreeMap<u32, Family>,
    access: BTreeMap<String, (u32, Duration)>,
    rejected: BTreeSet<String>,
    /// How many requests were acted on.
    pub acted: u64,
}

impl SimProvider {
    pub fn new(class: ProviderClass, lifetime: Duration) -> Self {
        Self {
            class,
            lifetime,
            disabled: false,
            families: BTreeMap::new(),
            access: BTreeMap::new(),
            rejected: BTreeSet::new(),
            acted: 0,
        }
    }

    /// A person signed in: a refresh token and an access token.
    pub fn issue_family(&mut self, now: Duration) -> (SimToken, String) {
        let family = u32::try_from(self.families.len()).unwrap_or(u32::MAX);
        let new = Family {
            alive: true,
            current: 0,
            previous: None,
            issued: now,
        };
        self.families.insert(family, new);
        let access = self.issue_access(family, now);
        (SimToken { family, index: 0 }, access)
    }

    fn issue_access(&mut self, family: u32, now: Duration) -> String {
        let access = format!("a-{family}-{}", self.access.len());
        self.access.insert(access.clone(), (family, now));
        access
    }

    /// Whether the resource takes this access token.
    pub fn serves(&self, access: &str, now: Duration) -> bool {
        let known = self.access.get(access);
        known.is_some_and(|(family, issued)| {
            let alive = self.families.get(family).is_some_and(|family| family.alive);
            alive && now < *issued + self.lifetime && !self.rejected.contains(access)
        })
    }

    /// The resource stops taking an access token before its end.
    pub fn reject(&mut self, access: &str) {
        self.rejected.insert(access.to_owned());
    }

    /// The newest token of a family that lives.
    pub fn newest(&self, family: u32) -> Option<SimToken> {
        let known = self.families.get(&family).filter(|known| known.alive)?;
        Some(SimToken {
            family,
            index: known.current,
        })
    }

    /// The newest token of a family, whether or not it lives.
    pub fn last(&self, family: u32) -> Option<SimToken> {
        let index = self.families.get(&family)?.current;
        Some(SimToken { family, index })
    }

    /// Whether a token would be taken now, were the account enabled.
    pub fn is_good(&self, token: SimToken, now: Duration) -> bool {
        let family = self.families.get(&token.family);
        family.is_some_and(|family| family.alive && self.takes(family, token.index, now))
    }

    fn takes(&self, family: &Family, index: u32, now: Duration) -> bool {
        let age = now.saturating_sub(family.issued);
        let is_current = index == family.current;
        let is_previous = Some(index) == family.previous;
        match self.class {
            ProviderClass::DiesWithAccess => is_current && age < self.lifetime + OUTLIVES,
            ProviderClass::Grace => is_current || (is_previous && age < GRACE),
            ProviderClass::TwoGenerations => is_current || is_previous,
            ProviderClass::Strict
            | ProviderClass::StrictUnknown
            | ProviderClass::SingleUse
            | ProviderClass::NoRotation => is_current,
        }
    }

    /// RFC 7009: a good token takes its family with it, a spent one means nothing to the server.
    pub fn revoke(&mut self, token: SimToken, now: Duration) {
        if self.is_good(token, now)
            && let Some(family) = self.families.get_mut(&token.family)
        {
            family.alive = false;
        }
    }

    /// Acts on a request that spends a token.
    pub fn act(&mut self, token: SimToken, now: Duration) -> ProviderReply {
        self.acted += 1;
        let good = self.is_good(token, now);
        let class = self.class;
        let Some(family) = self.families.get_mut(&token.family) else {
            return refused(None);
        };
        if !good {
            let reused = token.index != family.current;
            let kills = class.kills() && reused && family.alive;
            family.alive &= !kills;
            return refused(kills.then_some(token.family));
        }
        if self.disabled {
            return refused(None);
        }
        let index = family.rotate(class, token.index, now);
        let granted = index.map(|index| SimToken { index, ..token });
        let access = self.issue_access(token.family, now);
        let mut body = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": self.lifetime.as_secs(),
        });
        if let (Some(granted), Some(object)) = (granted, body.as_object_mut()) {
            object.insert("refresh_token".to_owned(), granted.to_string().into());
        }
        ProviderReply {
            tokens: Some(body),
            granted,
            killed: None,
        }
    }
}

fn refused(killed: Option<u32>) -> ProviderReply {
    ProviderReply {
        tokens: None,
        granted: None,
        killed,
    }
}

impl Family {
    /// The new refresh token's index, if there is a new one.
    fn rotate(&mut self, class: ProviderClass, used: u32, now: Duration) -> Option<u32> {
        if class == ProviderClass::NoRotation {
            return None;
        }
        if class == ProviderClass::Grace && used != self.current {
            return Some(self.current);
        }
        if class == ProviderClass::TwoGenerations && used != self.current {
            // The one that was given for it is forgotten.
            self.current += 1;
            self.issued = now;
            return Some(self.current);
        }
        self.previous = Some(used);
        self.current += 1;
        self.issued = now;
        Some(self.current)
    }
}
