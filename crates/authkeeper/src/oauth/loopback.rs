//! The loopback listener that a sign-in's redirect comes back to (RFC 8252 §7.3).

use std::{convert::Infallible, net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc};

use super::authorize::{RedirectError, SignIn, read_answer};
use crate::secret::SecretString;

const PATH: &str = "/callback";

/// The port is taken, or the machine gives none.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on 127.0.0.1:{port}: {source}")]
pub struct ListenError {
    /// Which port was asked for; 0 for any.
    pub port: u16,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// A listener on 127.0.0.1, and only there.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// Listens on a port; 0 takes a free one.
    pub async fn bind(port: u16) -> Result<Self, ListenError> {
        let failed = |source| ListenError { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    /// Where a sign-in's redirect goes.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for this sign-in's redirect. A request that is not the answer to it (another `state`) is answered and
    /// otherwise ignored: any page in the browser can make one.
    pub async fn wait(&self, sign_in: &SignIn) -> Result<SecretString, RedirectError> {
        let (found, mut answers) = mpsc::channel(1);
        let sign_in = Arc::new(sign_in.clone());
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                Some(answer) = answers.recv() => {
                    // Let the page reach the browser before the listener goes away.
                    let patience = std::time::Duration::from_secs(1);
                    let _ = tokio::time::timeout(patience, connections.join_next()).await;
                    return answer;
                }
                Ok((socket, _)) = self.listener.accept() => {
                    connections.spawn(serve(socket, Arc::clone(&sign_in), found.clone()));
                }
                Some(_) = connections.join_next(), if connections.len() > 16 => {}
            }
        }
    }
}

type Redirected = Result<SecretString, RedirectError>;

async fn serve(
    socket: tokio::net::TcpStream,
    sign_in: Arc<SignIn>,
    found: mpsc::Sender<Redirected>,
) {
    let service =
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (page, answer) = judge(&sign_in, request.uri());
            if let Some(answer) = answer {
                let _ = found.try_send(answer);
            }
            std::future::ready(Ok::<_, Infallible>(page))
        });
    let server = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    let patience = std::time::Duration::from_secs(30);
    let _ = tokio::time::timeout(patience, server).await;
}

fn judge(sign_in: &SignIn, uri: &http::Uri) -> (Response<Full<Bytes>>, Option<Redirected>) {
    if uri.path() != PATH {
        return (
            page(
                StatusCode::NOT_FOUND,
                "Nothing here",
                "This is authkeeper's sign-in listener.",
            ),
            None,
        );
    }
    match read_answer(sign_in, uri.query().unwrap_or_default()) {
        Ok(code) => {
            let text = "You can close this page. authkeeper keeps the connection fresh from here.";
            (page(StatusCode::OK, "Signed in", text), Some(Ok(code)))
        }
        Err(RedirectError::StateMismatch) => {
            let text = "This answer belongs to another sign-in. Start again from the terminal.";
            (
                page(StatusCode::BAD_REQUEST, "Not this sign-in", text),
                None,
            )
        }
        Err(error) => {
            let text = "The terminal says what happened and what to do.";
            (
                page(StatusCode::BAD_REQUEST, "Not signed in", text),
                Some(Err(error)),
            )
        }
    }
}

/// A page for a person in a browser, with nothing in it from elsewhere. `text` is HTML.
pub fn page(status: StatusCode, title: &str, text: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{title} · authkeeper</title><style>body{{font:18px/1.5 system-ui,sans-serif;max-width:32rem;\
         margin:18vh auto;padding:0 1.5rem;color:#1b2733;background:#f7f9fb}}h1{{font-size:1.7rem;margin:0 0 .5rem}}\
         p{{color:#4a5b6c}}@media(prefers-color-scheme:dark){{body{{background:#12181f;color:#e6edf3}}p{{color:#9fb0c0}}}}\
         </style><h1>{title}</h1><p>{text}</p></html>"
    );
    let mut response = Response::new(Full::new(html.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    response
}
