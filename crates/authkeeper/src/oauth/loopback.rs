//! The loopback listener that a sign-in's redirect comes back to (RFC 8252 §7.3).

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
};

use super::{
    authorize::{RedirectError, SignIn, read_answer, words},
    sign_in_page::SignInPage,
};
use crate::secret::SecretString;

/// A redirect URI on this machine, byte for byte: `http`, a loopback host in any spelling, any port and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackUri {
    text: String,
    host: Host,
    /// None where none is written.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// A browser may take it for either family's address.
    Localhost,
    Address(IpAddr),
}

impl LoopbackUri {
    /// Reads a redirect URI; none if it leads elsewhere.
    pub fn parse(text: &str) -> Option<Self> {
        let uri = text.parse::<http::Uri>().ok()?;
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let host = if host.eq_ignore_ascii_case("localhost") {
            Host::Localhost
        } else {
            let address = host.parse::<IpAddr>().ok()?;
            Host::Address(Some(address).filter(IpAddr::is_loopback)?)
        };
        (uri.scheme_str() == Some("http")).then(|| Self {
            text: text.to_owned(),
            host,
            port: uri.port_u16(),
        })
    }

    /// The one that is used where none is asked for (RFC 8252 §7.3); port 0 takes a free one.
    pub fn usual(port: u16) -> Self {
        Self {
            text: format!("http://127.0.0.1:{port}/callback"),
            host: Host::Address(Ipv4Addr::LOCALHOST.into()),
            port: Some(port),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same at another port.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        self.spelled(self.host_text(), port, self.host)
    }

    /// The same with the host that some servers take where they take no address.
    #[must_use]
    pub fn as_localhost(&self) -> Self {
        self.spelled("localhost", self.port.unwrap_or(80), Host::Localhost)
    }

    fn host_text(&self) -> &str {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        authority.strip_suffix(&port).unwrap_or(authority)
    }

    fn spelled(&self, host: &str, port: u16, kind: Host) -> Self {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find(['/', '?']).and_then(|start| rest.get(start..));
        Self {
            text: format!("http://{host}:{port}{}", path.unwrap_or_default()),
            host: kind,
            port: Some(port),
        }
    }

    fn path(&self) -> String {
        let uri = self.text.parse::<http::Uri>();
        uri.map_or_else(|_| "/".to_owned(), |uri| uri.path().to_owned())
    }
}

/// The port is taken, or the machine gives none.
#[derive(Debug, thiserror::Error)]
#[error("can't listen for {uri}: {source}")]
pub struct ListenError {
    /// The redirect URI.
    pub uri: String,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// A listener on this machine, and only there.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    /// Of the other address family, where the host is a name that stands for both.
    second: Option<TcpListener>,
    uri: LoopbackUri,
}

impl Loopback {
    /// Listens where a redirect URI leads; port 0 takes a free one.
    pub async fn bind(uri: &LoopbackUri) -> Result<Self, ListenError> {
        let failed = |source| ListenError {
            uri: uri.text.clone(),
            source,
        };
        let wanted = uri.port.unwrap_or(80);
        let address = match uri.host {
            Host::Address(address) => address,
            Host::Localhost => Ipv4Addr::LOCALHOST.into(),
        };
        let listener = TcpListener::bind((address, wanted)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let second = match uri.host {
            // A machine without the other family has no browser that takes the name for it.
            Host::Localhost => TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok(),
            Host::Address(_) => None,
        };
        let uri = match uri.port {
            Some(0) => uri.at_port(port),
            _ => uri.clone(),
        };
        Ok(Self {
            listener,
            second,
            uri,
        })
    }

    /// Where a sign-in's redirect goes.
    pub fn redirect_uri(&self) -> &LoopbackUri {
        &self.uri
    }

    async fn accept(&self) -> std::io::Result<TcpStream> {
        let second = async {
            match &self.second {
                Some(second) => second.accept().await,
                None => std::future::pending().await,
            }
        };
        let (socket, _) = tokio::select! {
            first = self.listener.accept() => first?,
            second = second => second?,
        };
        Ok(socket)
    }

    /// Waits for this sign-in's redirect, whose browser then waits for the page that says what came of it. A request that
    /// is not the answer to it (another `state`) is answered and otherwise ignored, for any page in the browser can make
    /// one; `hear` gets what it says went wrong.
    pub async fn wait(
        &self,
        sign_in: &SignIn,
        hear: &(dyn Fn(&str) + Sync),
    ) -> (Redirected, WaitingBrowser) {
        let (found, mut answers) = mpsc::channel(1);
        let mut heard = Vec::new();
        let expected = Arc::new((sign_in.clone(), self.uri.path()));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(came) = answers.recv() => match came {
                    // A page may come again and again.
                    Came::Words(words) if heard.len() < MOST_WORDS && !heard.contains(&words) => {
                        hear(&words);
                        heard.push(words);
                    }
                    Came::Words(_) => {}
                    Came::Answer(answer, page) => {
                        return (answer, WaitingBrowser { page, connections });
                    }
                },
                Ok(socket) = self.accept() => {
                    connections.spawn(serve(socket, Arc::clone(&expected), found.clone()));
                }
                Some(_) = connections.join_next(), if connections.len() > 16 => {}
            }
        }
    }
}

