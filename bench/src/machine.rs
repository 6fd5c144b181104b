//! A folder with a store in it, a clock that can be moved, and connections.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    error::TokenError,
    http::HttpUrl,
    model::{ClientId, ConnectionName, LifetimeSource, Moment, TokenSet},
    oauth::register::GivenClient,
    platform::clock::{Clock, SystemClock},
    runtime::{IssuedToken, LiveToken, Runtime, TokenRequest},
    signin::{ConnectRequest, ImportRequest},
};
use tempfile::TempDir;

use crate::{
    provider::{Provider, Wire},
    report::Watch,
};

/// How long an access token lives.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// The system's clock, moved forward by hand.
#[derive(Debug)]
pub struct Ahead {
    real: SystemClock,
    by: Mutex<Duration>,
    ticks_by: AtomicU64,
    /// Where the ticks stand still; zero while they go on.
    stopped_at: AtomicU64,
}

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> Moment {
        let by = *self.by.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = self.real.now();
        now.wall = now.wall.saturating_add(by).unwrap_or(now.wall);
        now.boot.since += by;
        now
    }

    async fn sleep(&self, duration: Duration) {
        self.real.sleep(duration).await;
    }

    fn ticks(&self) -> u64 {
        match self.stopped_at.load(Ordering::Relaxed) {
            0 => self.real.ticks() + self.ticks_by.load(Ordering::Relaxed),
            ticks => ticks,
        }
    }
}

/// One machine with a runtime.
#[derive(Debug)]
pub struct Machine {
    /// The runtime.
    pub runtime: Runtime,
    /// What it refreshes at.
    pub provider: Arc<Provider>,
    clock: Arc<Ahead>,
    folder: TempDir,
}

impl Machine {
    /// A machine with nothing connected, whose provider takes this long.
    ///
    /// # Panics
    ///
    /// When there is no room for a store.
    pub fn new(round_trip: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let provider = Provider::new(round_trip);
        let clock = Arc::new(Ahead {
            real: SystemClock::new(),
            by: Mutex::default(),
            ticks_by: AtomicU64::new(0),
            stopped_at: AtomicU64::new(0),
        });
        let runtime = Runtime::builder(folder.path())
            .clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .transport(Arc::new(Wire(Arc::clone(&provider))))
            .open()
            .expect("a new store");
        Self {
            runtime,
            provider,
            clock,
            folder,
        }
    }

    /// The same with one connection, `c`, whose token is fresh.
    pub async fn connected(round_trip: Duration) -> Self {
        let machine = Self::new(round_trip);
        Box::pin(machine.connect("c")).await;
        machine
    }

    /// Connects, as a person does who brings tokens along.
    ///
    /// # Panics
    ///
    /// When the store refuses it.
    pub async fn connect(&self, connection: &str) {
        let url = HttpUrl::parse("https://api.example/").expect("a URL");
        let mut connect = ConnectRequest::new(name(connection), url);
        connect.client = GivenClient {
            client_id: Some(ClientId::new("client")),
            ..GivenClient::default()
        };
        let refresh = format!("refresh-of-{connection}").into();
        let mut import = ImportRequest::new(connect, refresh);
        import.token_url = Some("https://as.example/token".to_owned());
        import.sole_copy = true;
        import.tokens = Some(TokenSet {
            access_token: "x".repeat(ACCESS_TOKEN).into(),
            refresh_token: None,
            scope: None,
            issued: self.clock.now(),
            lifetime: LIFETIME,
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        });
        self.runtime.import(import).await.expect("it is new");
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        *self.clock.by.lock().unwrap_or_else(PoisonError::into_inner) += by;
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.clock.ticks_by.fetch_add(by, Ordering::Relaxed);
    }

    /// Stops the ticks: however slow this machine is, no look at the store is due. It is looked at just before.
    ///
    /// # Panics
    ///
    /// When there is no token.
    pub async fn stop(&self, connection: &str) {
        self.advance(Duration::from_millis(60));
        self.ask(connection).await.expect("it is good");
        let ticks = self.clock.ticks();
        self.clock.stopped_at.store(ticks, Ordering::Relaxed);
    }

    /// Writes to the store what has nothing to do with the token.
    ///
    /// # Panics
    ///
    /// When there is no room.
    pub async fn write_something(&self, number: u32) {
        let run = self.runtime.begin_task(&format!("process {number}")).await;
        run.expect("room");
    }

    /// One caller's own handle of a connection's token.
    ///
    /// # Panics
    ///
    /// When there is no token.
    pub async fn live(&self, connection: &str) -> LiveToken {
        let token = self.runtime.live_token(&name(connection)).await;
        token.expect("it is good")
    }

    /// Asks for a connection's token.
    pub async fn ask(&self, connection: &str) -> Result<Arc<IssuedToken>, TokenError> {
        let request = TokenRequest::new(name(connection));
        self.runtime.access_token(&request).await
    }

    /// How many bytes the store and what lies beside it take.
    pub fn bytes_on_disk(&self) -> u64 {
        let entries = std::fs::read_dir(self.folder.path()).into_iter().flatten();
        let files = entries.flatten().filter_map(|entry| entry.metadata().ok());
        files
            .filter(std::fs::Metadata::is_file)
            .map(|file| file.len())
            .sum()
    }
}

/// How long the text of an access token is here.
pub const ACCESS_TOKEN: usize = 64;

/// A connection's name.
///
/// # Panics
///
/// When it is none.
pub fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).expect("a name")
}

/// Lets this many callers ask for the same token at once; how long each waited, the longest last.
///
/// # Panics
///
/// When one of them gets no token.
pub async fn herd(machine: &Arc<Machine>, callers: usize) -> Vec<Duration> {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let machine = Arc::clone(machine);
        all.spawn(async move {
            let watch = Watch::start();
            let token = machine.ask("c").await;
            token.map(|_token| watch.elapsed())
        });
    }
    let mut waits = Vec::with_capacity(callers);
    while let Some(waited) = all.join_next().await {
        waits.push(waited.expect("no panic").expect("a token"));
    }
    waits.sort_unstable();
    waits
}
