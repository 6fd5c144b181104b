//! The sign-in link server: a listener on loopback whose one address is the link that a person gets. A click begins a
//! sign-in and redirects the browser to the provider; the provider's redirect comes back to a listener of the library.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    http::HttpUrl,
    model::{ConnectionName, Moment},
    oauth::{authorize::RedirectError, sign_in_page::SignInPage},
    platform::clock::Seams,
    runtime::Runtime,
    secret::SecretString,
    signin::{Again, ConnectError, PromptAction, Prompter, SignInPrompt},
};
use axum::{
    Router,
    extract::{Request, State},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use tokio::sync::{Mutex, oneshot};

use super::{
    extra::extra_parameters,
    leader::LinkAddress,
    policy::{is_device_sign_in, is_resolved_by_sign_in},
    poll::{is_over, until},
};
use crate::{
    lifecycle::{Lifecycle, Scope},
    listener::{self, Limits, Listeners},
    report::Report,
};

/// How long one click's sign-in may take.
const PATIENCE: Duration = Duration::from_mins(15);
/// How long a browser may take to be shown what came of its sign-in.
const SHOWING: Duration = Duration::from_secs(2);
/// How soon a provider that gave no code is asked again.
const ASK_AGAIN: Duration = Duration::from_mins(1);

type HtmlPage = Response<Full<Bytes>>;

/// Browsers open a few connections ahead; nobody needs more. The head has the cookies of all servers on loopback.
const LIMITS: Limits = Limits {
    head_time: Duration::from_secs(10),
    head_size: 408 * 1024,
    kept_body: 0,
    connections: 16,
    keep_alive: false,
};

pub(super) struct LinkServer {
    lifecycle: Lifecycle,
    runtime: Runtime,
    report: Report,
    connection: ConnectionName,
    address: LinkAddress,
    /// The sign-in of the last click. The next one ends it: both would want the port that the redirect comes back to.
    sign_in: Mutex<Scope>,
    device: Mutex<Device>,
}

/// What is known of the sign-in on another device.
#[derive(Default)]
struct Device {
    /// While it goes on.
    link: Option<String>,
    /// A provider that gave none is asked again later.
    asked: Option<Moment>,
}

impl LinkServer {
    /// At the address of the server before it, if that is free, so that a link already sent stays good.
    pub(super) async fn open(
        lifecycle: &Lifecycle,
        (runtime, report): (Runtime, Report),
        connection: ConnectionName,
        before: Option<LinkAddress>,
        random: impl Fn() -> String + Send,
    ) -> std::io::Result<(Listeners, Arc<Self>, LinkAddress)> {
        let again = match &before {
            Some(address) => Listeners::ipv4(address.port).await.ok(),
            None => None,
        };
        let (listeners, id) = match (again, before) {
            (Some(listeners), Some(address)) => (listeners, address.id),
            _ => (Listeners::ipv4(0).await?, random()),
        };
        let address = LinkAddress {
            port: listeners.port(),
            id,
            elsewhere: None,
        };
        let server = Self {
            lifecycle: lifecycle.clone(),
            runtime,
            report,
            connection,
            address: address.clone(),
            sign_in: Mutex::new(lifecycle.scope()),
            device: Mutex::default(),
        };
        Ok((listeners, Arc::new(server), address))
    }
}

/// Answers requests until the soft stop.
pub(super) fn serve(listeners: Listeners, server: Arc<LinkServer>) {
    let lifecycle = server.lifecycle.clone();
    let router = Router::new().fallback(answer).with_state(server);
    listener::serve(listeners, router, LIMITS, &lifecycle);
}

async fn answer(State(server): State<Arc<LinkServer>>, request: Request) -> HtmlPage {
    server.answer(&request.into_parts().0).await
}

/// Access control. Another `Host` is a page elsewhere whose name was made to point here (DNS rebinding), and a prefetch
/// (Fetch Metadata, `Sec-Purpose`) is no click.
fn admit(head: &Parts, address: &LinkAddress) -> Result<(), StatusCode> {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    let ours = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", address.port));
    if !ours.iter().any(|name| name == host) {
        return Err(StatusCode::FORBIDDEN);
    }
    if head.uri.path().strip_prefix('/') != Some(address.id.as_str()) {
        return Err(StatusCode::NOT_FOUND);
    }
    if head.method != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    if text("sec-purpose").is_some_and(|purpose| purpose.starts_with("prefetch")) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(())
}

impl LinkServer {
    async fn answer(&self, head: &Parts) -> HtmlPage {
        if let Err(status) = admit(head, &self.address) {
            let text = "This is authkeeper's sign-in link.";
            return SignInPage::new(status, "Nothing here", text).response();
        }
        let status = self.runtime.status(&self.connection).await;
        let url = status.as_ref().ok();
        let url = url.map(|status| status.connection.url.clone());
        let about = |page: SignInPage| {
            let page = page.with("Connection", self.connection.as_str());
            match &url {
                Some(url) => page.with("Server", url),
                None => page,
            }
        };
        if status.is_ok_and(|status| is_over(&status, is_resolved_by_sign_in)) {
            let text = format!("{} is connected: there is nothing to do.", self.connection);
            return about(SignInPage::new(StatusCode::OK, "Signed in", text)).response();
        }
        match self.begin().await {
            Ok(Destination::Done) => {
                let text = format!("{} is connected. You can close this page.", self.connection);
                about(SignInPage::new(StatusCode::OK, "Signed in", text)).response()
            }
            Ok(Destination::On(url)) => sent_on(&url),
            Ok(Destination::Device {
                complete: Some(url),
                ..
            }) => sent_on(&url.into()),
            Ok(Destination::Device { code, at, .. }) => {
                let text = format!("Open {at} and enter the code {code}.");
                about(SignInPage::new(StatusCode::OK, "Enter a code", text)).response()
            }
            Ok(Destination::Terminal) => {
                let why = "this sign-in ends with a pasted address";
                about(self.not_begun(why)).response()
            }
            Err(why) => about(self.not_begun(&why)).response(),
        }
    }

    fn not_begun(&self, why: &str) -> SignInPage {
        let text = format!("No sign-in was begun: {why}.");
        SignInPage::new(StatusCode::BAD_GATEWAY, "Not signed in", text)
            .next(another_try(&self.connection))
    }

    /// The provider's own link, good on any device, for a connection that was signed in with a device code: its sign-in is
    /// started, and started again when the code has expired. None for other connections.
    pub(super) async fn device_link(&self) -> Option<String> {
        let status = self.runtime.status(&self.connection).await.ok()?;
        if !is_device_sign_in(status.grant_type) {
            return None;
        }
        let mut device = self.device.lock().await;
        if self.is_signing_in().await && device.link.is_some() {
            return device.link.clone();
        }
        let now = Seams::system().clock.now();
        let since = device.asked.and_then(|asked| now.boot_since(asked));
        if since.is_some_and(|since| since < ASK_AGAIN) {
            return None;
        }
        device.asked = Some(now);
        device.link = match self.begin().await {
            Ok(Destination::Device { complete, at, .. }) => complete.or(Some(at)),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(error, "the provider gives no code for another device");
                None
            }
        };
        device.link.clone()
    }

    async fn is_signing_in(&self) -> bool {
        self.sign_in.lock().await.tasks() > 0
    }

    /// Begins a sign-in in the place of the one before it.
    async fn begin(&self) -> Result<Destination, String> {
        let mut sign_in = self.sign_in.lock().await;
        sign_in.end(Duration::ZERO).await;
        *sign_in = self.lifecycle.scope();
        let (visitor, answered) = Visitor::new(&self.connection);
        let (runtime, name) = (self.runtime.clone(), self.connection.clone());
        let report = self.report.clone();
        sign_in.spawn(async move {
            let done = tokio::select! {
                done = Box::pin(signed_in(&runtime, &name, &visitor)) => done,
                // Signed in another way: the sign-in begun here must not time out later, which would count against our client.
                () = signed_in_elsewhere(&runtime, &name) => Ok(()),
            };
            if let Some(why) = visitor.ends(done) {
                report.line(&format!(
                    "authkeeper: nobody is signed in to {name}: {why}; open the link again"
                ));
            }
        });
        answered
            .await
            .unwrap_or_else(|_gone| Err("it ended".to_owned()))
    }
}

