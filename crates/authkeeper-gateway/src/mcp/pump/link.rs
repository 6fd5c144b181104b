//! What all messages of one client share, and the HTTP requests they turn into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    body::ResponseBody,
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
        upstream::{Upstream, UpstreamRequest},
        version::{server_eras::ServerEras, step::TranslatorStep},
    },
    wait::Waiting,
};

/// What the bridge's loop is asked to do by what runs for it.
#[derive(Debug)]
pub(in crate::mcp) enum BridgeCommand {
    /// Take this message of the client's once more.
    Again(Message),
    /// Send this one.
    ToServer(Message),
    /// Send this one after a while.
    Later(Duration, Message),
    /// A session is open: listen to the server.
    Listen,
}

pub(in crate::mcp) struct ClientLink {
    upstream: Arc<dyn Upstream>,
    out: mpsc::Sender<Bytes>,
    said: mpsc::UnboundedSender<BridgeCommand>,
    pub(in crate::mcp) sessions: Sessions,
    pub(in crate::mcp) eras: ServerEras,
    pub(in crate::mcp) tools: Tools,
    pub(in crate::mcp) late_answers: LateAnswers,
    pub(in crate::mcp) open_requests: OpenRequests,
    /// Numbers the requests of the bridge's own.
    own: AtomicU64,
    /// Requests on their way; notifications and responses need no permit, or a server waiting for an
    /// answer could never get it.
    pub(in crate::mcp) permits: Arc<Semaphore>,
    pub(in crate::mcp) options: BridgeOptions,
}

impl ClientLink {
    pub(in crate::mcp) fn new(
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
            eras: ServerEras::with_cache(options.memory.clone()),
            tools: Tools::default(),
            late_answers: LateAnswers::default(),
            open_requests: OpenRequests::default(),
            own: AtomicU64::new(0),
            permits,
            options,
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

    /// Hands a message of the server to the client, in the client's era. `about` is the request whose
    /// answer brought it.
    pub(in crate::mcp) async fn tell(&self, about: Option<&IdKey>, message: Bytes) {
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
    pub(in crate::mcp) async fn interpret(&self, message: Message) -> Option<Message> {
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
                self.eras.stop_translating();
                Some(*in_its_own_words)
            }
        }
    }

    /// What the server should hear before the client is gone.
    pub(in crate::mcp) async fn leave(&self) {
        if let Some(translator) = self.eras.translator.lock().await.as_mut() {
            self.take(translator.leave()).await;
        }
    }

    async fn take(&self, steps: Vec<TranslatorStep>) {
        for step in steps {
            match step {
                TranslatorStep::ToClient(message) => self.write(message).await,
                TranslatorStep::ToServer(message) => self.say(BridgeCommand::ToServer(message)),
                TranslatorStep::Later(wait, message) => {
                    self.say(BridgeCommand::Later(wait, message));
                }
            }
        }
    }

    pub(in crate::mcp) fn say(&self, said: BridgeCommand) {
        // An error means that the bridge has ended.
        let _ = self.said.send(said);
    }

    /// Writes a message to the client. A client that is gone needs none: the bridge notices by itself.
    pub(in crate::mcp) async fn write(&self, message: Bytes) {
        if self.out.send(one_line(message)).await.is_err() {
            tracing::debug!("the client is gone; a message for it was dropped");
        }
    }

    pub(in crate::mcp) async fn post(
        &self,
        message: &Message,
        session: &Session,
    ) -> Result<Response<ResponseBody>, CallError> {
        self.post_telling(message, session, &Waiting::default())
            .await
    }

    /// The same, and says meanwhile whether it waits for a person.
    pub(in crate::mcp) async fn post_telling(
        &self,
        message: &Message,
        session: &Session,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CallError> {
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
        self.upstream.send_telling(request, waiting).await
    }

    /// Opens the session's own stream, or resumes any stream after `last_event_id`.
    pub(in crate::mcp) async fn get(
        &self,
        session: &Session,
        last_event_id: Option<&str>,
    ) -> Result<Response<ResponseBody>, CallError> {
        self.get_telling(session, last_event_id, &Waiting::default())
            .await
    }

    /// The same, and says meanwhile whether it waits for a person.
    pub(in crate::mcp) async fn get_telling(
        &self,
        session: &Session,
        last_event_id: Option<&str>,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CallError> {
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
        let ended = self
            .bodiless(
                Method::DELETE,
                (headers::for_ending(&session), false),
                &Waiting::default(),
            )
            .await;
        let status = ended.map(|response| response.status().as_u16());
        tracing::debug!(?status, "ended the session");
    }

    async fn bodiless(
        &self,
        method: Method,
        (headers, in_session): (http::HeaderMap, bool),
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, CallError> {
        let fingerprint = method.to_string();
        let body = Bytes::new();
        let request = UpstreamRequest {
            endpoint: None,
            method,
            headers,
            body,
            idempotent: true,
            in_session,
            fingerprint,
        };
        self.upstream.send_telling(request, waiting).await
    }

    /// An id for a request of the bridge's own.
    pub(in crate::mcp) fn own_id(&self) -> String {
        format!("authkeeper-{}", self.own.fetch_add(1, Ordering::Relaxed))
    }
}
