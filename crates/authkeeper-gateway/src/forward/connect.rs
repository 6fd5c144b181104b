//! Connections to servers: HTTP/1.1 or HTTP/2, directly or through a proxy, certificates read when the first `https` URL is
//! called.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use authkeeper::http::{Network, Reach, Socket};
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioIo, TokioTimer},
};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::body::{BoxError, ResponseBody};

pub(super) type HttpClient = Client<Connector, ResponseBody>;

/// TCP alone; then all of it.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Shorter than the idle times of common servers (uvicorn and Node: 5 s), so that we are the one to
/// close: a request sent into a closing connection has an unknown outcome.
const IDLE: Duration = Duration::from_secs(4);

pub(super) fn client(network: Arc<Network>) -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(TCP_TIMEOUT));
    Client::builder(ConnectionTasks::default())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(Connector {
            dialer: Dialer { tcp, network },
        })
}

/// Connects to `http` at once, to `https` with the network's TLS configuration, which is made on first use: reading the
/// system's certificates would slow down every start.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Dialer,
}

impl Connector {
    async fn connect(&mut self, target: Uri) -> Result<Stream, BoxError> {
        if target.scheme_str() != Some("https") {
            return Ok(MaybeHttpsStream::Http(self.dialer.call(target).await?));
        }
        let config = self.dialer.network.tls(&target)?;
        let mut https = HttpsConnector::from((self.dialer.clone(), config));
        let connected = https.call(target.clone()).await;
        // The proxy's own errors say it all; what is left is TLS.
        connected.map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(of_tls) => self.dialer.network.tls_failed(&target, &*of_tls).into(),
            Err(other) => other,
        })
    }
}

type Stream = MaybeHttpsStream<TokioIo<Socket>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(
            async move { tokio::time::timeout(SETUP_TIMEOUT, connector.connect(target)).await? },
        )
    }
}

/// Connects to a server, or to its proxy and through that.
#[derive(Clone)]
struct Dialer {
    tcp: HttpConnector,
    network: Arc<Network>,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Socket>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Self { mut tcp, network } = self.clone();
        Box::pin(async move {
            // A person typed the URL of the connection: it may be anywhere.
            let socket = match network.through_proxy(&target, Reach::Anywhere).await {
                Some(way) => way?,
                None => Socket::Tcp(tcp.call(target).await?.into_inner()),
            };
            Ok(TokioIo::new(socket))
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
