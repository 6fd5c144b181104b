//! One message of the client, from its POST to the last thing the server says about it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::answer::{CallFailure, Shape, Verdict, attributed, judge, shape};
use super::client_state::{BridgeCommand, ClientState};
use super::headers::{Era, SESSION_ID, era};
use super::message::{FromServer, Id, Message};
use super::response_body::{EventStream, Unread, message_of, read_bounded};
use super::session::{Gate, Session};
use super::sse::Event;
use super::upstream::UpstreamError;
use super::version::{HEADER_MISMATCH, VersionRefusal};
use super::wait_progress::telling;
use crate::body::ResponseBody;
use crate::wait::Waiting;

/// Connections that may fail in a row while a stream is resumed.
const RESUME_ATTEMPTS: u32 = 8;
/// After the answer the server should end the stream; it gets this long, so that the connection can
/// be used again, then we do.
const AFTER_ANSWER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    /// A request of the bridge's own: its answer is not passed on.
    Own,
}

/// The server's answer to a request of the bridge's own.
pub(super) struct Answer {
    pub(super) message: Bytes,
    pub(super) status: StatusCode,
    /// If it opened a session.
    pub(super) opened: Option<OpenedSession>,
}

/// How a message of the client's ended.
pub(super) enum ExchangeOutcome {
    /// The server took it, and all it said is passed on.
    Taken,
    Failed,
    /// Refused as a server of the other era would refuse it.
    SuspectedMismatch(Box<SuspectedMismatch>),
}

/// A message that may have been said in the wrong era.
pub(super) struct SuspectedMismatch {
    pub(super) message: Message,
    /// What the client is told if the era was right.
    pub(super) answer: Option<Bytes>,
    /// It was refused with.
    pub(super) status: StatusCode,
    /// Others still wait for this message.
    _gate: Option<Gate>,
}

/// Why the client is not told an answer at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withheld {
    /// Headers do not say what the server expects: its tools may have changed.
    Headers,
    /// Another era may be spoken.
    Era,
}

/// What an `initialize` brought.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenedSession {
    pub(super) id: Option<HeaderValue>,
    pub(super) version: Option<HeaderValue>,
}

pub(super) struct Exchange {
    state: Arc<ClientState>,
    message: Message,
    era: Era,
    purpose: Purpose,
    /// The ids nobody has answered yet.
    waiting: Vec<Id>,
    gate: Option<Gate>,
    /// Whether it waits, unsent, which its client is told and may end.
    held: Waiting,
    /// The session id that came with the answer to an `initialize`.
    session_id: Option<HeaderValue>,
    opened: Option<OpenedSession>,
    status: StatusCode,
    /// The answer, if it belongs to the bridge itself.
    answer: Option<Bytes>,
    withheld: Option<(Withheld, Bytes)>,
    /// The list of tools was read for the sake of this message.
    listed_again: bool,
}

impl Exchange {
    pub(super) fn new(state: &Arc<ClientState>, message: Message, purpose: Purpose) -> Self {
        Self {
            era: era(&message, state.sessions.after_handshake()),
            waiting: message.awaited(),
            state: Arc::clone(state),
            message,
            purpose,
            gate: None,
            held: Waiting::default(),
            session_id: None,
            opened: None,
            status: StatusCode::OK,
            answer: None,
            withheld: None,
            listed_again: false,
        }
    }

