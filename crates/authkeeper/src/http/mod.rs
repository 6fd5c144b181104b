//! The transport seam: connect first, then send, then read, each on its own.
//!
//! A refresh must be able to connect *before* it claims the right to spend, and must know whether the first byte left.
//! So this is no pooled client: one connection, one exchange, no retries, no redirects, HTTP/1.1. Every reply has a size
//! bound.

mod body;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;

use crate::text::sanitize::one_line;

/// The most of a reply that is read. Token and metadata documents are a few KiB; nothing we ask for is larger.
pub const REPLY_LIMIT: usize = 1024 * 1024;

/// The longest URL that is taken: others name them, and persons read them.
const URL_LIMIT: usize = 2048;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One address of several that does not answer must not use up the time of the others.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// An absolute `http` or `https` URL, kept exactly as it was spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    text: String,
    uri: Uri,
}

/// A URL that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} {problem}")]
pub struct InvalidUrl {
    url: String,
    problem: String,
}

impl InvalidUrl {
    /// The URL that was meant, where only the `https://` before it was left out.
    pub fn meant(&self) -> Option<HttpUrl> {
        if self.url.contains("://") {
            return None;
        }
        let whole = HttpUrl::parse(&format!("https://{}", self.url)).ok()?;
        if whole.is_loopback() {
            return HttpUrl::parse(&format!("http://{}", self.url)).ok();
        }
        whole.host().contains('.').then_some(whole)
    }
}

impl HttpUrl {
    /// Checks a URL: absolute, `https`, or `http` on this machine only, without a fragment or user name.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let refuse = |problem: String| InvalidUrl {
            url: one_line(text),
            problem,
        };
        if text.len() > URL_LIMIT {
            return Err(refuse(format!("is longer than {URL_LIMIT} characters")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                "has characters that no URL has; write them as %XX".to_owned(),
            ));
        }
        if text.contains('#') {
            return Err(refuse(
                "has a fragment (the part after '#'); remove it".to_owned(),
            ));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error| refuse(format!("is not a URL: {error}")))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let (Some(scheme), Some(host)) = (uri.scheme_str(), host) else {
            return Err(refuse(
                "is not an absolute URL; it must start with https://".to_owned(),
            ));
        };
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(refuse(
                "carries a user name; remove the part before '@'".to_owned(),
            ));
        }
        if !has_real_port(&uri, host) {
            return Err(refuse("has a port that is none".to_owned()));
        }
        match scheme {
            "https" => {}
            "http" if is_loopback_host(host) => {}
            "http" => {
                return Err(refuse(
                    "must use https (http is for this machine only)".to_owned(),
                ));
            }
            other => return Err(refuse(format!("must use https, not {other}"))),
        }
        Ok(Self {
            text: text.to_owned(),
            uri,
        })
    }

    /// The URL byte for byte.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port, as in `https://host:port` (the port only where it was written).
    pub fn origin(&self) -> String {
        let authority = self
            .uri
            .authority()
            .map_or("", http::uri::Authority::as_str);
        format!("{}://{authority}", self.uri.scheme_str().unwrap_or("https"))
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether both name the same scheme, host and port. Hosts compare without regard to case (RFC 3986 §3.2.2).
    pub fn same_origin(&self, other: &Self) -> bool {
        self.uri.scheme() == other.uri.scheme()
            && self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
    }

    /// The parsed form.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host as written, without brackets.
    pub fn host(&self) -> &str {
        self.uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    fn port(&self) -> u16 {
        self.uri
            .port_u16()
            .unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether it names this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.host())
    }
}

/// Whether what follows the host is nothing or a port that can be dialled. A port that is not one would otherwise stand
/// in the text while the usual one is dialled.
fn has_real_port(uri: &Uri, host: &str) -> bool {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    match authority.strip_prefix(host) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(|port| !port.starts_with('+') && port.parse::<u16>().is_ok()),
        None => false,
    }
}

fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Which addresses a URL that somebody else told us about may lead to (server-side request forgery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The person named a host of their own network or machine: anything goes.
    Anywhere,
    /// The person named a public host: what it points us to must be public too.
    PublicOnly,
}

impl Reach {
    /// What a URL typed by a person allows for the URLs it leads to.
    pub fn from_typed(url: &HttpUrl) -> Self {
        let private = url.is_loopback() || url.host().parse::<IpAddr>().is_ok_and(is_internal);
        if private {
            Self::Anywhere
        } else {
            Self::PublicOnly
        }
    }

    /// A person who named two hosts allowed what either allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Anywhere { self } else { other }
    }

    /// What was allowed when a connection was made.
    pub fn of(internal: bool) -> Self {
        if internal {
            Self::Anywhere
        } else {
            Self::PublicOnly
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || !is_internal(address)
    }
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || (v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]))
        }
        IpAddr::V6(v6) => {
            let mapped = v6
                .to_ipv4_mapped()
                .is_some_and(|v4| is_internal(IpAddr::V4(v4)));
            mapped
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// A request as it goes out.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Headers besides `host`, which the transport sets.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A `GET` that asks for JSON.
    pub fn get_json() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        Self {
            method: Method::GET,
            headers,
            body: Bytes::new(),
        }
    }
}

