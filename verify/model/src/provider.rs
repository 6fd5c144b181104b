//! What a provider does with a refresh token: the classes that were seen in the field.

use std::time::Duration;

use authkeeper::model::ReplayRule;

use crate::{
    bridge,
    state::{FAMILIES, Family, ModelProvider, ModelToken, Reply, Tick},
};

/// How a provider rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RotationClass {
    /// A reuse kills the family.
    Strict,
    /// A spent token is refused; nothing else happens.
    SingleUse,
    /// For some time the spent token brings the same successor again; after that a reuse kills.
    Grace,
    /// The token before the last stays good until its successor is used.
    TwoGenerations,
    /// Strict, and the refresh token ends when the access token beside it does.
    DiesWithAccess,
    /// It never changes.
    NoRotation,
}

/// The window of [`RotationClass::Grace`]: a few ticks of the model.
pub const GRACE: Duration = Duration::from_mins(10);

impl RotationClass {
    /// The rule under which the catalogue knows such a provider.
    pub fn known_as(self) -> ReplayRule {
        match self {
            Self::Strict | Self::DiesWithAccess => ReplayRule::Strict,
            Self::SingleUse => ReplayRule::Refused,
            Self::Grace => ReplayRule::Grace(GRACE),
            Self::TwoGenerations => ReplayRule::TwoGenerations,
            Self::NoRotation => ReplayRule::Harmless,
        }
    }
}

/// What came of one request.
pub struct ModelReply {
    pub reply: Reply,
    /// The family that this very request killed.
    pub killed: Option<u8>,
}

impl ModelProvider {
    pub fn with_one_family() -> Self {
        let mut families = [None; FAMILIES];
        families[0] = Some(Family::new(0));
        Self {
            up: true,
            enabled: true,
            families,
        }
    }

    /// A person signed in.
    pub fn issue_family(&mut self, now: Tick) -> Option<ModelToken> {
        let place = self.families.iter().position(Option::is_none)?;
        self.families[place] = Some(Family::new(now));
        let family = u8::try_from(place).ok()?;
        Some(ModelToken { family, index: 0 })
    }

    fn family(&mut self, token: ModelToken) -> Option<&mut Family> {
        self.families
            .get_mut(usize::from(token.family))?
            .as_mut()
            .filter(|family| family.alive)
    }

    /// Whether a token would be taken now, were the account enabled.
    pub fn is_good(&self, class: RotationClass, token: ModelToken, now: Tick) -> bool {
        let family = self.families[usize::from(token.family)];
        family.is_some_and(|family| family.alive && family.takes(class, token.index, now))
    }

    /// RFC 7009: a good token takes its family with it, a spent one means nothing to the server.
    pub fn revoke(&mut self, class: RotationClass, token: ModelToken, now: Tick) {
        if !self.is_good(class, token, now) {
            return;
        }
        if let Some(family) = self.family(token) {
            family.alive = false;
        }
    }

    /// Acts on a request that left at `issued`.
    pub fn act(
        &mut self,
        class: RotationClass,
        token: ModelToken,
        (issued, now): (Tick, Tick),
    ) -> ModelReply {
        if !self.up {
            return ModelReply::of(Reply::Transient);
        }
        let enabled = self.enabled;
        let Some(family) = self.family(token) else {
            return ModelReply::of(Reply::Refused);
        };
        if !family.takes(class, token.index, now) {
            let reused = token.index != family.current;
            let kills = !matches!(
                class,
                RotationClass::SingleUse | RotationClass::TwoGenerations
            ) && reused;
            family.alive = !kills;
            return ModelReply {
                reply: Reply::Refused,
                killed: kills.then_some(token.family),
            };
        }
        if !enabled {
            return ModelReply::of(Reply::Refused);
        }
        let index = family.rotate(class, token.index, now);
        let token = index.map(|index| ModelToken { index, ..token });
        ModelReply::of(Reply::Accepted { token, issued })
    }
}

impl ModelReply {
    fn of(reply: Reply) -> Self {
        Self {
            reply,
            killed: None,
        }
    }
}

impl Family {
    fn new(now: Tick) -> Self {
        Self {
            alive: true,
            current: 0,
            previous: None,
            issued: now,
            count: 1,
        }
    }

    fn takes(self, class: RotationClass, index: u8, now: Tick) -> bool {
        let age = bridge::ticks(now.saturating_sub(self.issued));
        match class {
            RotationClass::DiesWithAccess => index == self.current && age < bridge::LIFETIME,
            RotationClass::Grace => {
                index == self.current || (Some(index) == self.previous && age < GRACE)
            }
            RotationClass::TwoGenerations => index == self.current || Some(index) == self.previous,
            RotationClass::Strict | RotationClass::SingleUse | RotationClass::NoRotation => {
                index == self.current
            }
        }
    }

    /// The new refresh token, if there is one.
    fn rotate(&mut self, class: RotationClass, used: u8, now: Tick) -> Option<u8> {
        if class == RotationClass::NoRotation {
            return None;
        }
        if class == RotationClass::Grace && used != self.current {
            return Some(self.current);
        }
        self.previous = Some(used);
        self.current = self.count;
        self.count += 1;
        self.issued = now;
        Some(self.current)
    }
}