    /// Others wait until this message is through.
    pub(super) fn holding(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Says here whether it waits, unsent.
    pub(super) fn telling(self, held: Waiting) -> Self {
        Self { held, ..self }
    }

    /// Carries the message; whatever happens, every id in it gets an answer, or somebody is left to
    /// give one.
    pub(super) async fn run(mut self) -> ExchangeOutcome {
        let result = self.carry().await;
        if let Some((Withheld::Era, answer)) = self.withheld.take() {
            let status = self.status;
            return self.doubted(Some(answer), status);
        }
        let Err(failure) = result else {
            return ExchangeOutcome::Taken;
        };
        if self.doubts(&failure) {
            let answer = self.waiting.first().map(|id| failure.answer(id));
            let status = failure.status().unwrap_or_default();
            return self.doubted(answer, status);
        }
        self.gate = None;
        let call = self.message.call().map(|call| call.method.as_str());
        tracing::warn!(method = call, %failure, "a message was not carried through");
        for id in std::mem::take(&mut self.waiting) {
            self.state.tell(Some(id.key()), failure.answer(&id)).await;
        }
        ExchangeOutcome::Failed
    }

    fn doubted(self, answer: Option<Bytes>, status: StatusCode) -> ExchangeOutcome {
        ExchangeOutcome::SuspectedMismatch(Box::new(SuspectedMismatch {
            message: self.message,
            answer,
            status,
            _gate: self.gate,
        }))
    }

    fn doubts(&self, failure: &CallFailure) -> bool {
        let Some(status) = failure.status() else {
            return false;
        };
        let refused = VersionRefusal { status, code: None };
        self.state.eras.doubts(&self.message, self.era, refused)
    }

    /// For a [`Purpose::Own`].
    pub(super) async fn ask(mut self) -> Result<Answer, CallFailure> {
        let session = if self.message.opens_session() {
            Session::default()
        } else {
            self.state.sessions.current()
        };
        let response = self.send(&session).await?;
        let status = response.status();
        self.receive(response).await?;
        let message = self.answer.ok_or(CallFailure::Unusable {
            status,
            content_type: None,
        })?;
        Ok(Answer {
            message,
            status,
            opened: self.opened,
        })
    }

    async fn carry(&mut self) -> Result<(), CallFailure> {
        if self.state.tools.lacks(&self.message) {
            let _turn = self.state.tools.fetching.lock().await;
            if self.state.tools.lacks(&self.message) {
                self.state.list_tools(&self.message, false).await;
            }
        }
        let response = self.post().await?;
        self.receive(response).await?;
        match self.withheld.take() {
            Some((Withheld::Headers, answer)) => self.with_new_headers(answer).await,
            other => {
                self.withheld = other;
                Ok(())
            }
        }
    }

    async fn post(&self) -> Result<Response<ResponseBody>, CallFailure> {
        let session = self.session().await;
        let response = self.send(&session).await?;
        if !self.is_forgotten(&session, response.status()) {
            return Ok(response);
        }
        drop(response);
        self.state.renew(session.generation).await?;
        let renewed = self.session().await;
        Ok(self.send(&renewed).await?)
    }

    /// The session, once the server can be heard in it.
    async fn session(&self) -> Session {
        let session = self.state.sessions.current();
        if self.era == Era::Handshake && !self.message.opens_session() {
            session.heard(self.state.options.hearing).await;
        }
        session
    }

    /// 2026-07-28, basic/transports/streamable-http, "Client Behavior": the server did nothing but look
    /// at the headers; with those of a newer list of tools, it may take the call.
    async fn with_new_headers(&mut self, refusal: Bytes) -> Result<(), CallFailure> {
        self.listed_again = true;
        let before = self.state.tools.headers(&self.message);
        self.state.list_tools(&self.message, true).await;
        if self.state.tools.headers(&self.message) == before {
            let about = self.message.awaited();
            let about = about.first().map(Id::key);
            self.state.tell(about, refusal).await;
            return Ok(());
        }
        tracing::info!("a tool changed; calling it again with the headers that it wants now");
        self.waiting = self.message.awaited();
        let response = self.post().await?;
        self.receive(response).await
    }

    async fn send(&self, session: &Session) -> Result<Response<ResponseBody>, UpstreamError> {
        let (state, message) = (&self.state, &self.message);
        let posted = state.post_telling(message, session, &self.held);
        telling(state, message, &self.held, posted).await
    }

    /// 2025-11-25, basic/transports, "Session Management" 3: the server did nothing but say so, which is
    /// what makes it safe to send the message again.
    fn is_forgotten(&self, session: &Session, status: StatusCode) -> bool {
        self.era == Era::Handshake
            && status == StatusCode::NOT_FOUND
            && session.id.is_some()
            && !self.message.opens_session()
    }

    async fn receive(&mut self, response: Response<ResponseBody>) -> Result<(), CallFailure> {
        self.session_id = response.headers().get(SESSION_ID).cloned();
        self.status = response.status();
        match shape(&response) {
            Shape::Events => self.events(response).await,
            Shape::Json if !self.waiting.is_empty() => self.json(response).await,
            Shape::Accepted if self.waiting.is_empty() => Ok(()),
            _ if self.waiting.is_empty() && response.status().is_success() => Ok(()),
            _ => Err(CallFailure::unusable(&response)),
        }
    }

    async fn json(&mut self, response: Response<ResponseBody>) -> Result<(), CallFailure> {
        let limit = self.state.options.max_message;
        let unusable = CallFailure::unusable(&response);
        let status = response.status();
        let body =
            read_bounded(response.into_body(), limit)
                .await
                .map_err(|error| match error {
                    Unread::Broken => CallFailure::Interrupted,
                    Unread::TooLarge => CallFailure::TooLarge { limit },
                })?;
        let seen = std::str::from_utf8(&body).ok().and_then(FromServer::parse);
        match judge(status, seen, &self.waiting) {
            Verdict::Forward => self.pass(body).await,
            Verdict::Attribute(error) => self.attribute(&error).await,
            Verdict::Unusable => return Err(unusable),
        }
        if self.waiting.is_empty() {
            Ok(())
        } else {
            Err(unusable)
        }
    }

    async fn attribute(&mut self, error: &str) {
        for id in std::mem::take(&mut self.waiting) {
            let answer = attributed(id.raw(), error);
            let seen = std::str::from_utf8(&answer)
                .ok()
                .and_then(FromServer::parse);
            self.deliver(answer, &seen.unwrap_or_default()).await;
        }
    }

    async fn events(&mut self, response: Response<ResponseBody>) -> Result<(), CallFailure> {
        let mut stream = EventStream::new(self.state.options.max_message);
        stream.attach(response.into_body());
        loop {
            self.pump(&mut stream).await?;
            if self.waiting.is_empty() {
                // Whatever still comes is passed on; when the time is up it is no loss.
                let _ = timeout(AFTER_ANSWER, self.rest(&mut stream)).await;
                return Ok(());
            }
            let body = self.resume(&mut stream).await?;
            stream.attach(body);
        }
    }

    /// Passes events on as they arrive, until the connection ends or all is answered.
    async fn pump(&mut self, stream: &mut EventStream) -> Result<(), CallFailure> {
        let limit = self.state.options.max_message;
        while !self.waiting.is_empty() {
            let next = stream
                .next()
                .await
                .map_err(|_too_large| CallFailure::TooLarge { limit })?;
            let Some(events) = next else { break };
            self.pass_all(events).await;
        }
        Ok(())
    }

    async fn rest(&mut self, stream: &mut EventStream) {
        while let Ok(Some(events)) = stream.next().await {
            self.pass_all(events).await;
        }
    }

    async fn pass_all(&mut self, events: Vec<Event>) {
        for message in events.into_iter().filter_map(message_of) {
            self.pass(message).await;
        }
    }

    /// One message of the server: notes what it answers, passes it on.
    async fn pass(&mut self, message: Bytes) {
        let seen = std::str::from_utf8(&message)
            .ok()
            .and_then(FromServer::parse);
        let Some(seen) = seen else {
            tracing::warn!(
                bytes = message.len(),
                "dropped an event that is not a JSON-RPC message"
            );
            return;
        };
        let before = self.waiting.len();
        self.waiting.retain(|id| !seen.answers.contains(id.key()));
        if self.waiting.len() < before {
            self.deliver(message, &seen).await;
        } else {
            self.tell(message).await;
        }
    }

    async fn tell(&self, message: Bytes) {
        let about = self.message.awaited();
        let about = about.first().map(Id::key);
        self.state.tell(about, message).await;
    }

    /// What was asked for.
    async fn deliver(&mut self, mut answer: Bytes, seen: &FromServer) {
        if self.message.opens_session() {
            self.note_session(seen.negotiated.clone());
        }
        if self.era == Era::Stateless && self.message.is_request("tools/list") {
            answer = self.state.tools.learn(answer);
        }
        self.state.eras.notice(&self.message, self.era, seen);
        match (self.purpose, self.withholds(seen)) {
            (Purpose::Own, _) => self.answer = Some(answer),
            (Purpose::Client, Some(reason)) => self.withheld = Some((reason, answer)),
            (Purpose::Client, None) => self.tell(answer).await,
        }
        if self.waiting.is_empty() && self.withheld.is_none() {
            self.gate = None;
        }
    }

    fn withholds(&self, seen: &FromServer) -> Option<Withheld> {
        let code = seen.code()?;
        let refusal = VersionRefusal {
            status: self.status,
            code: Some(code),
        };
        if self.state.eras.doubts(&self.message, self.era, refusal) {
            return Some(Withheld::Era);
        }
        let calls = self.era == Era::Stateless && self.message.is_request("tools/call");
        (calls && code == HEADER_MISMATCH && !self.listed_again).then_some(Withheld::Headers)
    }

    /// Before the client hears of it: its next message is already part of the session.
    fn note_session(&mut self, negotiated: Option<String>) {
        let Some(version) = negotiated else { return };
        let version = HeaderValue::try_from(version).ok();
        let opened = OpenedSession {
            id: self.session_id.take(),
            version,
        };
        if self.purpose == Purpose::Client {
            self.state
                .sessions
                .begin(opened.id.clone(), opened.version.clone());
            self.state.say(BridgeCommand::Listen);
        }
        self.opened = Some(opened);
    }

    /// Continues a broken stream where the server numbered its events (2025-11-25, basic/transports,
    /// "Resumability and Redelivery"). Nothing is ever sent a second time.
    async fn resume(&self, stream: &mut EventStream) -> Result<ResponseBody, CallFailure> {
        if self.era == Era::Stateless {
            return Err(CallFailure::Interrupted);
        }
        let mut failed = 0;
        loop {
            let Some(last_id) = stream.last_id() else {
                return Err(CallFailure::Interrupted);
            };
            sleep(stream.pause()).await;
            let session = self.state.sessions.current();
            let (state, last_id) = (&self.state, Some(last_id.as_str()));
            let asked = state.get_telling(&session, last_id, &self.held);
            match resumed(telling(state, &self.message, &self.held, asked).await) {
                Resumed::Stream(body) => return Ok(body),
                Resumed::TryAgain if failed < RESUME_ATTEMPTS => {
                    failed += 1;
                    stream.fruitless = stream.fruitless.saturating_add(1);
                }
                Resumed::TryAgain => return Err(CallFailure::Interrupted),
                Resumed::No(failure) => return Err(failure),
            }
        }
    }
}

enum Resumed {
    Stream(ResponseBody),
    TryAgain,
    No(CallFailure),
}

fn resumed(result: Result<Response<ResponseBody>, UpstreamError>) -> Resumed {
    match result {
        Ok(response) if shape(&response) == Shape::Events => Resumed::Stream(response.into_body()),
        Ok(response) if may_pass(response.status()) => Resumed::TryAgain,
        Ok(_) | Err(UpstreamError::NotStarted { .. }) => Resumed::No(CallFailure::Interrupted),
        Err(UpstreamError::Unavailable { .. } | UpstreamError::Interrupted { .. }) => {
            Resumed::TryAgain
        }
        Err(UpstreamError::Authority {
            message_for_model,
            data,
        }) => Resumed::No(CallFailure::AuthorityLost {
            message_for_model,
            data,
        }),
        Err(
            UpstreamError::Rejected { message, data } | UpstreamError::Permission { message, data },
        ) => Resumed::No(CallFailure::AuthorityLost {
            message_for_model: message,
            data,
        }),
    }
}

/// Statuses that say nothing about the next attempt.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}
