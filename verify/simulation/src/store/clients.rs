//! Our clients, what each was told of its issuer, and API keys.

use authkeeper::model::{
    AccessToken, ClientId, ClientRegistration, ClientSecret, ENDLESS, Generation, Grant, GrantId,
    GrantLifecycle, GrantType, Issuer, LifetimeSource, Moment, Provider, RegistrationSource,
    StandbyKey,
};
use authkeeper::{secret::SecretString, store::NewKey};
use jiff::Timestamp;

use super::rows::StoreRows;

/// How many secrets of one client are kept beside what was refused.
const MOST_SECRETS: usize = 4;

impl StoreRows {
    pub(super) fn provider(&self, issuer: &Issuer, client: &ClientId) -> Option<&Provider> {
        self.providers.get(&(issuer.clone(), client.clone()))
    }

    pub(super) fn put_provider(&mut self, provider: &Provider, client: &ClientId) {
        let key = (provider.issuer.clone(), client.clone());
        self.providers.insert(key, provider.clone());
    }

    pub(super) fn client(&self, issuer: &Issuer, id: &ClientId) -> Option<&ClientRegistration> {
        let mut clients = self.clients.iter();
        clients.find(|client| client.issuer == *issuer && client.client_id == *id)
    }

    pub(super) fn client_mut(
        &mut self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Option<&mut ClientRegistration> {
        let mut clients = self.clients.iter_mut();
        clients.find(|client| client.issuer == *issuer && client.client_id == *id)
    }

    pub(super) fn registered(&self, issuer: &Issuer) -> Vec<ClientRegistration> {
        let newest = self.clients.iter().rev().filter(|client| {
            client.issuer == *issuer
                && client.source == RegistrationSource::Dynamic
                && client.refused.is_none()
        });
        newest.take(16).cloned().collect()
    }

    /// Puts the client as it is now, last; its new secrets go in front of those that are kept.
    pub(super) fn put_client(&mut self, client: &ClientRegistration) {
        let is_it = |known: &ClientRegistration| {
            known.issuer == client.issuer && known.client_id == client.client_id
        };
        let known = self.clients.iter().position(is_it);
        let known = known.map(|at| self.clients.remove(at));
        let refused = known.as_ref().and_then(|known| known.refused);
        let mut kept = known.map(|known| known.secrets).unwrap_or_default();
        let new = client.secrets.iter().filter(|secret| secret.id.is_none());
        // Nothing is known against a new secret.
        let refused = refused.filter(|_| new.clone().next().is_none());
        for secret in new.rev() {
            self.last_secret += 1;
            let id = Some(self.last_secret);
            kept.insert(
                0,
                ClientSecret {
                    id,
                    refused: None,
                    ..secret.clone()
                },
            );
        }
        let mut place = 0;
        kept.retain(|secret| {
            place += 1;
            place <= MOST_SECRETS || secret.refused.is_none()
        });
        self.clients.push(ClientRegistration {
            secrets: kept,
            refused,
            ..client.clone()
        });
    }

    pub(super) fn mark_secret(&mut self, id: u64, refused: Option<Timestamp>) {
        let clients = self.clients.iter_mut();
        let secrets = clients.flat_map(|client| client.secrets.iter_mut());
        for secret in secrets.filter(|secret| secret.id == Some(id)) {
            secret.refused = refused;
        }
    }

    pub(super) fn replace_key(&mut self, id: &GrantId, seen: Generation, key: &NewKey) -> bool {
        let Some(grant) = self.key_at(id, seen) else {
            return false;
        };
        let before = grant.access.take();
        grant.standby = before.as_ref().map(|access| StandbyKey {
            secret: access.secret.clone(),
            generation: seen,
            until: key.overlap_until,
            refused: None,
        });
        grant.rotate_by = key.rotate_by;
        succeed(grant, before.as_ref(), key.secret.clone(), key.at);
        true
    }

    pub(super) fn fall_back(&mut self, id: &GrantId, refused: Generation, at: Moment) -> bool {
        let Some(grant) = self.key_at(id, refused) else {
            return false;
        };
        let standby = grant.standby.clone();
        let standby = standby.filter(|key| key.may_serve(at.wall));
        let (Some(standby), Some(access)) = (standby, grant.access.clone()) else {
            return false;
        };
        succeed(grant, Some(&access), standby.secret, at);
        grant.standby = Some(StandbyKey {
            secret: access.secret,
            generation: refused,
            until: standby.until,
            refused: Some(at.wall),
        });
        true
    }

    fn key_at(&mut self, id: &GrantId, generation: Generation) -> Option<&mut Grant> {
        let grant = &mut self.grants.get_mut(id)?.grant;
        let usable = matches!(
            grant.lifecycle,
            GrantLifecycle::Active | GrantLifecycle::ReauthorizationRequired { .. }
        );
        let is_key = grant.grant_type == GrantType::ApiKey;
        (usable && is_key && grant.generation == generation).then_some(grant)
    }
}

fn succeed(grant: &mut Grant, before: Option<&AccessToken>, secret: SecretString, at: Moment) {
    grant.generation = grant.generation.next();
    grant.lifecycle = GrantLifecycle::Active;
    grant.access = Some(AccessToken {
        secret,
        lineage: grant.lineage,
        generation: grant.generation,
        issued: at,
        lifetime: ENDLESS,
        lifetime_source: LifetimeSource::Endless,
        scope: before.and_then(|access| access.scope.clone()),
        resource: before.and_then(|access| access.resource.clone()),
        after_rejection: false,
        refresh_in: None,
    });
}