/// Waits until the connection works again. Where that is the work of the sign-in begun here, its browser is shown the page
/// first.
async fn signed_in_elsewhere(runtime: &Runtime, name: &ConnectionName) {
    until(runtime, name, |status| {
        is_over(status, is_resolved_by_sign_in)
    })
    .await;
    Seams::system().clock.sleep(SHOWING).await;
}

async fn signed_in(
    runtime: &Runtime,
    name: &ConnectionName,
    visitor: &Visitor,
) -> Result<(), String> {
    let mut again = Again::new(PATIENCE);
    again.extra = extra_parameters(runtime, name)
        .await
        .map_err(|error| error.to_string())?;
    let done = runtime.reauthorize(name, again, visitor).await;
    done.map(drop).map_err(|error| error.to_string())
}

/// Where the browser goes.
#[derive(Debug)]
enum Destination {
    On(SecretString),
    /// To another device, or another tab, with this.
    Device {
        code: String,
        at: String,
        /// The place with the code in it.
        complete: Option<String>,
    },
    /// Only a terminal can take what comes of it.
    Terminal,
    /// Nowhere: nobody had to be asked.
    Done,
}

/// What a person does whose sign-in came to nothing.
fn another_try(connection: &ConnectionName) -> String {
    format!("open the link again, or run in a terminal: authkeeper reauthorize {connection}")
}

