//! The real transport: TCP, rustls with the platform's certificates, hyper's HTTP/1.1.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;

use crate::http::{
    body,
    message::{REPLY_LIMIT, Reply, Request},
    reach::{Reach, is_internal},
    transport::{ConnectError, Exchange, ExchangeError, Transport},
    url::HttpUrl,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One address of several that does not answer must not use up the time of the others.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// The real transport: TCP, rustls with the platform's trust, hyper's HTTP/1.1.
///
/// The certificates this machine trusts are loaded at the first `https` connection: most runs of the command line
/// answer from the store and never need them.
#[derive(Default)]
pub struct NetTransport {
    tls: tokio::sync::OnceCell<Arc<rustls::ClientConfig>>,
}

impl NetTransport {
    /// A transport that has loaded nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    async fn tls(&self) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
        self.tls
            .get_or_try_init(|| async { platform_tls() })
            .await
            .map(Arc::clone)
    }
}

fn platform_tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl std::fmt::Debug for NetTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetTransport")
    }
}

#[async_trait]
impl Transport for NetTransport {
    async fn connect(
        &self,
        url: &HttpUrl,
        reach: Reach,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        let tcp = tokio::time::timeout(CONNECT_TIMEOUT, connect_tcp(url, reach))
            .await
            .map_err(|_elapsed| unreachable_host(url, &"no answer to the connection attempt"))??;
        if !url.is_https() {
            return handshake(url, TokioIo::new(tcp)).await;
        }
        let tls = tokio::time::timeout(CONNECT_TIMEOUT, self.connect_tls(url, tcp))
            .await
            .map_err(|_elapsed| tls_failed(url, &"no answer to the handshake"))??;
        handshake(url, TokioIo::new(tls)).await
    }

    async fn reach(&self, typed: &HttpUrl) -> Reach {
        let resolved = tokio::net::lookup_host((typed.host(), typed.port())).await;
        let internal = resolved.is_ok_and(|mut found| found.any(|at| is_internal(at.ip())));
        if internal {
            Reach::Anywhere
        } else {
            Reach::from_typed(typed)
        }
    }
}

impl NetTransport {
    async fn connect_tls(
        &self,
        url: &HttpUrl,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let name = rustls::pki_types::ServerName::try_from(url.host().to_owned())
            .map_err(|error| tls_failed(url, &error))?;
        let tls = self.tls().await.map_err(|error| tls_failed(url, &error))?;
        tokio_rustls::TlsConnector::from(tls)
            .connect(name, tcp)
            .await
            .map_err(|error| tls_failed(url, &error))
    }
}

/// Tries each address in turn. The address that is checked is the one that is dialled, so a name that resolves
/// differently the second time gains nothing.
async fn connect_tcp(url: &HttpUrl, reach: Reach) -> Result<TcpStream, ConnectError> {
    let host = url.host().to_owned();
    let addresses = tokio::net::lookup_host((host.as_str(), url.port()))
        .await
        .map_err(|error| ConnectError::Resolve {
            host: host.clone(),
            detail: error.to_string(),
        })?;
    let mut last = unreachable_host(url, &"it has no address");
    for address in addresses {
        if !reach.allows(address.ip()) {
            last = ConnectError::Internal {
                host: host.clone(),
                address: address.ip(),
            };
            continue;
        }
        match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => last = unreachable_host(url, &error),
            Err(_elapsed) => last = unreachable_host(url, &"no answer to the connection attempt"),
        }
    }
    Err(last)
}

fn unreachable_host(url: &HttpUrl, detail: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Unreachable {
        host: url.origin(),
        detail: detail.to_string(),
    }
}

fn tls_failed(url: &HttpUrl, detail: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Tls {
        host: url.origin(),
        detail: detail.to_string(),
    }
}

