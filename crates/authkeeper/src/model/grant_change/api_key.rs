//! API keys: replaced by a person, with an overlap in which the one before may serve again.

use super::NewKey;
use crate::{
    model::{
        AccessToken, ENDLESS, Generation, Grant, GrantLifecycle, LifetimeSource, Moment, StandbyKey,
    },
    secret::SecretString,
};

impl Grant {
    pub(super) fn replace_key(&mut self, seen: Generation, key: &NewKey) -> bool {
        if !self.is_key_at(seen) {
            return false;
        }
        let before = self.access.take();
        self.standby = before.as_ref().map(|access| StandbyKey {
            secret: access.secret.clone(),
            generation: seen,
            until: key.overlap_until,
            refused: None,
        });
        self.rotate_by = key.rotate_by;
        self.succeed(before.as_ref(), key.secret.clone(), key.at);
        true
    }

    /// The two change places: the key that was refused now may only not be known everywhere yet.
    pub(super) fn fall_back(&mut self, refused: Generation, at: Moment) -> bool {
        if !self.is_key_at(refused) {
            return false;
        }
        let standby = self.standby.clone();
        let standby = standby.filter(|key| key.may_serve(at.wall));
        let (Some(standby), Some(access)) = (standby, self.access.clone()) else {
            return false;
        };
        self.succeed(Some(&access), standby.secret, at);
        self.standby = Some(StandbyKey {
            secret: access.secret,
            generation: refused,
            until: standby.until,
            refused: Some(at.wall),
        });
        true
    }

    fn is_key_at(&self, generation: Generation) -> bool {
        let usable = matches!(
            self.lifecycle,
            GrantLifecycle::Active | GrantLifecycle::ReauthorizationRequired { .. }
        );
        usable && self.grant_type.is_key() && self.generation == generation
    }

    /// The key of the generation after this one. What the one before it was for stays.
    fn succeed(&mut self, before: Option<&AccessToken>, secret: SecretString, at: Moment) {
        self.generation = self.generation.next();
        self.lifecycle = GrantLifecycle::Active;
        self.access = Some(AccessToken {
            secret,
            lineage: self.lineage,
            generation: self.generation,
            issued: at,
            lifetime: ENDLESS,
            lifetime_source: LifetimeSource::Endless,
            refresh_in: None,
            scope: before.and_then(|access| access.scope.clone()),
            resource: before.and_then(|access| access.resource.clone()),
            after_rejection: false,
        });
    }
}
