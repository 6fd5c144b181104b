//! What a sign-in makes of a connection and its grant, decided without a store. A store reads [`Adoptable`] and writes the
//! [`Adoption`] in one transaction.

use crate::{
    model::{
        AccessToken, Connection, Generation, Grant, GrantChange, GrantId, GrantLifecycle,
        GrantRecord, Lineage,
    },
    store::{Obtained, SignedIn, sign_in::may_share},
};

/// What is kept that a sign-in may change.
#[derive(Clone, Debug, Default)]
pub struct Adoptable {
    /// The connection of this name.
    pub connection: Option<Connection>,
    /// The record of its grant.
    pub own: Option<GrantRecord>,
    /// The other connections on that grant.
    pub neighbours: Vec<Connection>,
    /// The record of the grant that [`joinable`] names.
    pub held: Option<GrantRecord>,
}

/// What is kept once a sign-in is adopted.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The connection, with its grant.
    pub connection: Connection,
    /// What becomes of that grant.
    pub grant: AdoptedGrant,
    /// The grant that the connection had before and that nobody else uses: it is revoked and wiped.
    pub replaced: Option<GrantId>,
    /// What the audit keeps.
    pub event: serde_json::Value,
}

/// What becomes of the grant that a sign-in goes to.
#[derive(Clone, Debug)]
pub enum AdoptedGrant {
    /// Another connection holds the very refresh token that was brought: nothing of the grant is changed, but one that waits
    /// for the confirmation of its sole copy has it now.
    Joined {
        /// The grant as it is from now on.
        grant: Box<Grant>,
        /// Whether [`GrantChange::ConfirmSoleCopy`] made it so.
        confirmed: bool,
    },
    /// Its refresh token goes on and may be on its way: all stays as it is but the access token.
    AccessReplaced(Box<GrantRecord>),
    /// The record replaces the one of the same id, if there is one.
    Put {
        /// The new record.
        record: Box<GrantRecord>,
        /// Whether the refresh token that the grant began with stays known as that: it goes on.
        keeps_first: bool,
    },
}

/// The grant that a sign-in or an import joins, among the connections that hold the refresh token that it brought: what a
/// sign-in brings to its own connection is new, whatever the token; an import over it may bring one that is spent.
pub fn joinable<'a>(new: &SignedIn, holders: &'a [Connection]) -> Option<&'a GrantId> {
    let wanted = &new.connection;
    let imported = matches!(new.obtained, Obtained::RefreshToken(_));
    let mut others = holders
        .iter()
        .filter(|holder| imported || holder.name != wanted.name);
    let other = others.find(|holder| may_share(holder, wanted))?;
    other.grant.as_ref()
}

/// Decides what is kept once this sign-in is adopted.
pub fn adopt(new: &SignedIn, kept: &Adoptable) -> Adoption {
    let place = Place::of(new, kept);
    let connection = Connection {
        grant: Some(place.id.clone()),
        created: (kept.connection.as_ref()).map_or(new.connection.created, |known| known.created),
        ..new.connection.clone()
    };
    let old = kept
        .connection
        .as_ref()
        .and_then(|known| known.grant.as_ref());
    let replaced = old.filter(|old| **old != place.id && kept.neighbours.is_empty());
    let mut event = serde_json::json!({
        "event": "signed_in", "connection": connection.name.as_str(), "grant_type": new.grant_type.as_str(),
        "principal": connection.principal.as_str(), "lineage": place.lineage.0,
    });
    if place.kept.is_some() {
        event["refresh_token"] = "kept".into();
    }
    Adoption {
        replaced: replaced.cloned(),
        grant: place.grant(new),
        connection,
        event,
    }
}

/// The grant that a sign-in goes to.
struct Place<'a> {
    id: GrantId,
    lineage: Lineage,
    generation: Generation,
    /// The grant that is joined: nothing of it is changed.
    joined: Option<&'a GrantRecord>,
    /// The grant as it was, whose refresh token goes on: the sign-in brought none.
    kept: Option<&'a GrantRecord>,
}