async fn handshake<I>(url: &HttpUrl, io: I) -> Result<Box<dyn Exchange>, ConnectError>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    // Lenient in what is read: an answer that is lost for its form costs a grant.
    let mut http1 = hyper::client::conn::http1::Builder::new();
    http1
        .max_headers(1_000)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let (sender, connection) = http1
        .handshake(io)
        .await
        .map_err(|error| unreachable_host(url, &error))?;
    Ok(Box::new(Http1 {
        url: url.clone(),
        sender,
        connection: Box::pin(connection),
    }))
}

struct Http1<C> {
    url: HttpUrl,
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    connection: std::pin::Pin<Box<C>>,
}

#[async_trait]
impl<C> Exchange for Http1<C>
where
    C: Future<Output = hyper::Result<()>> + Send + 'static,
{
    async fn send(mut self: Box<Self>, request: Request) -> Result<Reply, ExchangeError> {
        let request = self.outgoing(request)?;
        let mut connection = self.connection;
        let reply = read_whole(self.sender.send_request(request));
        tokio::pin!(reply);
        // The connection is driven here, in the same task: dropping this future resets it, nothing lingers.
        tokio::select! {
            reply = &mut reply => reply,
            driven = &mut connection => {
                // The connection may finish a moment before the reply is taken out of it.
                let why = driven.err().map_or_else(|| "closed".to_owned(), |error| error.to_string());
                match tokio::time::timeout(Duration::from_millis(100), reply).await {
                    Ok(reply) => reply,
                    Err(_elapsed) => Err(ExchangeError::Broken(why)),
                }
            }
        }
    }
}

impl<C> Http1<C> {
    fn outgoing(&self, request: Request) -> Result<http::Request<Full<Bytes>>, ExchangeError> {
        let target = self
            .url
            .uri()
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let authority = self
            .url
            .uri()
            .authority()
            .map_or("", http::uri::Authority::as_str);
        let mut outgoing = http::Request::builder()
            .method(request.method)
            .uri(target)
            .header(header::HOST, authority)
            .header(
                header::USER_AGENT,
                concat!("authkeeper/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT_ENCODING, "identity")
            .body(Full::new(request.body))
            .map_err(|error| ExchangeError::Broken(error.to_string()))?;
        outgoing.headers_mut().extend(request.headers);
        Ok(outgoing)
    }
}

async fn read_whole(
    response: impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
) -> Result<Reply, ExchangeError> {
    let response = response
        .await
        .map_err(|error| ExchangeError::Broken(error.to_string()))?;
    let (head, body) = response.into_parts();
    let body = read_body(&head, body).await?;
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// How long a body whose JSON is complete is given to end as HTTP says: some servers promise more bytes than they send.
const AFTER_COMPLETE_JSON: Duration = Duration::from_millis(500);

/// A body whose JSON is complete is an answer, though the connection ended early (no TLS `close_notify`, RFC 8446 §6.1),
/// or `Content-Length` promised more.
async fn read_body(
    head: &http::response::Parts,
    body: hyper::body::Incoming,
) -> Result<Bytes, ExchangeError> {
    let mut body = Limited::new(body, REPLY_LIMIT);
    let mut read = BytesMut::new();
    loop {
        let complete = body::may_be_complete(&read) && body::is_complete_json(&head.headers, &read);
        let frame = if complete {
            tokio::time::timeout(AFTER_COMPLETE_JSON, body.frame())
                .await
                .unwrap_or_default()
        } else {
            body.frame().await
        };
        match frame {
            None => return Ok(read.freeze()),
            Some(Ok(frame)) => read.extend(frame.into_data()),
            Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(ExchangeError::TooLarge {
                    status: head.status,
                });
            }
            // What came is judged: a refusal by its status, tokens that were cut off by the names in what is left of them.
            Some(Err(_ended_early)) if !head.status.is_success() || !read.is_empty() => {
                return Ok(read.freeze());
            }
            Some(Err(error)) => return Err(ExchangeError::Broken(error.to_string())),
        }
    }
}
