//! A token endpoint in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::http::{
    ConnectError, Exchange, ExchangeError, HttpUrl, Reach, Reply, Request, Transport,
};
use http::{HeaderMap, StatusCode};

/// The endpoint: it answers every refresh with a new token after a fixed time, or is dead.
#[derive(Debug, Default)]
pub struct Provider {
    round_trip: Duration,
    attempts: AtomicU64,
    requests: AtomicU64,
    dead: AtomicBool,
}

impl Provider {
    /// One whose answers take this long.
    pub fn new(round_trip: Duration) -> Arc<Self> {
        Arc::new(Self {
            round_trip,
            ..Self::default()
        })
    }

    /// How many requests came.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// How often somebody tried to reach it.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::SeqCst)
    }

    /// From now on nothing answers.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    fn answer(&self) -> Reply {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let body = format!(
            r#"{{"access_token":"access-{number}","refresh_token":"refresh-{number}","expires_in":3600}}"#
        );
        Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }
}

/// The way to it.
#[derive(Clone, Debug)]
pub struct Wire(pub Arc<Provider>);

struct Line(Arc<Provider>);

#[async_trait]
impl Transport for Wire {
    async fn connect(&self, url: &HttpUrl, _: Reach) -> Result<Box<dyn Exchange>, ConnectError> {
        self.0.attempts.fetch_add(1, Ordering::SeqCst);
        if self.0.dead.load(Ordering::SeqCst) {
            return Err(ConnectError::Unreachable {
                host: url.host().to_owned(),
                detail: "it is dead".to_owned(),
            });
        }
        Ok(Box::new(Line(Arc::clone(&self.0))))
    }

    async fn reach(&self, _: &HttpUrl) -> Reach {
        Reach::Anywhere
    }
}

#[async_trait]
impl Exchange for Line {
    async fn send(self: Box<Self>, _: Request) -> Result<Reply, ExchangeError> {
        tokio::time::sleep(self.0.round_trip).await;
        Ok(self.0.answer())
    }
}
