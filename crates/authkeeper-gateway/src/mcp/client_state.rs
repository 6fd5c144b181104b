//! What all messages of one client share, and the HTTP requests they turn into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use tokio::sync::{Semaphore, mpsc};

use super::answer::CallFailure;
use super::bridge::BridgeOptions;
use super::exchange::{Answer, Exchange, Purpose};
use super::framing::one_line;
use super::headers;
use super::json_object::Object;
use super::message::{Call, IdKey, Kind, Message};
use super::session::{Session, Sessions};
use super::tools::Tools;
use super::upstream::{Upstream, UpstreamError, UpstreamRequest};
use super::version::{self, ServerEras, Step};
use crate::body::ResponseBody;
use crate::wait::Waiting;

/// As many pages of tools are read at most.
const PAGES: usize = 50;

/// What the bridge's loop is asked to do by what runs for it.
#[derive(Debug)]
pub(super) enum BridgeCommand {
    /// Take this message of the client's once more.
    Again(Message),
    /// Send this one.
    ToServer(Message),
    /// Send this one after a while.
    Later(Duration, Message),
    /// A session is open: listen to the server.
    Listen,
}

pub(super) struct ClientState {
    upstream: Arc<dyn Upstream>,
    out: mpsc::Sender<Bytes>,
    said: mpsc::UnboundedSender<BridgeCommand>,
    pub(super) sessions: Sessions,
    pub(super) eras: ServerEras,
    pub(super) tools: Tools,
    /// Numbers the requests of the bridge's own.
    own: AtomicU64,
    /// Requests on their way; notifications and responses need no permit, or a server waiting for an
    /// answer could never get it.
    pub(super) permits: Arc<Semaphore>,
    pub(super) options: BridgeOptions,
}

