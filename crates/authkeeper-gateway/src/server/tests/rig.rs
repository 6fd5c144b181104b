//! A server of ours on a free port, and a client that speaks plain HTTP to it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::store::StoreError;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::super::{HealthSource, Limits, McpEndpoint, NamedHealth, RunProxy};
use crate::{
    forward::{
        Forwarder,
        tests::{FakeAuthority, notion},
    },
    lifecycle::{Lifecycle, Scope},
};

pub(super) const HANDLE: &str = "handle-5ecret";

/// How the connections stand.
#[derive(Clone, Default)]
pub(super) struct Stands(pub(super) Arc<Mutex<Vec<NamedHealth>>>);

#[async_trait]
impl HealthSource for Stands {
    async fn healths(&self) -> Result<Vec<NamedHealth>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

pub(super) struct Rig {
    pub(super) port: u16,
    pub(super) serving: Scope,
}

impl Rig {
    pub(super) async fn new(authority: Arc<FakeAuthority>) -> Self {
        let limits = Limits {
            head_time: Duration::from_millis(300),
            ..Limits::default()
        };
        let forwarder = Arc::new(Forwarder::new(authority));
        let (handle, serving) = (HANDLE.to_owned().into(), Lifecycle::default().scope());
        let proxy = RunProxy::bind(&serving, forwarder, handle, vec![notion()], limits)
            .await
            .unwrap();
        let port = proxy.port();
        assert_eq!(proxy.url(), format!("http://127.0.0.1:{port}"));
        proxy.serve();
        Self { port, serving }
    }

    /// The daemon's.
    pub(super) async fn daemon(authority: Arc<FakeAuthority>) -> Self {
        Self::daemon_over(Forwarder::new(authority), Stands::default()).await
    }

    pub(super) async fn daemon_over(forwarder: Forwarder, stands: Stands) -> Self {
        let (forwarder, limits) = (Arc::new(forwarder), Limits::default());
        let (handle, serving) = (HANDLE.to_owned().into(), Lifecycle::default().scope());
        let health = Arc::new(stands);
        let bound = McpEndpoint::bind(&serving, forwarder, handle, 0, limits, health);
        let endpoint = bound.await.unwrap();
        let port = endpoint.port();
        endpoint.serve();
        Self { port, serving }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends a request head (with host and handle) and a body, returns all of the answer.
    pub(super) async fn ask(&self, line: &str, headers: &str, body: &[u8]) -> String {
        let mut socket = self.connect().await;
        let head = self.head(line, headers, body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(20), socket.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(answer).unwrap()
    }

    pub(super) fn head(&self, line: &str, headers: &str, length: usize) -> String {
        let port = self.port;
        format!(
            "{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {HANDLE}\r\n\
             connection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        )
    }
}
