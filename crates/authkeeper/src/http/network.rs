//! The ways out of this machine: directly or through a proxy, with the certificates that are trusted.

use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::http::{
    certificate::CertificateFiles,
    proxy::{Proxies, Proxy, ProxySettings},
    reach::{Reach, is_internal, is_internal_name},
    socket::Socket,
    tls::{self, TlsSettings, Trust},
    transport::ConnectError,
    tunnel::{self, Destination},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One address of several that does not answer must not use up the time of the others.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// Behind a proxy this machine may have no names at all: how long it is waited for what they would say.
const GUARD_TIMEOUT: Duration = Duration::from_secs(1);

const NO_ANSWER: &str = "no answer to the connection attempt";
const NO_ADDRESS: &str = "it has no address";

/// How servers are reached. All connections of a process share one: what it trusts is read once.
#[derive(Debug, Default)]
pub struct Network {
    proxies: Proxies,
    trust: Trust,
}

/// Where a connection leads.
#[derive(Clone, Copy)]
struct Peer<'a> {
    uri: &'a Uri,
    host: &'a str,
    port: u16,
}

impl<'a> Peer<'a> {
    fn of(uri: &'a Uri) -> Self {
        let https = uri.scheme_str() == Some("https");
        Self {
            uri,
            host: bare_host(uri),
            port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
        }
    }
}

impl Network {
    /// With these proxies and certificates. Nothing is read yet.
    pub fn new(proxies: &ProxySettings, tls: TlsSettings) -> Self {
        Self {
            proxies: Proxies::of(proxies),
            trust: Trust::new(tls),
        }
    }

    /// The proxies, as they are set.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// What TLS is spoken with: HTTP/2 and HTTP/1.1 are offered. `own` is the connection's client certificate; it goes
    /// before one that is set for the host. Its files are read each time, and the same content gives the same `Arc`.
    ///
    /// # Errors
    ///
    /// If nothing that this machine trusts can be read, or not the certificate that the server is shown.
    pub fn tls(
        &self,
        uri: &Uri,
        own: Option<&CertificateFiles>,
    ) -> Result<Arc<rustls::ClientConfig>, ConnectError> {
        let failed = |error| tls::failed(&origin(uri), &error);
        self.trust.config(bare_host(uri), own).map_err(failed)
    }

    /// A handshake that failed.
    pub fn tls_failed(&self, uri: &Uri, error: &(dyn Error + 'static)) -> ConnectError {
        tls::failed(&self.route(uri), error)
    }

    /// The server, and the proxy before it.
    fn route(&self, uri: &Uri) -> String {
        let origin = origin(uri);
        match self.proxies.of_url(uri) {
            Ok(Some(proxy)) => format!("{origin} through the proxy {proxy}"),
            _ => origin,
        }
    }

    /// The way to a URL through its proxy; none if it is reached directly.
    ///
    /// # Errors
    ///
    /// If the proxy can't be used, or does not let us through.
    pub async fn through_proxy(
        &self,
        uri: &Uri,
        reach: Reach,
    ) -> Option<Result<Socket, ConnectError>> {
        match self.proxies.of_url(uri) {
            Ok(proxy) => Some(self.by_way_of(proxy?, uri, reach).await),
            Err(error) => Some(Err(error)),
        }
    }

    async fn by_way_of(
        &self,
        proxy: &Proxy,
        uri: &Uri,
        reach: Reach,
    ) -> Result<Socket, ConnectError> {
        let Peer { host, port, .. } = Peer::of(uri);
        let origin = origin(uri);
        let opened = tokio::time::timeout(CONNECT_TIMEOUT * 2, async {
            let guarded = guarded(Peer::of(uri), reach, proxy.resolves_here());
            let (address, socket) = tokio::try_join!(guarded, self.proxy_socket(proxy, &origin))?;
            let address = address.map(|address| address.to_string());
            let host = address.as_deref().unwrap_or(host);
            let to = Destination {
                origin: &origin,
                host,
                port,
            };
            tunnel::open(socket, proxy, &to).await
        });
        let late = |_elapsed| tunnel::failed(proxy, &origin, "it does not answer", None);
        opened.await.map_err(late)?
    }

    /// A connection to the proxy itself, which is wherever the person said.
    async fn proxy_socket(&self, proxy: &Proxy, origin: &str) -> Result<Socket, ConnectError> {
        let (uri, host, port) = (proxy.uri(), proxy.host(), proxy.port());
        let wrong = |error: ConnectError| {
            let unknown = matches!(error, ConnectError::Resolve { .. });
            let remedy = error.remedy().map(str::to_owned);
            let remedy = remedy
                .or_else(|| unknown.then(|| format!("correct the host in {}", proxy.set_by())));
            tunnel::failed(proxy, origin, error.to_string(), remedy)
        };
        let tcp = dial(Peer { uri, host, port }, Reach::Anywhere)
            .await
            .map_err(wrong)?;
        if proxy.scheme() != "https" {
            return Ok(Socket::Tcp(tcp));
        }
        let mut config = (*self.tls(uri, None).map_err(wrong)?).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = handshake(Arc::new(config), host, tcp).await;
        let tls = tls.map_err(|error| wrong(tls::failed(host, &*error)))?;
        Ok(Socket::Tls(Box::new(tls)))
    }

    /// A connection to a URL's host, without TLS to it.
    pub(super) async fn socket(&self, uri: &Uri, reach: Reach) -> Result<Socket, ConnectError> {
        if let Some(way) = self.through_proxy(uri, reach).await {
            return way;
        }
        tokio::time::timeout(CONNECT_TIMEOUT, dial(Peer::of(uri), reach))
            .await
            .map_err(|_elapsed| unreachable(uri, &NO_ANSWER))?
            .map(Socket::Tcp)
    }

    /// TLS to a URL's host.
    pub(super) async fn secure(
        &self,
        uri: &Uri,
        own: Option<&CertificateFiles>,
        socket: Socket,
    ) -> Result<TlsStream<Socket>, ConnectError> {
        let config = self.tls(uri, own)?;
        let shaken =
            tokio::time::timeout(CONNECT_TIMEOUT, handshake(config, bare_host(uri), socket));
        let late = |_elapsed| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            self.tls_failed(uri, &late)
        };
        let shaken = shaken.await.map_err(late)?;
        shaken.map_err(|error| self.tls_failed(uri, &*error))
    }