impl ClientState {
    pub(super) fn new(
        upstream: Arc<dyn Upstream>,
        out: mpsc::Sender<Bytes>,
        said: mpsc::UnboundedSender<BridgeCommand>,
        options: BridgeOptions,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(options.in_flight));
        Self {
            upstream,
            out,
            said,
            sessions: Sessions::default(),
            eras: ServerEras::knowing(options.memory.clone()),
            tools: Tools::default(),
            own: AtomicU64::new(0),
            permits,
            options,
        }
    }

    /// Hands a message of the server to the client, in the client's era. `about` is the request whose
    /// answer brought it.
    pub(super) async fn tell(&self, about: Option<&IdKey>, message: Bytes) {
        if !self.eras.translates() {
            return self.write(message).await;
        }
        // Held while the client is told: it hears things in the order in which they were decided.
        let mut translator = self.eras.translator.lock().await;
        match translator.as_mut() {
            Some(translator) => self.take(translator.hear_server(about, message)).await,
            None => self.write(message).await,
        }
    }

    /// Takes a message of the client. `Some`: it goes to the server as it is.
    pub(super) async fn interpret(&self, message: Message) -> Option<Message> {
        if !self.eras.translates() {
            return Some(message);
        }
        let mut translator = self.eras.translator.lock().await;
        let interpreted = translator.as_mut()?.hear_client(message);
        match interpreted {
            Ok(steps) => {
                self.take(steps).await;
                None
            }
            Err(in_its_own_words) => {
                *translator = None;
                self.eras.translate_no_more();
                Some(*in_its_own_words)
            }
        }
    }

    /// What the server should hear before the client is gone.
    pub(super) async fn leave(&self) {
        if let Some(translator) = self.eras.translator.lock().await.as_mut() {
            self.take(translator.leave()).await;
        }
    }

    async fn take(&self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::ToClient(message) => self.write(message).await,
                Step::ToServer(message) => self.say(BridgeCommand::ToServer(message)),
                Step::Later(wait, message) => self.say(BridgeCommand::Later(wait, message)),
            }
        }
    }

    pub(super) fn say(&self, said: BridgeCommand) {
        // An error means that the bridge has ended.
        let _ = self.said.send(said);
    }

    /// Writes a message to the client. A client that is gone needs none: the bridge notices by itself.
    pub(super) async fn write(&self, message: Bytes) {
        if self.out.send(one_line(message)).await.is_err() {
            tracing::debug!("the client is gone; a message for it was dropped");
        }
    }

    pub(super) async fn post(
        &self,
        message: &Message,
        session: &Session,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        self.post_telling(message, session, &Waiting::default())
            .await
    }

    /// The same, and says meanwhile whether it waits for a person.
    pub(super) async fn post_telling(
        &self,
        message: &Message,
        session: &Session,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let mut headers = headers::for_message(message, session);
        headers.extend(self.tools.headers(message));
        let request = UpstreamRequest {
            method: Method::POST,
            headers,
            body: message.body.clone(),
            idempotent: message.is_idempotent(),
            fingerprint: message.fingerprint(),
        };
        self.upstream.send_telling(request, waiting).await
    }

    /// Opens the session's own stream, or resumes any stream after `last_event_id`.
    pub(super) async fn get(
        &self,
        session: &Session,
        last_event_id: Option<&str>,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        self.get_telling(session, last_event_id, &Waiting::default())
            .await
    }

    /// The same, and says meanwhile whether it waits for a person.
    pub(super) async fn get_telling(
        &self,
        session: &Session,
        last_event_id: Option<&str>,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let headers = headers::for_listening(session, last_event_id);
        self.bodiless(Method::GET, headers, waiting).await
    }

    /// Says goodbye to the session, if there is one. A server may refuse (405), nothing follows from it.
    pub(super) async fn end_session(&self) {
        let session = self.sessions.current();
        if session.id.is_none() {
            return;
        }
        let ended = self
            .bodiless(
                Method::DELETE,
                headers::for_ending(&session),
                &Waiting::default(),
            )
            .await;
        let status = ended.map(|response| response.status().as_u16());
        tracing::debug!(?status, "ended the session");
    }

    async fn bodiless(
        &self,
        method: Method,
        headers: http::HeaderMap,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let fingerprint = method.to_string();
        let body = Bytes::new();
        let request = UpstreamRequest {
            method,
            headers,
            body,
            idempotent: true,
            fingerprint,
        };
        self.upstream.send_telling(request, waiting).await
    }

    /// Opens a new session in place of the one with generation `forgotten`, without the client
    /// noticing (2025-11-25, basic/transports, "Session Management" 4). One does it for all.
    pub(super) async fn renew(self: &Arc<Self>, forgotten: u64) -> Result<(), CallFailure> {
        let _turn = self.sessions.renewing.lock().await;
        if self.sessions.current().generation != forgotten {
            return Ok(());
        }
        let handshake = self.sessions.handshake();
        let Some(initialize) = handshake.initialize else {
            return Err(CallFailure::Interrupted);
        };
        tracing::info!("the server forgot the session; initializing again");
        let initialized = handshake.initialized;
        self.open(initialize, initialized, &Waiting::default())
            .await?;
        for wish in handshake.wishes {
            if let Err(failure) = self.ask(wish).await {
                tracing::warn!(%failure, "a wish of the client is not known in the new session");
            }
        }
        Ok(())
    }

    /// Opens a session; the client hears nothing of it. Returns the server's answer. `waiting` is that of the message on
    /// whose behalf it is opened.
    pub(super) async fn open(
        self: &Arc<Self>,
        initialize: Message,
        initialized: Option<Message>,
        waiting: &Waiting,
    ) -> Result<Bytes, CallFailure> {
        let answer = self.ask_for(initialize, waiting).await?;
        let opened = answer.opened.ok_or(CallFailure::Unusable {
            status: answer.status,
            content_type: None,
        })?;
        let session = Session {
            id: opened.id,
            version: opened.version,
            ..Session::default()
        };
        let initialized = initialized.unwrap_or_else(self::initialized);
        let response = self.post(&initialized, &session).await?;
        if !response.status().is_success() {
            return Err(CallFailure::unusable(&response));
        }
        self.sessions.open(session.id, session.version);
        self.sessions.complete();
        Ok(answer.message)
    }

    /// Asks the server something of the bridge's own.
    pub(super) async fn ask(self: &Arc<Self>, request: Message) -> Result<Answer, CallFailure> {
        self.ask_for(request, &Waiting::default()).await
    }

    /// The same for the sake of a message, which waits when this waits for a person.
    pub(super) async fn ask_for(
        self: &Arc<Self>,
        request: Message,
        waiting: &Waiting,
    ) -> Result<Answer, CallFailure> {
        let exchange = Exchange::new(self, request, Purpose::Own);
        exchange.telling(waiting.clone()).ask().await
    }

    /// An id for a request of the bridge's own.
    pub(super) fn own_id(&self) -> String {
        format!("authkeeper-{}", self.own.fetch_add(1, Ordering::Relaxed))
    }

    /// Reads the list of tools on behalf of `call`, `all` of it or up to the tool that is called.
    /// Whatever goes wrong is told by the call itself.
    pub(super) async fn list_tools(self: &Arc<Self>, call: &Message, all: bool) {
        let mut params = Object::default().with("_meta", &version::own_meta(call));
        for _ in 0..PAGES {
            let request = version::request(&self.own_id(), "tools/list", &params);
            let answer = match request {
                Some(request) => self.ask(request).await,
                None => return,
            };
            let next = match answer {
                Ok(answer) => {
                    version::result_of(&answer.message).and_then(|page| page.text("nextCursor"))
                }
                Err(failure) => return tracing::debug!(%failure, "the tools are not known"),
            };
            match next {
                Some(cursor) if all || self.tools.lacks(call) => params.set("cursor", &cursor),
                _ => return,
            }
        }
    }
}

/// What a client says once its session is open, should it not have come to that.
fn initialized() -> Message {
    let method = "notifications/initialized".to_owned();
    let call = Call {
        method,
        ..Call::default()
    };
    let body = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    Message {
        body,
        kind: Kind::Notification(call),
    }
}
