//! The store alone: claims and commits.

use std::{sync::Arc, time::Duration};

use authkeeper::{
    model::{
        AttemptId, Claim, ClaimPhase, ClientId, ClientRegistration, Connection, Generation, Grant,
        GrantId, GrantLifecycle, GrantMaterial, GrantType, Issuer, LifetimeSource, Lineage, Moment,
        OwnerId, Presentation, PrincipalId, Provider, RefreshToken, RegistrationSource,
        ServerMetadata, SubjectBinding, TokenSet,
    },
    platform::clock::Seams,
    store::{
        Committed, Connections as _, Grants as _, Obtained, Refreshed, SignedIn, Spend,
        sqlite::SqliteStore,
    },
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{machine::name, report::Watch};

/// A store with some grants.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<SqliteStore>,
    grants: Vec<GrantId>,
    seams: Seams,
    _folder: Arc<TempDir>,
}

impl Ledger {
    /// A store with so many grants.
    ///
    /// # Panics
    ///
    /// When there is no room for it.
    pub async fn new(grants: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let seams = Seams::system();
        let (file, key) = (folder.path().join("store.db"), folder.path().join("key"));
        let store = SqliteStore::open(&file, &key, &seams).expect("a new store");
        let mut ids = vec![];
        for number in 0..grants {
            let signed_in = signed_in(number, seams.clock.now());
            ids.push(store.adopt_sign_in(signed_in).await.expect("room").id);
        }
        Self {
            store: Arc::new(store),
            grants: ids,
            seams,
            _folder: Arc::new(folder),
        }
    }

    /// Refreshes every grant so many times, all at once; how long that took.
    ///
    /// # Panics
    ///
    /// When a commit does not hold.
    pub async fn rounds(&self, times: u64) -> Duration {
        let mut all = JoinSet::new();
        let watch = Watch::start();
        for grant in &self.grants {
            let (ledger, id) = (self.clone(), grant.clone());
            all.spawn(async move {
                let grant = ledger.store.grant(&id).await.expect("it is read");
                let mut grant = grant.expect("it is there");
                for _ in 0..times {
                    ledger.refresh(&mut grant).await;
                }
            });
        }
        while let Some(done) = all.join_next().await {
            done.expect("no panic");
        }
        watch.elapsed()
    }

    async fn refresh(&self, grant: &mut Grant) {
        let now = self.seams.clock.now();
        let spend = Spend {
            grant: grant.id.clone(),
            lineage: grant.lineage,
            generation: grant.generation,
        };
        let claim = Claim {
            attempt: AttemptId::new(self.seams.random_id()),
            number: 1,
            owner: OwnerId::new("bench"),
            since: now,
            phase: ClaimPhase::Spending,
        };
        assert!(self.store.claim(&spend, &claim).await.expect("room"));
        let next = grant.generation.next();
        let refreshed = Refreshed {
            access: tokens(next, now).access(grant.lineage, next, None),
            refresh: tokens(next, now).refresh_token,
            subject_binding: SubjectBinding::default(),
            hold: None,
            spend,
        };
        let committed = self.store.commit_refresh(refreshed).await.expect("room");
        assert_eq!(committed, Committed::Yes);
        grant.generation = next;
    }
}

fn tokens(generation: Generation, issued: Moment) -> TokenSet {
    TokenSet {
        access_token: format!("access-{generation}").into(),
        refresh_token: Some(RefreshToken {
            secret: format!("refresh-{generation}").into(),
            expires_at: None,
        }),
        scope: None,
        issued,
        lifetime: Duration::from_hours(1),
        lifetime_source: LifetimeSource::ExpiresIn,
        refresh_in: None,
        subject_binding: Box::default(),
    }
}

fn signed_in(number: u64, at: Moment) -> SignedIn {
    let issuer = Issuer::new("https://as.example");
    let client_id = ClientId::new("client");
    let metadata = ServerMetadata {
        issuer: issuer.as_str().to_owned(),
        ..ServerMetadata::default()
    };
    SignedIn {
        connection: Connection {
            name: name(&format!("c{number}")),
            principal: PrincipalId::local_user(),
            url: "https://api.example/".to_owned(),
            resource: None,
            issuer: issuer.clone(),
            issuer_given: false,
            internal: true,
            client_id: client_id.clone(),
            scope: None,
            provider: None,
            presentation: Presentation::default(),
            check_url: None,
            grant: None,
            created: at.wall,
        },
        client: Some((
            Provider {
                issuer: issuer.clone(),
                metadata,
            },
            ClientRegistration::new(issuer, client_id, RegistrationSource::Given),
        )),
        grant_type: GrantType::AuthorizationCode,
        lifecycle: GrantLifecycle::Active,
        grant_material: GrantMaterial::default(),
        rotate_by: None,
        at: at.wall,
        obtained: Obtained::Tokens(tokens(Generation(1), at)),
        after: Lineage(0),
        new_grant: GrantId::new(format!("grant-{number}")),
    }
}