/// How many pages are heard that nothing vouches for.
const MOST_WORDS: usize = 5;
/// How long a request may take, before it is known whether it is the answer.
const REQUEST: Duration = Duration::from_secs(30);
/// How long a browser may take to read its page, until the listener goes away.
const READING: Duration = Duration::from_secs(1);

/// What the redirect brought.
pub type Redirected = Result<SecretString, RedirectError>;

/// The browser that brought the redirect. It shows nothing yet.
#[derive(Debug)]
pub struct WaitingBrowser {
    page: PageSlot,
    /// Ended with this: the browser's own among them.
    connections: JoinSet<()>,
}

/// Takes the page, and tells when it was sent.
#[derive(Debug)]
struct PageSlot {
    page: oneshot::Sender<SignInPage>,
    sent: oneshot::Receiver<()>,
}

impl WaitingBrowser {
    /// Shows the page, and lets it reach the browser.
    pub async fn shows(self, page: SignInPage) {
        let Self {
            page: slot,
            connections,
        } = self;
        if slot.page.send(page).is_ok() {
            let _ = tokio::time::timeout(READING, slot.sent).await;
        }
        drop(connections);
    }
}

/// What a browser brought.
enum Came {
    Answer(Redirected, PageSlot),
    /// What a page says that nothing vouches for.
    Words(String),
}

/// What a request is.
enum Judged {
    Answer(Redirected),
    /// Something else: its page, and what it says that nothing vouches for.
    Other(SignInPage, Option<String>),
}

async fn serve(socket: TcpStream, expected: Arc<(SignIn, String)>, found: mpsc::Sender<Came>) {
    // Dropped at the end of the connection.
    let (_sending, sent) = oneshot::channel();
    let (sent, known) = (Mutex::new(Some(sent)), Arc::new(Notify::new()));
    let is_known = Arc::clone(&known);
    let service =
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (sign_in, path) = &*expected;
            let judged = judge(sign_in, path, request.uri());
            let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (found, known) = (found.clone(), Arc::clone(&known));
            async move {
                known.notify_one();
                let page = answer(judged, &found, sent).await;
                Ok::<_, Infallible>(page.response())
            }
        });
    let server = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    let mut server = std::pin::pin!(server);
    // A sign-in may take its time; who sends no request is cut off.
    tokio::select! {
        _ = &mut server => return,
        () = tokio::time::sleep(REQUEST) => return,
        () = is_known.notified() => {}
    }
    let _ = server.await;
}

/// The page for a request. That for the answer comes when it is known what came of it.
async fn answer(
    judged: Judged,
    found: &mpsc::Sender<Came>,
    sent: Option<oneshot::Receiver<()>>,
) -> SignInPage {
    match (judged, sent) {
        (Judged::Answer(answer), Some(sent)) => {
            let (to, page) = oneshot::channel();
            let _ = found
                .send(Came::Answer(answer, PageSlot { page: to, sent }))
                .await;
            page.await.unwrap_or_else(|_gone| elsewhere())
        }
        (Judged::Answer(_), None) => elsewhere(),
        (Judged::Other(page, words), _) => {
            if let Some(words) = words {
                let _ = found.send(Came::Words(words)).await;
            }
            page
        }
    }
}

/// Nobody waits for this page's news any more.
fn elsewhere() -> SignInPage {
    let text = "This sign-in goes on in another tab, or was interrupted.";
    SignInPage::new(StatusCode::CONFLICT, "Not known here", text)
        .next("the terminal says what came of it")
}