/// A reply, read whole.
#[derive(Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`REPLY_LIMIT`] bytes.
    pub body: Bytes,
}

/// Neither headers nor body: they hold tokens, codes and secrets.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Neither headers nor body: they hold tokens.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (status, bytes) = (&self.status, &self.body.len());
        f.debug_struct("Reply")
            .field("status", status)
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// The `Content-Type` without parameters, in lower case.
    pub fn content_type(&self) -> String {
        let value = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        value
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase()
    }
}

/// Nothing was sent: the connection could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host has no address.
    #[error("{host} can't be resolved: {detail}")]
    Resolve {
        /// Which host.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// A public server pointed at an address of an internal network.
    #[error(
        "{host} leads to {address}, an internal address that a public server must not point at"
    )]
    Internal {
        /// Which host.
        host: String,
        /// Where it led.
        address: IpAddr,
    },
    /// The host does not answer.
    #[error("{host} can't be reached: {detail}")]
    Unreachable {
        /// Which host.
        host: String,
        /// What the network said.
        detail: String,
    },
    /// The TLS handshake failed.
    #[error("no secure connection to {host}: {detail}")]
    Tls {
        /// Which host.
        host: String,
        /// What the handshake said.
        detail: String,
    },
}

/// The request may have been written, and there is no whole reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The connection ended before the reply did.
    #[error("the connection ended before the answer did: {0}")]
    Broken(String),
    /// The reply is larger than anything that was asked for.
    #[error("the answer is larger than {} KiB", REPLY_LIMIT / 1024)]
    TooLarge {
        /// With which status it came.
        status: StatusCode,
    },
}

/// Makes connections.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Connects (TCP, TLS) and sends nothing.
    async fn connect(&self, url: &HttpUrl, reach: Reach)
    -> Result<Box<dyn Exchange>, ConnectError>;

    /// What a URL typed by a person allows for the URLs it leads to. A transport that resolves names knows more than the
    /// URL alone tells.
    async fn reach(&self, typed: &HttpUrl) -> Reach {
        Reach::from_typed(typed)
    }
}

/// One connection, good for one request.
#[async_trait]
pub trait Exchange: Send {
    /// Writes the request and reads the reply to its end. Cancelling resets the connection.
    async fn send(self: Box<Self>, request: Request) -> Result<Reply, ExchangeError>;
}

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

#[cfg(test)]
mod wire_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_wire_does_not_print() {
        let request = Request {
            body: "refresh_token=hunter2".into(),
            ..Request::get_json()
        };
        let reply = Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "hunter2".into(),
        };
        assert!(!format!("{request:?} {reply:?}").contains("hunter2"));
    }

    #[test]
    fn urls_are_kept_byte_for_byte() {
        for text in [
            "https://mcp.example",
            "https://mcp.example/",
            "https://MCP.example:443/a%2Fb?x",
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().as_str(), text);
        }
        let url = HttpUrl::parse("http://127.0.0.1:80/x").unwrap();
        assert_eq!(url.origin(), "http://127.0.0.1:80");
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        assert!(HttpUrl::parse("http://localhost:1/x").is_ok());
        assert!(HttpUrl::parse("http://[::1]:1/x").is_ok());
        for bad in [
            "http://mcp.example/",
            "ftp://mcp.example/",
            "mcp.example",
            "/x",
            "https://a@b/",
            "https://a/#b",
            "http://127.0.0.1.example/",
            "https://a:99999/",
            "https://a:/",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_that_is_refused_can_be_shown() {
        let long = format!("https://mcp.example/{}", "x".repeat(4_000));
        let error = HttpUrl::parse(&long).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn what_lacks_only_its_scheme_is_known() {
        for (typed, meant) in [
            ("mcp.notion.com/mcp", Some("https://mcp.notion.com/mcp")),
            ("mcp.notion.com", Some("https://mcp.notion.com")),
            ("127.0.0.1:8765/mcp", Some("http://127.0.0.1:8765/mcp")),
            ("localhost:8765/mcp", Some("http://localhost:8765/mcp")),
            ("http://mcp.example/mcp", None),
            ("ftp://mcp.example", None),
            ("me@mcp.example", None),
            ("notion", None),
            ("/mcp", None),
            ("", None),
        ] {
            let found = HttpUrl::parse(typed).unwrap_err().meant();
            assert_eq!(found.as_ref().map(HttpUrl::as_str), meant, "{typed}");
        }
    }

    #[test]
    fn a_public_server_leads_to_public_addresses_only() {
        let public = Reach::from_typed(&HttpUrl::parse("https://mcp.example/mcp").unwrap());
        for internal in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!public.allows(internal.parse().unwrap()), "{internal}");
        }
        assert!(public.allows("93.184.216.34".parse().unwrap()));
        let local = Reach::from_typed(&HttpUrl::parse("http://127.0.0.1:1/mcp").unwrap());
        assert!(local.allows("127.0.0.1".parse().unwrap()));
    }
}