impl<'a> Place<'a> {
    fn of(new: &SignedIn, kept: &'a Adoptable) -> Self {
        let (record, joins) = match &kept.held {
            Some(held) => (Some(held), !revives(&held.grant, new)),
            None => (own(new, kept), false),
        };
        let goes_on = record.filter(|record| !joins && new.kept_refresh(&record.grant).is_some());
        let Some(GrantRecord { grant, .. }) = record else {
            // No number of a connection is given out twice, whatever grant it lives on.
            let reached = kept.own.as_ref().map(|own| &own.grant);
            let lineage = reached.map_or(Lineage(0), |grant| grant.lineage);
            let generation = reached.map_or(Generation(0), |grant| grant.generation);
            return Self {
                id: new.new_grant.clone(),
                lineage: lineage.max(new.after).next(),
                generation: generation.next(),
                joined: None,
                kept: None,
            };
        };
        let stays = joins || goes_on.is_some_and(|record| record.grant.claim.is_some());
        let (lineage, generation) = if stays {
            (grant.lineage, grant.generation)
        } else {
            let lineage = grant.lineage.max(new.after).next();
            (lineage, grant.generation.next())
        };
        Self {
            id: grant.id.clone(),
            lineage,
            generation,
            joined: record.filter(|_| joins),
            kept: goes_on,
        }
    }

    fn grant(&self, new: &SignedIn) -> AdoptedGrant {
        if let Some(joined) = self.joined {
            return join(joined, new);
        }
        if let Some(held) = self.kept.filter(|held| held.grant.claim.is_some()) {
            let access = self.access(new);
            let grant = Grant {
                access,
                ..held.grant.clone()
            };
            return AdoptedGrant::AccessReplaced(Box::new(GrantRecord {
                grant,
                ..held.clone()
            }));
        }
        AdoptedGrant::Put {
            record: Box::new(GrantRecord::new(self.new_grant(new))),
            keeps_first: self.kept.is_some(),
        }
    }

    fn access(&self, new: &SignedIn) -> Option<AccessToken> {
        let resource = new.connection.resource.clone();
        new.obtained.access(self.lineage, self.generation, resource)
    }

    fn new_grant(&self, new: &SignedIn) -> Grant {
        let held = self.kept.map(|record| &record.grant);
        let old = held.and_then(|held| new.kept_refresh(held));
        Grant {
            id: self.id.clone(),
            issuer: new.connection.issuer.clone(),
            client_id: new.connection.client_id.clone(),
            grant_type: new.grant_type,
            lineage: self.lineage,
            generation: self.generation,
            lifecycle: new.lifecycle.clone(),
            claim: None,
            refresh: new.obtained.refresh().or(old).cloned(),
            access: self.access(new),
            standby: None,
            rotate_by: new.rotate_by,
            probed: None,
            subject_binding: new.subject_binding(held),
            grant_material: new.grant_material.clone(),
        }
    }
}

/// The connection's own grant, unless that belongs to another client, is a tombstone, or others live on it whose token
/// would be another one.
fn own<'a>(new: &SignedIn, kept: &'a Adoptable) -> Option<&'a GrantRecord> {
    let wanted = &new.connection;
    let own = kept.own.as_ref()?;
    let same_client =
        (&own.grant.issuer, &own.grant.client_id) == (&wanted.issuer, &wanted.client_id);
    let mut neighbours = kept.neighbours.iter();
    let shared = neighbours.all(|other| may_share(other, wanted));
    (same_client && shared && !own.grant.is_revoked()).then_some(own)
}

fn join(joined: &GrantRecord, new: &SignedIn) -> AdoptedGrant {
    let confirm = GrantChange::ConfirmSoleCopy(new.at);
    let confirmed = confirm
        .applied_to(joined)
        .filter(|_| new.lifecycle == GrantLifecycle::Active);
    AdoptedGrant::Joined {
        confirmed: confirmed.is_some(),
        grant: Box::new(confirmed.unwrap_or_else(|| joined.clone()).grant),
    }
}

/// A person has signed in, and the token that came is one that had been refused: it lives.
fn revives(grant: &Grant, new: &SignedIn) -> bool {
    matches!(
        grant.lifecycle,
        GrantLifecycle::ReauthorizationRequired { .. }
    ) && new.lifecycle == GrantLifecycle::Active
        && matches!(new.obtained, Obtained::Tokens(_))
}
