//! The refresh transaction against a strict server, over the real store, with real tasks.

mod answers;
mod bound;
mod bounds;
mod checked;
mod crash;
mod disconnects;
mod evidence;
mod flights;
mod forgotten;
mod herd;
mod kinds;
mod leftovers;
mod live;
mod moved;
mod moved_endpoint;
mod noticing;
mod notify;
mod outcomes;
mod parts;
mod provider_state;
mod quotes;
mod scopes;
mod seal_key;
mod second_chances;
mod server;
mod skew;
mod timing;
mod vouched;
mod vouching;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tempfile::TempDir;

use self::server::{Server, Way, Wire};
use super::{Context, RefreshRules};
use crate::refresh::journal::Journal;
use crate::{
    error::TokenError,
    http::Transport,
    model::{
        ClientAuthMethod, ClientId, ClientRegistration, Connection, ConnectionName, Generation,
        Grant, GrantId, GrantLifecycle, GrantMaterial, GrantType, Issuer, LifetimeSource, Lineage,
        Moment, Presentation, PrincipalId, Provider, Record, RefreshToken, RegistrationSource,
        Resource, Scope, ServerMetadata, TokenSet,
    },
    platform::{
        clock::{Clock, Seams, SystemClock, SystemRandom},
        files::Folder,
    },
    runtime::{ConnectionStatus, IssuedToken, Runtime, TokenRequest},
    store::{Obtained, SignedIn},
};

const ISSUER: &str = "https://as.example";

/// The real clock, moved forward by hand: sleeps are real and short.
#[derive(Debug)]
pub(super) struct Ahead {
    real: SystemClock,
    by: Mutex<Duration>,
    /// By how much the wall clock alone was stepped.
    wall: Mutex<Duration>,
    /// While there is one, time stands still.
    stopped: Mutex<Option<Moment>>,
}

impl Ahead {
    fn advance(&self, by: Duration) {
        *self.by.lock().unwrap() += by;
    }

    /// Stops time for as long as what is returned lives: a slow machine changes nothing then.
    fn stop(&self) -> impl Drop + '_ {
        struct Stopped<'a>(&'a Ahead);
        impl Drop for Stopped<'_> {
            fn drop(&mut self) {
                *self.0.stopped.lock().unwrap() = None;
            }
        }
        *self.stopped.lock().unwrap() = Some(self.now());
        Stopped(self)
    }

    /// Steps the wall clock alone.
    fn step_wall(&self, by: Duration) {
        *self.wall.lock().unwrap() += by;
    }
}

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> Moment {
        if let Some(stopped) = &*self.stopped.lock().unwrap() {
            return *stopped;
        }
        let mut now = self.real.now();
        let by = *self.by.lock().unwrap();
        let wall = by + *self.wall.lock().unwrap();
        now.wall = now.wall.saturating_add(wall).unwrap();
        now.boot.since += by;
        now
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration.min(Duration::from_millis(20))).await;
    }

    fn ticks(&self) -> u64 {
        u64::try_from(self.now().boot.since.as_nanos()).unwrap()
    }
}

/// One machine: a folder, a clock, a server somewhere.
struct Bench {
    folder: TempDir,
    clock: Arc<Ahead>,
    server: Arc<Server>,
    rules: RefreshRules,
}

