//! A way through a proxy: CONNECT (RFC 9110 §9.3.6) or SOCKS5 (RFC 1928). What flows through it is TLS, which the proxy
//! can't read.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1, ext::ReasonPhrase};
use hyper_util::{client::legacy::connect::proxy::SocksV5, rt::TokioIo};
use tower_service::Service;

use crate::{
    http::{
        message::USER_AGENT,
        proxy::Proxy,
        socket::Socket,
        transport::{ConnectError, ProxyFailure},
    },
    text::sanitize::one_line,
};

/// Where a tunnel leads.
pub(super) struct Destination<'a> {
    /// As a person knows it.
    pub(super) origin: &'a str,
    /// The name for the proxy to resolve, or the address that was resolved here.
    pub(super) host: &'a str,
    pub(super) port: u16,
}

impl Destination<'_> {
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// Opens a way to the destination through a proxy that is connected.
pub(super) async fn open(
    socket: Socket,
    proxy: &Proxy,
    to: &Destination<'_>,
) -> Result<Socket, ConnectError> {
    if proxy.is_socks() {
        socks(socket, proxy, to).await
    } else {
        connect(socket, proxy, to).await
    }
}

/// What went wrong with the proxy itself.
pub(super) fn failed(
    proxy: &Proxy,
    origin: &str,
    detail: impl Into<String>,
    remedy: Option<String>,
) -> ConnectError {
    ConnectError::Proxy(Box::new(ProxyFailure {
        proxy: proxy.to_string(),
        host: origin.to_owned(),
        detail: detail.into(),
        remedy,
    }))
}

// ---- CONNECT ----------------------------------------------------------------------------------

async fn connect(
    socket: Socket,
    proxy: &Proxy,
    to: &Destination<'_>,
) -> Result<Socket, ConnectError> {
    let broken = |error: hyper::Error| failed(proxy, to.origin, error.to_string(), None);
    // Some proxies know their headers in this spelling alone.
    let mut http = http1::Builder::new();
    http.title_case_headers(true);
    let (mut sender, connection) = http.handshake(TokioIo::new(socket)).await.map_err(broken)?;
    let request =
        request(proxy, to).map_err(|error| failed(proxy, to.origin, error.to_string(), None))?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(refused(proxy, to, &response));
        }
        hyper::upgrade::on(response).await.map_err(broken)
    };
    // Driven here, in the same task: dropping this future closes the connection.
    let driven = connection.with_upgrades();
    tokio::pin!(asked, driven);
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut asked => upgraded?,
        _ = &mut driven => asked.await?,
    };
    let parts = upgraded.downcast::<TokioIo<Socket>>();
    parts
        .map(|parts| parts.io.into_inner())
        .map_err(|_other| failed(proxy, to.origin, "its answer can't be used", None))
}

fn request(proxy: &Proxy, to: &Destination<'_>) -> http::Result<Request<Empty<Bytes>>> {
    let authority = to.authority();
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, USER_AGENT)
        .uri(authority);
    if let Some(auth) = proxy.basic_auth() {
        request = request.header(header::PROXY_AUTHORIZATION, auth);
    }
    request.body(Empty::new())
}

/// The proxy's own words, and what a person does about them.
fn refused(proxy: &Proxy, to: &Destination<'_>, response: &Response<Incoming>) -> ConnectError {
    let status = response.status();
    let reason = response.extensions().get::<ReasonPhrase>();
    let reason = reason.map(|reason| one_line(&String::from_utf8_lossy(reason.as_bytes())));
    let reason = reason
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_default();
    let detail = format!("it answers {} {reason}", status.as_str());
    failed(
        proxy,
        to.origin,
        detail.trim_end(),
        remedy(proxy, status, response.headers()),
    )
}

fn remedy(proxy: &Proxy, status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let set_by = proxy.set_by();
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Some(sign_in_remedy(proxy, headers));
    }
    // A gateway that can't reach the server, or has no time for it, may do so later.
    let passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    (!passing).then(|| {
        format!(
            "ask who runs the proxy to let this host through; if it is reached without the proxy, add it to NO_PROXY; if this \
             is the wrong proxy, correct {set_by}"
        )
    })
}

fn sign_in_remedy(proxy: &Proxy, headers: &HeaderMap) -> String {
    let (set_by, scheme) = (proxy.set_by(), proxy.scheme());
    let offered: Vec<&str> = headers
        .get_all(header::PROXY_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split([' ', ',']).next())
        .collect();
    let basic = offered.is_empty() || offered.iter().any(|one| one.eq_ignore_ascii_case("basic"));
    if !basic {
        let offered = one_line(&offered.join(", "));
        return format!(
            "the proxy wants {offered}, and authkeeper knows Basic only: run a local proxy that signs in for you (px, cntlm) \
             and name that in {set_by}"
        );
    }
    let wrong = if proxy.basic_auth().is_some() || proxy.user_and_password().is_some() {
        "it does not accept this user and password; correct them in"
    } else {
        "give it user and password:"
    };
    format!(
        "{wrong} {set_by}={scheme}://USER:PASSWORD@HOST:PORT, with each special character as %XX"
    )
}

// ---- SOCKS5 -----------------------------------------------------------------------------------

/// A connection that is there already, for a library that wants to make it itself.
struct Connected(Option<Socket>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Socket>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _proxy: Uri) -> Self::Future {
        let once = || std::io::Error::other("there is one connection");
        ready(self.0.take().map(TokioIo::new).ok_or_else(once))
    }
}

async fn socks(
    socket: Socket,
    proxy: &Proxy,
    to: &Destination<'_>,
) -> Result<Socket, ConnectError> {
    let target = Uri::builder()
        .scheme("https")
        .authority(to.authority())
        .path_and_query("/")
        .build()
        .map_err(|error| failed(proxy, to.origin, error.to_string(), None))?;
    let mut library = SocksV5::new(proxy.uri().clone(), Connected(Some(socket)));
    if let Some((user, password)) = proxy.user_and_password() {
        library = library.with_auth(user.to_owned(), password.to_owned());
    }
    match library.call(target).await {
        Ok(socket) => Ok(socket.into_inner()),
        Err(error) => {
            let said = error.to_string();
            // The library's error has no type that could be named. A proxy that refuses a user must end the connection
            // (RFC 1929 §2), and some say nothing before.
            let refused = ["credentials", "authentication"]
                .iter()
                .any(|word| said.contains(word));
            let ended = said.contains("io error") && proxy.user_and_password().is_some();
            let about_user = refused || ended;
            let remedy = about_user.then(|| sign_in_remedy(proxy, &HeaderMap::new()));
            Err(failed(proxy, to.origin, said, remedy))
        }
    }
}
