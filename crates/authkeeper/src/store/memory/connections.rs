//! Connections, and what signing in and disconnecting do to them.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{GrantRow, MemoryStore, StoreRows, StoreWrite};
use crate::{
    model::{
        ClientId, Connection, ConnectionName, FailingOf, Grant, GrantChange, GrantId, Issuer,
        StepUps,
    },
    secret::SecretString,
    store::{
        Connections, PendingSignIn, Remembered, Result, SignedIn,
        adoption::{self, Adoptable, AdoptedGrant},
    },
};

#[async_trait]
impl Connections for MemoryStore {
    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>> {
        self.read(|rows| rows.connections.get(name).cloned())
    }

    async fn connections(&self) -> Result<Vec<Connection>> {
        self.read(|rows| rows.connections.values().cloned().collect())
    }

    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>> {
        self.read(|rows| rows.holders((issuer, client), refresh))
    }

    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant> {
        let adopt = |rows: &mut StoreRows| (rows.adopt(&signed_in), true);
        self.write(StoreWrite::SignIn, adopt).await
    }

    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>> {
        let disconnect = |rows: &mut StoreRows| {
            let grant = rows.disconnect(name, at);
            let done = grant.is_some();
            (grant, done)
        };
        self.write(StoreWrite::Disconnect, disconnect).await
    }

    async fn forget(&self, name: &ConnectionName) -> Result<()> {
        let forget = |rows: &mut StoreRows| (rows.forget(name), true);
        self.write(StoreWrite::Forget, forget).await
    }

    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.keep_pending(pending, at)).await
    }

    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>> {
        self.read(|rows| rows.pending.get(name).cloned())
    }

    async fn drop_pending(&self, name: &ConnectionName) -> Result<()> {
        self.note(|rows| drop(rows.pending.remove(name))).await
    }
}

impl StoreRows {
    /// As [`Connections::adopt_sign_in`].
    pub fn adopt(&mut self, new: &SignedIn) -> Grant {
        let name = &new.connection.name;
        let adoption = adoption::adopt(new, &self.adoptable(new));
        if let Some((provider, client)) = &new.client {
            self.put_signed_in_client(provider, client);
        }
        self.pending.remove(name);
        self.step_ups_signed_in(name);
        if let Some(replaced) = &adoption.replaced {
            self.change(replaced, &GrantChange::Revoke(new.at));
            self.wipe(replaced);
        }
        self.connections.insert(name.clone(), adoption.connection);
        self.end_incidents_of_all(name, new.at);
        self.tell(new.at, adoption.event);
        match adoption.grant {
            AdoptedGrant::Joined { grant, confirmed } => {
                if confirmed {
                    self.change(&grant.id, &GrantChange::ConfirmSoleCopy(new.at));
                }
                *grant
            }
            AdoptedGrant::AccessReplaced(record) => {
                let grant = record.grant.clone();
                if let Some(row) = self.grants.get_mut(&grant.id) {
                    row.record = *record;
                }
                grant
            }
            AdoptedGrant::Put {
                record,
                keeps_first,
            } => {
                let grant = record.grant.clone();
                let brought = grant.refresh.as_ref().map(|token| token.secret.clone());
                let known = self.grants.get(&grant.id).filter(|_| keeps_first);
                let first = known.and_then(|row| row.first.clone()).or(brought);
                let record = *record;
                self.grants
                    .insert(grant.id.clone(), GrantRow { record, first });
                grant
            }
        }
    }

    fn adoptable(&self, new: &SignedIn) -> Adoptable {
        let wanted = &new.connection;
        let connection = self.connections.get(&wanted.name);
        let grant = connection.and_then(|known| known.grant.as_ref());
        let record = |id: &GrantId| self.grants.get(id).map(|row| row.record.clone());
        let neighbours = grant.into_iter().flat_map(|id| self.on_grant(id));
        let neighbours = neighbours.filter(|other| other.name != wanted.name);
        let brought = new.obtained.refresh();
        let of = (&wanted.issuer, &wanted.client_id);
        let holders = brought.map(|token| self.holders(of, &token.secret));
        let joined = adoption::joinable(new, holders.as_deref().unwrap_or_default());
        Adoptable {
            connection: connection.cloned(),
            own: grant.and_then(record),
            neighbours: neighbours.cloned().collect(),
            held: joined.and_then(record),
        }
    }

    /// Keeps a sign-in that a person is at. Those that have ended go.
    pub fn keep_pending(&mut self, pending: &PendingSignIn, at: Timestamp) {
        self.pending.retain(|_, kept| kept.ends > at);
        self.pending.insert(pending.name.clone(), pending.clone());
    }

    /// The connections over whose grants a refresh token is held, or which it began.
    pub fn holders(
        &self,
        (issuer, client): (&Issuer, &ClientId),
        refresh: &SecretString,
    ) -> Vec<Connection> {
        let holds = |connection: &&Connection| {
            let row = connection.grant.as_ref().and_then(|id| self.grants.get(id));
            row.is_some_and(|row| {
                let grant = &row.record.grant;
                let current = grant.refresh.as_ref().map(|token| &token.secret);
                let mut known = current.into_iter().chain(row.first.as_ref());
                known.any(|secret| is_same(secret, refresh))
                    && (&grant.issuer, &grant.client_id) == (issuer, client)
                    && !grant.is_revoked()
            })
        };
        self.connections.values().filter(holds).cloned().collect()
    }

    fn step_ups_signed_in(&mut self, name: &ConnectionName) {
        if let Some(text) = self.remembered.get_mut(&Remembered::StepUps(name.clone())) {
            let kept: StepUps = serde_json::from_str(text).unwrap_or_default();
            *text = serde_json::to_string(&kept.signed_in()).unwrap_or_default();
        }
    }

    /// As [`Connections::disconnect`].
    pub fn disconnect(&mut self, name: &ConnectionName, at: Timestamp) -> Option<Grant> {
        let id = self.connections.get(name)?.grant.clone()?;
        let event = serde_json::json!({"event": "disconnected", "connection": name.as_str()});
        self.tell(at, event);
        self.end_incidents(name, at);
        self.pending.remove(name);
        self.remembered.remove(&Remembered::StepUps(name.clone()));
        self.remembered
            .remove(&Remembered::Validation(name.clone()));
        if self.on_grant(&id).any(|other| other.name != *name) {
            self.connections.remove(name);
            return None;
        }
        let revoked = self.change(&id, &GrantChange::Revoke(at));
        revoked.record.map(|record| record.grant)
    }

    /// As [`Connections::forget`].
    pub fn forget(&mut self, name: &ConnectionName) {
        let Some(connection) = self.connections.get(name) else {
            return;
        };
        if let Some(id) = connection.grant.clone()
            && let Some(row) = self.grants.get(&id)
        {
            // A sign-in may have come meanwhile: what it brought is not forgotten.
            if !row.record.grant.is_revoked() {
                return;
            }
            self.wipe(&id);
            self.remembered
                .remove(&Remembered::Failing(FailingOf::Grant(id)));
        }
        self.connections.remove(name);
    }

    fn wipe(&mut self, id: &GrantId) {
        self.change(id, &GrantChange::Wipe);
        if let Some(row) = self.grants.get_mut(id) {
            row.first = None;
        }
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
    let same = one.expose() == other.expose();
    same
}
