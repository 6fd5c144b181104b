//! What a sign-in writes, in one step.

use authkeeper::{
    http::HttpUrl,
    model::{
        ClientId, Connection, ConnectionName, Generation, Grant, GrantId, GrantLifecycle,
        GrantMaterial, Issuer, Lineage,
    },
    secret::SecretString,
    store::{Obtained, SignedIn},
};
use jiff::Timestamp;

use super::rows::{GrantRow, StoreRows};

/// The grant that a sign-in goes to.
struct Place {
    id: GrantId,
    lineage: Lineage,
    generation: Generation,
    /// Another connection holds the very token that was brought: nothing of the grant is changed.
    joins: bool,
    /// The grant as it was, whose refresh token goes on: the sign-in brought none.
    kept: Option<Grant>,
}

impl StoreRows {
    pub fn adopt(&mut self, new: SignedIn) -> Grant {
        let name = new.connection.name.clone();
        let place = self.place_for(&new);
        self.put_signed_in_client(&new);
        self.pending.remove(&name);
        if let Some(step_ups) = self.step_ups.remove(&name) {
            self.step_ups.insert(name.clone(), step_ups.signed_in());
        }
        self.retire_replaced(&name, &place.id, new.at);
        self.put_connection(&new.connection, &place.id);
        let mut event = serde_json::json!({
            "event": "signed_in", "connection": name.as_str(), "grant_type": new.grant_type.as_str(),
            "principal": new.connection.principal.as_str(), "lineage": place.lineage.0,
        });
        if place.kept.is_some() {
            event["refresh_token"] = "kept".into();
        }
        let at = new.at;
        let id = place.id.clone();
        if place.joins && new.lifecycle == GrantLifecycle::Active {
            self.confirm_sole_copy(&id, at);
        }
        self.end_incidents_of_all(&name, at);
        self.tell(at, event);
        let joined = self.grants.get(&id).filter(|_| place.joins);
        if let Some(joined) = joined {
            return joined.grant.clone();
        }
        if place.kept.as_ref().is_some_and(|held| held.claim.is_some()) {
            return self.put_access_of(&new, &place);
        }
        let first = self.grants.get(&id).and_then(|row| row.first.clone());
        let first = first.filter(|_| place.kept.is_some());
        let grant = signed_in_grant(new, place);
        let row = GrantRow::new(grant.clone());
        let first = first.or_else(|| row.first.clone());
        self.grants.insert(id, GrantRow { first, ..row });
        grant
    }

    /// The refresh token may be on its way: all stays as it is but the access token.
    fn put_access_of(&mut self, new: &SignedIn, place: &Place) -> Grant {
        let resource = new.connection.resource.clone();
        let access = new
            .obtained
            .access(place.lineage, place.generation, resource);
        let row = self.grants.get_mut(&place.id).expect("the grant is there");
        row.grant.access = access;
        row.grant.clone()
    }

    /// The connections over whose grants a refresh token is held, or which it began.
    pub(super) fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Vec<Connection> {
        let holds = |connection: &&Connection| {
            let row = connection.grant.as_ref().and_then(|id| self.grants.get(id));
            row.is_some_and(|row| {
                let grant = &row.grant;
                let current = grant.refresh.as_ref().map(|token| &token.secret);
                let same = |secret: &SecretString| is_same(secret, refresh);
                (current.is_some_and(same) || row.first.as_ref().is_some_and(same))
                    && grant.issuer == *issuer
                    && grant.client_id == *client
                    && !is_revoked(grant)
            })
        };
        self.connections.values().filter(holds).cloned().collect()
    }

