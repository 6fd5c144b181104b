//! API keys: connected as they are, replaced by a person ahead of their day.

use jiff::Timestamp;

use crate::{
    http::Reach,
    model::{
        ClientId, ConnectionName, ENDLESS, Grant, GrantId, GrantLifecycle, GrantMaterial,
        GrantType, Issuer, LifetimeSource, TokenSet,
    },
    runtime::Runtime,
    secret::SecretString,
    signin::{ConnectError, ConnectRequest},
    store::{NewKey, Obtained, SignedIn},
};

/// A new key in the place of the current one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rotation {
    /// The key.
    pub key: SecretString,
    /// When it should be replaced in its turn.
    pub rotate_by: Option<Timestamp>,
    /// Until when the key before it may serve again, should this one be refused.
    pub overlap_until: Timestamp,
}

impl Rotation {
    /// A rotation.
    pub fn new(key: SecretString, rotate_by: Option<Timestamp>, overlap_until: Timestamp) -> Self {
        Self {
            key,
            rotate_by,
            overlap_until,
        }
    }
}

impl Runtime {
    pub(super) async fn connect_key(
        &self,
        request: ConnectRequest,
        key: SecretString,
        rotate_by: Option<Timestamp>,
    ) -> Result<Grant, ConnectError> {
        check_key(&key)?;
        let reach = self.context.transport.reach(&request.url).await;
        // A key has no issuer and no client: the server that takes it stands for the one, nothing for the other.
        let issuer = Issuer::new(request.url.origin());
        let at = self.context.seams.clock.now();
        let mut connection = request.connection((issuer, ClientId::new("")), at.wall);
        connection.internal = reach == Reach::Anywhere;
        let tokens = TokenSet {
            access_token: key,
            refresh_token: None,
            scope: request.scope,
            issued: at,
            lifetime: ENDLESS,
            lifetime_source: LifetimeSource::Endless,
            refresh_in: None,
            subject_binding: Box::default(),
        };
        let after = self.newest_lineage(&connection.name).await?;
        let signed_in = SignedIn {
            connection,
            client: None,
            grant_type: GrantType::ApiKey,
            obtained: Obtained::Tokens(tokens),
            lifecycle: GrantLifecycle::Active,
            grant_material: GrantMaterial {
                requests: request.requests,
                certificate: request.client.certificate,
                ..GrantMaterial::default()
            },
            rotate_by,
            after,
            new_grant: GrantId::new(self.context.seams.random_id()),
            at: at.wall,
        };
        self.adopt_signed_in(signed_in).await
    }

    /// Puts a new API key in the place of the current one, which stays as standby for the overlap.
    pub async fn rotate_key(
        &self,
        name: &ConnectionName,
        rotation: Rotation,
    ) -> Result<Grant, ConnectError> {
        check_key(&rotation.key)?;
        let missing = || ConnectError::NoSuchConnection(name.clone());
        let store = &self.context.store;
        let connection = store.connection(name).await?.ok_or_else(missing)?;
        let id = connection.grant.ok_or_else(missing)?;
        let grant = store.grant(&id).await?.ok_or_else(missing)?;
        if !grant.grant_type.is_key() {
            return Err(ConnectError::NoKey {
                name: name.clone(),
                grant_type: grant.grant_type.as_str(),
            });
        }
        #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
        let same = grant
            .access
            .as_ref()
            .is_some_and(|access| access.secret.expose() == rotation.key.expose());
        if same {
            return Err(ConnectError::SameKey(name.clone()));
        }
        let at = self.context.seams.clock.now();
        let key = NewKey {
            secret: rotation.key,
            at,
            rotate_by: rotation.rotate_by,
            overlap_until: rotation.overlap_until,
        };
        if !store.replace_key(&id, grant.generation, &key).await? {
            return Err(ConnectError::Overtaken(name.clone()));
        }
        store.end_incidents(name, at.wall).await?;
        store.grant(&id).await?.ok_or_else(missing)
    }
}

fn check_key(key: &SecretString) -> Result<(), ConnectError> {
    #[expect(clippy::disallowed_methods, reason = "its characters are looked at")]
    let key = key.expose();
    let good =
        (1..=16 * 1024).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some(()).ok_or(ConnectError::BadKey)
}