/// The person behind the browser. They paste nothing.
struct Visitor {
    connection: ConnectionName,
    waiting: std::sync::Mutex<Option<oneshot::Sender<Result<Destination, String>>>>,
}

impl Visitor {
    fn new(connection: &ConnectionName) -> (Self, oneshot::Receiver<Result<Destination, String>>) {
        let (sender, receiver) = oneshot::channel();
        let visitor = Self {
            connection: connection.clone(),
            waiting: std::sync::Mutex::new(Some(sender)),
        };
        (visitor, receiver)
    }

    /// False if the browser has been answered before.
    fn answer(&self, answer: Result<Destination, String>) -> bool {
        let mut waiting = self
            .waiting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        waiting.take().is_some_and(|to| to.send(answer).is_ok())
    }

    /// Why it came to nothing, if the browser was answered before.
    fn ends(&self, done: Result<(), String>) -> Option<String> {
        match done {
            Ok(()) => {
                self.answer(Ok(Destination::Done));
                None
            }
            Err(why) => (!self.answer(Err(why.clone()))).then_some(why),
        }
    }
}

#[async_trait]
impl Prompter for Visitor {
    fn invite(&self, invitation: &SignInPrompt) {
        let place = match &invitation.task {
            PromptAction::Open(url) => Destination::On(url.clone()),
            PromptAction::Enter {
                user_code,
                verification_uri,
                verification_uri_complete,
            } => {
                let complete = verification_uri_complete.clone();
                Destination::Device {
                    code: user_code.clone(),
                    at: verification_uri.clone(),
                    complete: complete.filter(|url| HttpUrl::parse(url).is_ok()),
                }
            }
            _ => Destination::Terminal,
        };
        self.answer(Ok(place));
    }

    async fn paste(&self) -> Option<SecretString> {
        None
    }

    fn paste_again(&self, _why: &RedirectError) {}

    fn next_step(&self, _error: &ConnectError) -> Option<String> {
        Some(another_try(&self.connection))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the browser that clicked is sent to the provider, and nobody else is told"
)]
fn sent_on(url: &SecretString) -> HtmlPage {
    let Ok(location) = HeaderValue::try_from(url.expose().as_str()) else {
        let text = "The provider's address can't be opened.";
        return SignInPage::new(StatusCode::BAD_GATEWAY, "Not signed in", text).response();
    };
    let page = SignInPage::new(StatusCode::SEE_OTHER, "Going on", "To the provider.");
    let mut response = page.response();
    response.headers_mut().insert(header::LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(method: &str, path: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let address = LinkAddress {
            port: 4242,
            id: "a1b2".to_owned(),
            elsewhere: None,
        };
        admit(&head, &address).err().map(|status| status.as_u16())
    }

    #[test]
    fn only_a_click_on_this_machine_is_answered() {
        let here = ("host", "127.0.0.1:4242");
        assert_eq!(admitted("GET", "/a1b2", &[here]), None);
        assert_eq!(admitted("GET", "/a1b2?from=mail", &[here]), None);
        assert_eq!(
            admitted("GET", "/a1b2", &[("host", "localhost:4242")]),
            None
        );
        for (method, path, headers, status) in [
            ("GET", "/a1b2", vec![("host", "evil.example:4242")], 403),
            ("GET", "/a1b2", vec![("host", "127.0.0.1:1")], 403),
            ("GET", "/a1b2", vec![], 403),
            ("GET", "/", vec![here], 404),
            ("GET", "/a1b2/", vec![here], 404),
            ("POST", "/a1b2", vec![here], 405),
            ("HEAD", "/a1b2", vec![here], 405),
            (
                "GET",
                "/a1b2",
                vec![here, ("sec-purpose", "prefetch;prerender")],
                503,
            ),
        ] {
            let got = admitted(method, path, &headers);
            assert_eq!(got, Some(status), "{method} {path} {headers:?}");
        }
    }

    #[tokio::test]
    async fn a_sign_in_that_asks_nobody_is_done() {
        let name = ConnectionName::parse("x").unwrap();
        let (visitor, answered) = Visitor::new(&name);
        assert_eq!(visitor.ends(Ok(())), None);
        assert!(matches!(answered.await, Ok(Ok(Destination::Done))));
        let failed = || Err("no".to_owned());
        let (visitor, answered) = Visitor::new(&name);
        assert_eq!(visitor.ends(failed()), None);
        assert!(matches!(answered.await, Ok(Err(_))), "the browser is told");
        let (visitor, _answered) = Visitor::new(&name);
        visitor.answer(Ok(Destination::Terminal));
        assert_eq!(visitor.ends(failed()).as_deref(), Some("no"));
    }
}