fn name() -> ConnectionName {
    ConnectionName::parse("c").unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Bench {
    /// A machine with one connection whose access token lives an hour.
    async fn new() -> (Self, Runtime) {
        let clock = Ahead {
            real: SystemClock::new(),
            by: Mutex::default(),
            wall: Mutex::default(),
            stopped: Mutex::default(),
        };
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(clock),
            server: Server::new(3600),
            // A busy machine takes its time between the claim and the request: no test but one is about that.
            rules: RefreshRules {
                send_deadline: secs(60),
                ..RefreshRules::default()
            },
        };
        let runtime = bench.process();
        bench.sign_in(&runtime).await;
        (bench, runtime)
    }

    fn seams(&self) -> Seams {
        Seams {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
        }
    }

    /// One more process on this machine.
    fn process(&self) -> Runtime {
        Runtime::over(self.context())
    }

    /// What one more process stands on.
    fn context(&self) -> Context {
        self.context_over(Arc::new(Wire(Arc::clone(&self.server))))
    }

    /// One more, whose connections are slow to come about.
    fn slow_process(&self) -> (Runtime, Way) {
        let (transport, way) = server::slow(&self.server);
        (Runtime::over(self.context_over(transport)), way)
    }

    fn context_over(&self, transport: Arc<dyn Transport>) -> Context {
        Runtime::builder(self.folder.path())
            .rules(self.rules.clone())
            .clock(Arc::clone(&self.clock) as Arc<dyn Clock>)
            .transport(transport)
            .context()
            .unwrap()
    }

    fn journal_folder(&self) -> PathBuf {
        self.folder.path().join("spill")
    }

    fn folder_of_journals(&self) -> Folder {
        Folder::on_disk(self.journal_folder())
    }

    /// The names of what lies in the spill folder.
    fn journals(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.journal_folder()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    async fn sign_in(&self, runtime: &Runtime) -> Grant {
        let refresh = self.server.sign_in();
        let signed_in = signed_in(&refresh, self.clock.now(), secs(3600));
        runtime
            .context
            .store
            .adopt_sign_in(signed_in)
            .await
            .unwrap()
    }
}

fn signed_in(refresh: &str, issued: Moment, lifetime: Duration) -> SignedIn {
    let metadata = serde_json::json!({
        "issuer": ISSUER,
        "token_endpoint": "https://as.example/token",
        "revocation_endpoint": "https://as.example/revoke",
        "introspection_endpoint": "https://as.example/introspect",
    });
    let metadata: ServerMetadata = serde_json::from_value(metadata).unwrap();
    let refresh_token = RefreshToken {
        secret: refresh.to_owned().into(),
        expires_at: None,
    };
    SignedIn {
        connection: Connection {
            name: name(),
            principal: PrincipalId::local_user(),
            url: "https://mcp.example/mcp".to_owned(),
            resource: Some(Resource::new("https://mcp.example/mcp")),
            issuer: Issuer::new(ISSUER),
            issuer_given: false,
            internal: true,
            client_id: ClientId::new("client"),
            scope: None,
            provider: None,
            presentation: Presentation::default(),
            check_url: None,
            grant: None,
            created: issued.wall,
        },
        client: Some((
            Provider {
                issuer: Issuer::new(ISSUER),
                metadata,
            },
            ClientRegistration::new(
                Issuer::new(ISSUER),
                ClientId::new("client"),
                RegistrationSource::Given,
            ),
        )),
        grant_type: GrantType::AuthorizationCode,
        lifecycle: GrantLifecycle::Active,
        grant_material: GrantMaterial::default(),
        rotate_by: None,
        at: issued.wall,
        obtained: Obtained::Tokens(TokenSet {
            access_token: "access-0".to_owned().into(),
            refresh_token: Some(refresh_token),
            scope: Some(Scope::new("read write")),
            issued,
            lifetime,
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        }),
        after: Lineage(0),
        new_grant: GrantId::new(format!("grant-{refresh}")),
    }
}

async fn ask(runtime: &Runtime) -> Result<Arc<IssuedToken>, TokenError> {
    runtime.access_token(&TokenRequest::new(name())).await
}

/// As a caller does whose call got a 401 with this generation.
async fn after_401(runtime: &Runtime, generation: u64) -> Result<Arc<IssuedToken>, TokenError> {
    let request = TokenRequest::new(name()).after_401(Some(Generation(generation)));
    runtime.access_token(&request).await
}

async fn status(runtime: &Runtime) -> ConnectionStatus {
    runtime.status(&name()).await.unwrap()
}

async fn grant(runtime: &Runtime) -> Grant {
    let id = status(runtime).await.connection.grant.unwrap();
    runtime.context.store.grant(&id).await.unwrap().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test compares what is stored with what the server knows"
)]
fn refresh_of(grant: &Grant) -> Option<String> {
    grant
        .refresh
        .as_ref()
        .map(|token| token.secret.expose().clone())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test compares what is handed out with what was issued"
)]
fn text(token: &IssuedToken) -> String {
    token.secret.expose().clone()
}

/// The store holds exactly the refresh token that is good at the server.
async fn assert_in_step(bench: &Bench, runtime: &Runtime) {
    assert!(runtime.drain(secs(20)).await);
    let stored = grant(runtime).await;
    assert_eq!(
        refresh_of(&stored),
        bench.server.good(),
        "the newest token is the stored one"
    );
    assert!(bench.server.good().is_some(), "the grant lives");
    assert_eq!(bench.server.reuses(), 0);
}

/// Waits until something is so; a test's own timeout says when it never is.
async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

async fn open_journal(bench: &Bench, runtime: &Runtime, attempt: &str) -> Option<Journal> {
    let grant = grant(runtime).await.id;
    Journal::open(
        &bench.folder_of_journals(),
        &grant,
        &crate::model::AttemptId::new(attempt),
    )
}
