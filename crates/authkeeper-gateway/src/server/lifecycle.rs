//! Serving HTTP on loopback: accept, answer, stop gracefully.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch, task::JoinSet};

use super::listen::Listeners;
use crate::body::ResponseBody;

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
    /// For answers on their way when the proxy is stopped.
    pub stop_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(30),
            head_size: 64 * 1024,
            kept_body: 1024 * 1024,
            connections: 512,
            stop_grace: Duration::from_secs(2),
        }
    }
}

/// Answers the requests of a loopback server.
pub(super) trait RequestHandler: Send + Sync + 'static {
    /// `stopped` ends when the server is told to stop.
    fn answer(
        &self,
        request: Request<Incoming>,
        stopped: watch::Receiver<()>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send;
}

/// Serves until `stop` is done; answers on their way get a moment to finish.
pub(super) async fn serve(
    listeners: Listeners,
    service: Arc<impl RequestHandler>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let room = connections.len() < limits.connections;
        tokio::select! {
            () = &mut stop => break,
            accepted = listeners.accept(), if room => match accepted {
                Ok(socket) => {
                    let service = Arc::clone(&service);
                    connections.spawn(connection(socket, service, limits, stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listeners, stopping));
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.stop_grace, rest).await;
}

/// One connection, until it ends or the server stops.
async fn connection(
    socket: TcpStream,
    service: Arc<impl RequestHandler>,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    let until = stopped.clone();
    let handler = service_fn(move |request| {
        let (service, until) = (Arc::clone(&service), until.clone());
        async move { Ok::<_, Infallible>(service.answer(request, until).await) }
    });
    // An event of a stream is a small write that nothing follows at once.
    let _ = socket.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_size)
        .serve_connection(TokioIo::new(socket), handler);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
