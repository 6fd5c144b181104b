//! Serves HTTP on loopback: accepts connections, has a [`Router`] answer their requests, and stops gracefully.
//!
//! The connections are hyper's own, not axum's `serve`: the bounds of a head and the end of idle connections are set there.

mod loopback;

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, sync::Semaphore};

pub(crate) use self::loopback::Listeners;
pub use self::loopback::is_taken;
use crate::lifecycle::Lifecycle;

/// Bounds of a loopback server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request's head to arrive whole; also how long an idle connection is kept.
    pub head_time: Duration,
    /// Bytes of a request's head.
    pub head_size: usize,
    /// A larger request body streams and can't be sent again.
    pub kept_body: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Whether a connection carries more than one request.
    pub keep_alive: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(30),
            head_size: 64 * 1024,
            kept_body: 1024 * 1024,
            connections: 512,
            keep_alive: true,
        }
    }
}

/// Answers requests until the soft stop; then what is under way is finished. Each connection is a task of `lifecycle`.
pub(crate) fn serve(listeners: Listeners, router: Router, limits: Limits, lifecycle: &Lifecycle) {
    lifecycle.spawn(accept(listeners, router, limits, lifecycle.clone()));
}

async fn accept(listeners: Listeners, router: Router, limits: Limits, lifecycle: Lifecycle) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        listeners.accept().await.map(|socket| (socket, place))
    };
    while let Some(accepted) = lifecycle.until_stop(next()).await {
        match accepted {
            Ok((socket, place)) => {
                let serving = connection(socket, router.clone(), limits, lifecycle.clone());
                lifecycle.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One connection, until it ends or the server stops.
async fn connection(socket: TcpStream, router: Router, limits: Limits, lifecycle: Lifecycle) {
    // An event of a stream is a small write that nothing follows at once.
    let _ = socket.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_size)
        .keep_alive(limits.keep_alive)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let mut ended = lifecycle.until_stop(&mut serving).await;
    if ended.is_none() {
        serving.as_mut().graceful_shutdown();
        ended = Some(serving.await);
    }
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
