//! Connections to servers: HTTP/1.1, certificates read when the first `https` URL is called.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioIo, TokioTimer},
};
use tokio::{net::TcpStream, task::JoinSet};
use tower_service::Service;

use crate::body::{BoxError, ResponseBody};

pub(super) type HttpClient = Client<Connector, ResponseBody>;

/// TCP alone; then TCP and TLS together.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Shorter than the idle times of common servers (uvicorn and Node: 5 s), so that we are the one to
/// close: a request sent into a closing connection has an unknown outcome.
const IDLE: Duration = Duration::from_secs(4);

pub(super) fn client() -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(TCP_TIMEOUT));
    Client::builder(ConnectionTasks::default())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(Connector {
            tcp,
            tls: Arc::default(),
        })
}

/// Connects to `http` at once, to `https` through a TLS configuration made on first use: reading the
/// system's certificates would slow down every start.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Arc<OnceLock<HttpsConnector<HttpConnector>>>,
}

impl Connector {
    fn tls(&self) -> Result<HttpsConnector<HttpConnector>, BoxError> {
        if let Some(ready) = self.tls.get() {
            return Ok(ready.clone());
        }
        let made = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()?
            .https_only()
            .enable_http1()
            .wrap_connector(self.tcp.clone());
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(async move {
            let connecting = async {
                if target.scheme_str() == Some("https") {
                    return connector.tls()?.call(target).await;
                }
                Ok(MaybeHttpsStream::Http(connector.tcp.call(target).await?))
            };
            tokio::time::timeout(SETUP_TIMEOUT, connecting).await?
        })
    }
}

/// The tasks that drive pooled connections. They end with the client.
#[derive(Clone, Default)]
struct ConnectionTasks(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for ConnectionTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}
