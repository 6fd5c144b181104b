//! The two ends of the bridge, as the tasks of a session hold them: HTTP requests to the server, lines to the client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    error::CallError,
    mcp::{
        codec::{
            framing::one_line,
            message::{Id, IdKey, Message},
        },
        error_message,
        options::BridgeOptions,
        session::{
            headers,
            late_answers::LateAnswers,
            open_requests::OpenRequests,
            sessions::{Session, Sessions},
            tools::Tools,
        },
        upstream::{Upstream, UpstreamRequest, UpstreamResponse},
        version::server_eras::ServerEras,
    },
    wait::Waiting,
};

/// Both ends. The way to the client is that of the phase in which a task was started, for as long as the task runs.
#[derive(Clone)]
pub(in crate::mcp) struct Link {
    pub(in crate::mcp) server: Arc<ServerEnd>,
    pub(in crate::mcp) client: ClientEnd,
}

/// What is known of the server, and the HTTP requests to it.
pub(in crate::mcp) struct ServerEnd {
    upstream: Arc<dyn Upstream>,
    pub(in crate::mcp) sessions: Sessions,
    pub(in crate::mcp) eras: ServerEras,
    pub(in crate::mcp) tools: Tools,
    pub(in crate::mcp) late_answers: LateAnswers,
    /// A translator stands between.
    is_translated: AtomicBool,
    /// Numbers the requests of the bridge's own.
    own: AtomicU64,
    /// Requests on their way; notifications and responses need no permit, or a server waiting for an
    /// answer could never get it.
    pub(in crate::mcp) permits: Arc<Semaphore>,
    pub(in crate::mcp) options: BridgeOptions,
}

/// The way to the client for what the server says.
#[derive(Clone)]
pub(in crate::mcp) struct ClientEnd {
    pub(in crate::mcp) open_requests: Arc<OpenRequests>,
    lines: mpsc::Sender<Bytes>,
    translator: Option<mpsc::Sender<ServerMessage>>,
}

/// What the server said, for the translator.
#[derive(Debug)]
pub(in crate::mcp) struct ServerMessage {
    /// The request whose answer brought it.
    pub(in crate::mcp) about: Option<IdKey>,
    pub(in crate::mcp) message: Bytes,
}

impl Link {
    /// A translator stands between by now, which this link does not lead through.
    pub(in crate::mcp) fn is_outdated(&self) -> bool {
        self.client.translator.is_none() && self.server.is_translated.load(Ordering::Relaxed)
    }
}

impl ClientEnd {
    pub(in crate::mcp) fn new(lines: mpsc::Sender<Bytes>) -> Self {
        Self {
            open_requests: Arc::default(),
            lines,
            translator: None,
        }
    }

    /// The same client, behind a translator.
    pub(in crate::mcp) fn behind(&self, translator: mpsc::Sender<ServerMessage>) -> Self {
        Self {
            translator: Some(translator),
            ..self.clone()
        }
    }

    /// Hands a message of the server to the client, as [`Self::tell`] does. An answer to requests that all are answered
    /// already, or were cancelled, is dropped.
    pub(in crate::mcp) async fn pass_on(
        &self,
        about: Option<&IdKey>,
        message: Bytes,
        answers: &[IdKey],
    ) {
        if answers.is_empty() || self.open_requests.take(answers) {
            self.tell(about, message).await;
        } else {
            tracing::debug!("dropped an answer that nobody waits for");
        }
    }

    /// The error in the place of an answer.
    pub(in crate::mcp) async fn refuse(&self, id: &Id, failure: &CallError) {
        let key = id.key();
        let answer = error_message::answer(failure, id);
        self.pass_on(Some(key), answer, std::slice::from_ref(key))
            .await;
    }

    /// Hands a message of the server to the client. `about` is the request whose answer brought it.
    pub(in crate::mcp) async fn tell(&self, about: Option<&IdKey>, message: Bytes) {
        let Some(translator) = &self.translator else {
            return self.write(message).await;
        };
        let about = about.cloned();
        // An error means that the bridge has ended.
        let _ = translator.send(ServerMessage { about, message }).await;
    }

    /// Writes a message to the client. A client that is gone needs none: the bridge notices by itself.
    pub(in crate::mcp) async fn write(&self, message: Bytes) {
        if self.lines.send(one_line(message)).await.is_err() {
            tracing::debug!("the client is gone; a message for it was dropped");
        }
    }
}

impl ServerEnd {
    pub(in crate::mcp) fn new(upstream: Arc<dyn Upstream>, options: BridgeOptions) -> Self {
        Self {
            upstream,
            sessions: Sessions::default(),
            eras: ServerEras::default(),
            tools: Tools::default(),
            late_answers: LateAnswers::default(),
            is_translated: AtomicBool::new(false),
            own: AtomicU64::new(0),
            permits: Arc::new(Semaphore::new(options.in_flight)),
            options,
        }
    }

    /// Sends a message, and says meanwhile whether it waits for a person.
    pub(in crate::mcp) async fn post(
        &self,
        message: &Message,
        session: &Session,
        waiting: &Waiting,
    ) -> UpstreamResponse {
        let mut headers = headers::for_message(message, session);
        headers.extend(self.tools.headers(message));
        let request = UpstreamRequest {
            endpoint: None,
            method: Method::POST,
            headers,
            body: message.body.clone(),
            idempotent: message.is_idempotent(),
            in_session: session.id.is_some() && session.may_be_forgotten,
            fingerprint: message.fingerprint(),
        };
        self.upstream.send(request, waiting).await
    }

    /// Opens the session's own stream, or resumes any stream after `last_event_id`.
    pub(in crate::mcp) async fn get(
        &self,
        session: &Session,
        last_event_id: Option<&str>,
        waiting: &Waiting,
    ) -> UpstreamResponse {
        let headers = headers::for_listening(session, last_event_id);
        let in_session = session.id.is_some() && session.may_be_forgotten;
        self.bodiless(Method::GET, (headers, in_session), waiting)
            .await
    }

    /// Says goodbye to the session, if there is one. A server may refuse (405), nothing follows from it.
    pub(in crate::mcp) async fn end_session(&self) {
        let session = self.sessions.current();
        if session.id.is_none() {
            return;
        }
        let headers = (headers::for_ending(&session), false);
        let waiting = Waiting::default();
        let ended = self.bodiless(Method::DELETE, headers, &waiting).await;
        let status = ended.map(|response| response.status().as_u16());
        tracing::debug!(?status, "ended the session");
    }

    async fn bodiless(
        &self,
        method: Method,
        (headers, in_session): (HeaderMap, bool),
        waiting: &Waiting,
    ) -> UpstreamResponse {
        let request = UpstreamRequest {
            endpoint: None,
            fingerprint: method.to_string(),
            method,
            headers,
            body: Bytes::new(),
            idempotent: true,
            in_session,
        };
        self.upstream.send(request, waiting).await
    }

    /// An id for a request of the bridge's own.
    pub(in crate::mcp) fn own_id(&self) -> String {
        format!("authkeeper-{}", self.own.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a translator stands between from now on.
    pub(in crate::mcp) fn set_translated(&self, is_translated: bool) {
        self.is_translated.store(is_translated, Ordering::Relaxed);
    }
}
