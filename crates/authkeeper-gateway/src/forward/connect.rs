//! Connections to servers: HTTP/1.1 or HTTP/2, directly or through a proxy, certificates read when the first `https` URL is
//! called. A connection that was opened with one client certificate carries no call that shows another.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use authkeeper::http::{CertificateFiles, ConnectError, Network, Reach, Socket, TlsConfig};
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioIo, TokioTimer},
};
use tower_service::Service;

use crate::{
    body::{BoxError, ResponseBody},
    lifecycle::{Lifecycle, Scope},
};

pub(super) type HttpClient = Client<Connector, ResponseBody>;

/// TCP alone; then all of it.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Shorter than the idle times of common servers (uvicorn and Node: 5 s), so that we are the one to
/// close: a request sent into a closing connection has an unknown outcome.
const IDLE: Duration = Duration::from_secs(4);

/// The clients that share no connections: one for all calls without a client certificate, one for each certificate.
pub(super) struct HttpClients {
    network: Arc<Network>,
    tasks: ConnectionTasks,
    plain: HttpClient,
    certified: Mutex<HashMap<CertificateFiles, (Arc<TlsConfig>, HttpClient)>>,
}

impl HttpClients {
    pub(super) fn new(lifecycle: &Lifecycle, network: Arc<Network>) -> Self {
        let tasks = ConnectionTasks(Arc::new(lifecycle.scope()));
        Self {
            plain: client(Arc::clone(&network), tasks.clone(), None),
            certified: Mutex::default(),
            network,
            tasks,
        }
    }

    /// The client whose connections show this certificate as its files hold it now. One that was replaced on disk gets
    /// connections of its own: a token that is bound to it is refused on the ones before (RFC 8705 §3).
    pub(super) fn showing(
        &self,
        uri: &Uri,
        own: Option<&CertificateFiles>,
    ) -> Result<HttpClient, ConnectError> {
        let Some(files) = own.filter(|_| uri.scheme_str() == Some("https")) else {
            return Ok(self.plain.clone());
        };
        let config = self.network.tls(uri, Some(files))?;
        let mut all = self
            .certified
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = all.get(files)
            && Arc::ptr_eq(known, &config)
        {
            return Ok(client.clone());
        }
        let (network, tasks) = (Arc::clone(&self.network), self.tasks.clone());
        let client = client(network, tasks, Some(Arc::clone(&config)));
        all.insert(files.clone(), (config, client.clone()));
        Ok(client)
    }
}

fn client(
    network: Arc<Network>,
    tasks: ConnectionTasks,
    own: Option<Arc<TlsConfig>>,
) -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(TCP_TIMEOUT));
    Client::builder(tasks)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(Connector {
            dialer: Dialer { tcp, network },
            own,
        })
}

/// Connects to `http` at once, to `https` with the network's TLS configuration, which is made on first use: reading the
/// system's certificates would slow down every start.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Dialer,
    /// TLS with a client certificate.
    own: Option<Arc<TlsConfig>>,
}

impl Connector {
    async fn connect(&mut self, target: Uri) -> Result<Stream, BoxError> {
        if target.scheme_str() != Some("https") {
            return Ok(MaybeHttpsStream::Http(self.dialer.call(target).await?));
        }
        let config = match &self.own {
            Some(own) => Arc::clone(own),
            None => self.dialer.network.tls(&target, None)?,
        };
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

/// The tasks that drive pooled connections. They end with the clients.
#[derive(Clone)]
struct ConnectionTasks(Arc<Scope>);

impl<F> hyper::rt::Executor<F> for ConnectionTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