fn judge(sign_in: &SignIn, path: &str, uri: &http::Uri) -> Judged {
    if uri.path() != path {
        let text = "This is authkeeper's sign-in listener.";
        let page = SignInPage::new(StatusCode::NOT_FOUND, "Nothing here", text);
        return Judged::Other(page, None);
    }
    let query = uri.query().unwrap_or_default();
    match read_answer(sign_in, query) {
        Err(RedirectError::StateMismatch) => {
            let text = "This answer belongs to another sign-in.";
            let page = SignInPage::new(StatusCode::BAD_REQUEST, "Not this sign-in", text);
            let page = page.next("start again from the terminal");
            Judged::Other(page, words(query))
        }
        answer => Judged::Answer(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_of_this_machine_is_known_in_any_spelling() {
        for (text, port, path) in [
            ("http://127.0.0.1:8976/callback", Some(8976), "/callback"),
            (
                "http://localhost:8976/oauth/done?x=1",
                Some(8976),
                "/oauth/done",
            ),
            ("http://LOCALHOST:1", Some(1), "/"),
            ("http://[::1]:8976/", Some(8976), "/"),
            ("http://127.0.0.1/callback", None, "/callback"),
            ("http://127.8.8.8:5/c", Some(5), "/c"),
        ] {
            let uri = LoopbackUri::parse(text).unwrap();
            assert_eq!(
                (uri.as_str(), uri.port(), uri.path().as_str()),
                (text, port, path)
            );
        }
        for elsewhere in [
            "https://127.0.0.1:8976/callback",
            "https://localhost:8976/callback",
            "http://localhost.example:1/callback",
            "http://10.0.0.1:1/callback",
            "https://me.example/callback",
            "com.example:/callback",
            "",
        ] {
            assert_eq!(LoopbackUri::parse(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn only_host_and_port_are_spelled_otherwise() {
        let uri = |text: &str| LoopbackUri::parse(text).unwrap();
        let usual = LoopbackUri::usual(5);
        assert_eq!(usual.as_localhost().as_str(), "http://localhost:5/callback");
        assert_eq!(
            uri("http://localhost/cb?x").at_port(7).as_str(),
            "http://localhost:7/cb?x"
        );
        assert_eq!(
            uri("http://[::1]:1/cb").at_port(7).as_str(),
            "http://[::1]:7/cb"
        );
        assert_eq!(
            uri("http://localhost").at_port(7).as_str(),
            "http://localhost:7"
        );
    }

    #[tokio::test]
    async fn every_spelling_is_listened_for() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let metadata = serde_json::from_str(r#"{"issuer":"https://as.example"}"#).unwrap();
        let seams = crate::platform::clock::Seams::system();
        for (text, to) in [
            ("http://127.0.0.1:0/callback", "127.0.0.1"),
            ("http://localhost:0/oauth/done", "127.0.0.1"),
            ("http://localhost:0/", "::1"),
            ("http://[::1]:0/a/b", "::1"),
        ] {
            let listener = Loopback::bind(&LoopbackUri::parse(text).unwrap()).await;
            let Ok(listener) = listener else {
                assert!(text.contains("::1"), "{text}");
                continue;
            };
            if to == "::1" && text.contains("localhost") && listener.second.is_none() {
                continue;
            }
            let uri = listener.redirect_uri().clone();
            assert_ne!(uri.port(), Some(0), "{text}");
            let sign_in = SignIn::begin(&seams, &metadata, uri.as_str().to_owned());
            #[expect(clippy::disallowed_methods, reason = "the test plays the browser")]
            let state = sign_in.state.expose().clone();
            let (path, port) = (uri.path(), uri.port().unwrap());
            let browser = async {
                let asked = [
                    format!("GET {path}?error=server_error&error_description=no+seat HTTP/1.1"),
                    format!("GET {path}?code=c1&state={state} HTTP/1.1"),
                ];
                let mut pages = Vec::new();
                for line in asked {
                    let mut socket = TcpStream::connect((to, port)).await.unwrap();
                    let request = format!("{line}\r\nhost: x\r\n\r\n");
                    socket.write_all(request.as_bytes()).await.unwrap();
                    let mut page = String::new();
                    socket.read_to_string(&mut page).await.unwrap();
                    pages.push(page);
                }
                pages
            };
            let heard = Mutex::new(Vec::new());
            let hear = |words: &str| heard.lock().unwrap().push(words.to_owned());
            let stored = std::sync::atomic::AtomicBool::new(false);
            let signing_in = async {
                let (code, browser) = listener.wait(&sign_in, &hear).await;
                // As long as an exchange: a page that came now would say too much.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stored.store(true, std::sync::atomic::Ordering::SeqCst);
                browser
                    .shows(SignInPage::new(StatusCode::OK, "Signed in", "all kept"))
                    .await;
                code
            };
            let browser = async {
                let pages = browser.await;
                assert!(
                    stored.load(std::sync::atomic::Ordering::SeqCst),
                    "shown too early"
                );
                pages
            };
            let (code, pages) = tokio::join!(signing_in, browser);
            assert!(pages[0].contains("Not this sign-in"), "{pages:?}");
            assert!(pages[1].contains("all kept"), "{pages:?}");
            let code = code.unwrap();
            #[expect(clippy::disallowed_methods, reason = "the test looks at it")]
            let code = code.expose().clone();
            assert_eq!(code, "c1", "{text}");
            assert_eq!(*heard.lock().unwrap(), ["server_error no seat"], "{text}");
        }
    }
}