    /// What a URL typed by a person allows for the URLs it leads to.
    pub(super) async fn reach(&self, uri: &Uri) -> Reach {
        let Peer { host, port, .. } = Peer::of(uri);
        let resolving = tokio::net::lookup_host((host, port));
        let found = match self.proxies.of_url(uri) {
            Ok(None) => resolving.await.ok(),
            _ if is_internal_name(host) => return Reach::Anywhere,
            _ => within(resolving).await,
        };
        Reach::of(found.is_some_and(|mut found| found.any(|at| is_internal(at.ip()))))
    }
}

async fn within<T>(resolving: impl Future<Output = std::io::Result<T>>) -> Option<T> {
    tokio::time::timeout(GUARD_TIMEOUT, resolving)
        .await
        .ok()?
        .ok()
}

/// Keeps a public server from leading inside where a proxy resolves the name: by the name itself, and by what it means on
/// this machine. With `resolves`, the address that was checked is the one that the proxy is told to dial.
async fn guarded(
    peer: Peer<'_>,
    reach: Reach,
    resolves: bool,
) -> Result<Option<IpAddr>, ConnectError> {
    let Peer { host, port, uri } = peer;
    let internal = |what: String| ConnectError::Internal {
        host: host.to_owned(),
        what,
    };
    if resolves {
        let addresses = tokio::net::lookup_host((host, port)).await;
        let mut addresses = addresses.map_err(|error| unresolved(host, &error))?;
        let first = addresses
            .next()
            .ok_or_else(|| unreachable(uri, &NO_ADDRESS))?;
        return match first.ip() {
            address if reach.allows(address) => Ok(Some(address)),
            address => Err(internal(address.to_string())),
        };
    }
    if reach == Reach::Anywhere {
        return Ok(None);
    }
    if is_internal_name(host) {
        return Err(internal("a name of internal networks".to_owned()));
    }
    let found = within(tokio::net::lookup_host((host, port))).await;
    let inside = found.and_then(|mut found| found.find(|at| is_internal(at.ip())));
    inside.map_or(Ok(None), |at| Err(internal(at.ip().to_string())))
}

async fn handshake<S>(
    config: Arc<rustls::ClientConfig>,
    host: &str,
    socket: S,
) -> Result<TlsStream<S>, Box<dyn Error + Send + Sync>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned())?;
    Ok(TlsConnector::from(config).connect(name, socket).await?)
}

/// Tries each address in turn. The address that is checked is the one that is dialled, so a name that resolves
/// differently the second time gains nothing.
async fn dial(Peer { uri, host, port }: Peer<'_>, reach: Reach) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| unresolved(host, &error))?;
    let mut last = None;
    for address in addresses {
        if !reach.allows(address.ip()) {
            last = Some(ConnectError::Internal {
                host: host.to_owned(),
                what: address.ip().to_string(),
            });
            continue;
        }
        match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => last = Some(unreachable(uri, &error)),
            Err(_elapsed) => last = Some(unreachable(uri, &NO_ANSWER)),
        }
    }
    Err(last.unwrap_or_else(|| unreachable(uri, &NO_ADDRESS)))
}

fn unresolved(host: &str, error: &std::io::Error) -> ConnectError {
    ConnectError::Resolve {
        host: host.to_owned(),
        detail: error.to_string(),
    }
}

pub(super) fn unreachable(uri: &Uri, detail: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Unreachable {
        host: origin(uri),
        detail: detail.to_string(),
    }
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    format!("{}://{authority}", uri.scheme_str().unwrap_or("https"))
}

fn bare_host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}