    /// The connections that live on a grant.
    pub(super) fn on_grant<'a>(
        &'a self,
        id: &'a GrantId,
    ) -> impl Iterator<Item = &'a Connection> + 'a {
        let all = self.connections.values();
        all.filter(move |connection| connection.grant.as_ref() == Some(id))
    }

    fn place_for(&self, new: &SignedIn) -> Place {
        let wanted = &new.connection;
        let known = self.connections.get(&wanted.name);
        let id = known.and_then(|connection| connection.grant.as_ref());
        let known = id.and_then(|id| Some(&self.grants.get(id)?.grant));
        // No number of a connection is given out twice, whatever grant it lives on.
        let reached = known.map_or((Lineage(0), Generation(0)), |grant| {
            (grant.lineage, grant.generation)
        });
        let own = known.filter(|grant| {
            grant.issuer == wanted.issuer
                && grant.client_id == wanted.client_id
                && !is_revoked(grant)
                && self
                    .on_grant(&grant.id)
                    .all(|other| other.name == wanted.name || may_share(other, wanted))
        });
        let held = self.grant_to_join(new);
        let (grant, joins) = match held {
            Some(grant) => (Some(grant), !revives(grant, new)),
            None => (own, false),
        };
        let kept = grant.filter(|grant| !joins && new.kept_refresh(grant).is_some());
        let spending = kept.is_some_and(|grant| grant.claim.is_some());
        match grant {
            Some(grant) if joins || spending => Place {
                id: grant.id.clone(),
                lineage: grant.lineage,
                generation: grant.generation,
                joins,
                kept: kept.cloned(),
            },
            Some(grant) => Place {
                id: grant.id.clone(),
                lineage: grant.lineage.max(new.after).next(),
                generation: grant.generation.next(),
                joins,
                kept: kept.cloned(),
            },
            None => Place {
                id: new.new_grant.clone(),
                lineage: reached.0.max(new.after).next(),
                generation: reached.1.next(),
                joins,
                kept: None,
            },
        }
    }

    /// The grant of another connection that holds the very token that was brought.
    fn grant_to_join(&self, new: &SignedIn) -> Option<&Grant> {
        let wanted = &new.connection;
        let refresh = &new.obtained.refresh()?.secret;
        let imported = matches!(new.obtained, Obtained::RefreshToken(_));
        let holders = self.holders(&wanted.issuer, &wanted.client_id, refresh);
        let mut others = holders
            .into_iter()
            .filter(|holder| imported || holder.name != wanted.name);
        let other = others.find(|holder| may_share(holder, wanted))?;
        Some(&self.grants.get(&other.grant?)?.grant)
    }

    fn put_signed_in_client(&mut self, new: &SignedIn) {
        let Some((provider, client)) = &new.client else {
            return;
        };
        let id = &new.connection.client_id;
        if self.provider(&provider.issuer, id).is_none() {
            self.put_provider(provider, id);
        }
        if self.client(&client.issuer, &client.client_id).is_none() {
            self.put_client(client);
        }
    }

    /// The grant that a sign-in as another client replaces is over, and its secrets go.
    fn retire_replaced(&mut self, name: &ConnectionName, new: &GrantId, at: Timestamp) {
        let known = self.connections.get(name);
        let old = known.and_then(|connection| connection.grant.clone());
        let shared = |old: &GrantId| {
            let mut others = self.connections.values();
            others.any(|other| other.name != *name && other.grant.as_ref() == Some(old))
        };
        let old = old.filter(|old| old != new && !shared(old));
        if let Some(row) = old.and_then(|old| self.grants.get_mut(&old)) {
            row.grant.lifecycle = GrantLifecycle::Revoked { since: at };
            row.grant.refresh = None;
            row.grant.standby = None;
            row.grant.grant_material = GrantMaterial::default();
            row.grant.access = None;
            row.first = None;
        }
    }

    fn put_connection(&mut self, connection: &Connection, grant: &GrantId) {
        let known = self.connections.get(&connection.name);
        let created = known.map_or(connection.created, |known| known.created);
        let put = Connection {
            grant: Some(grant.clone()),
            created,
            ..connection.clone()
        };
        self.connections.insert(connection.name.clone(), put);
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
    let same = one.expose() == other.expose();
    same
}

fn is_revoked(grant: &Grant) -> bool {
    matches!(grant.lifecycle, GrantLifecycle::Revoked { .. })
}

/// A person has signed in, and the token that came is one that had been refused: it lives.
fn revives(grant: &Grant, new: &SignedIn) -> bool {
    matches!(
        grant.lifecycle,
        GrantLifecycle::ReauthorizationRequired { .. }
    ) && new.lifecycle == GrantLifecycle::Active
        && matches!(new.obtained, Obtained::Tokens(_))
}

/// Whether two connections may live on one grant.
fn may_share(one: &Connection, other: &Connection) -> bool {
    let origin = |url: &str| HttpUrl::parse(url).map(|url| url.origin()).ok();
    one.principal == other.principal
        && one.resource == other.resource
        && origin(&one.url).is_some()
        && origin(&one.url) == origin(&other.url)
}

fn signed_in_grant(new: SignedIn, place: Place) -> Grant {
    let (lineage, generation) = (place.lineage, place.generation);
    let resource = new.connection.resource.clone();
    let kept = place.kept.as_ref();
    let old = kept.and_then(|held| new.kept_refresh(held));
    Grant {
        id: place.id,
        lineage,
        generation,
        claim: None,
        refresh: new.obtained.refresh().or(old).cloned(),
        access: new.obtained.access(lineage, generation, resource),
        standby: None,
        rotate_by: new.rotate_by,
        probed: None,
        subject_binding: new.subject_binding(kept),
        issuer: new.connection.issuer,
        client_id: new.connection.client_id,
        grant_type: new.grant_type,
        lifecycle: new.lifecycle,
        grant_material: new.grant_material,
    }
}
