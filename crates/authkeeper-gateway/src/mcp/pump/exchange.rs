//! One message of the client, from its POST to the last thing the server says about it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    link::Link,
    outcome::{EraRefusal, OwnAnswer, Undecided},
    wait_progress::telling,
};
use crate::{
    body::{ResponseBody, Unread, read_bounded, whole},
    error::{CallError, CallErrorKind},
    mcp::{
        answer::{Shape, Verdict, judge, may_pass, refusal, says_no_session, shape},
        codec::{
            era::{Era, era},
            message::{FromServer, Id, IdKey, Message},
            sse::SseEvent,
        },
        error_message,
        event_stream::{EventStream, message_of},
        response_body::{now, read_refusal},
        session::{
            headers::SESSION_ID,
            order::Gate,
            sessions::{OpenedSession, Session},
        },
        upstream::UpstreamResponse,
        version::{mismatch::VersionRefusal, protocol::HEADER_MISMATCH},
    },
    wait::Waiting,
};

/// Connections that may fail in a row while a stream is resumed.
const RESUME_ATTEMPTS: u32 = 8;
/// After the answer the server should end the stream; it gets this long, so that the connection can
/// be used again, then we do.
const AFTER_ANSWER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum ExchangePurpose {
    Client,
    /// A request of the bridge's own: its answer is not passed on.
    Own,
}

/// What an exchange needs before it can go on.
pub(super) enum Needs {
    /// It is over.
    Nothing,
    /// The list of tools, up to the one that is called.
    Tools,
    /// The whole list of tools once more: the headers do not say what the server expects.
    NewTools,
    /// A new session: the server forgot the one of this generation.
    Session { forgotten: u64 },
}

/// Why the client is not told an answer at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withheld {
    /// Headers do not say what the server expects: its tools may have changed.
    Headers,
    /// Another era may be spoken.
    Era,
}

pub(in crate::mcp) struct MessageExchange {
    link: Link,
    message: Message,
    era: Era,
    purpose: ExchangePurpose,
    /// The ids nobody has answered yet.
    waiting: Vec<Id>,
    /// Others wait until this message is through.
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
    /// It is known whether tools have to be listed first.
    tools_listed: bool,
    /// The list of tools was read again for the sake of this message.
    listed_again: bool,
    /// The headers that the server refused, and its refusal.
    refused: Option<(HeaderMap, Bytes)>,
    /// Tells when the session's stream brings the answers.
    late: Vec<oneshot::Receiver<()>>,
    /// A session was opened for the sake of the request that is sent next.
    renewed: bool,
}

impl MessageExchange {
    pub(in crate::mcp) fn new(
        link: &Link,
        message: Message,
        purpose: ExchangePurpose,
        (gate, held): (Option<Gate>, Waiting),
    ) -> Self {
        Self {
            era: era(&message, link.server.sessions.after_handshake()),
            waiting: message.awaited(),
            link: link.clone(),
            message,
            purpose,
            gate,
            held,
            session_id: None,
            opened: None,
            status: StatusCode::OK,
            answer: None,
            withheld: None,
            tools_listed: false,
            listed_again: false,
            refused: None,
            late: Vec::new(),
            renewed: false,
        }
    }

    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// Whatever happened, every id in the message gets an answer. Some: it depends on which era the server speaks.
    pub(super) async fn finish(mut self, result: Result<(), CallError>) -> Option<Box<Undecided>> {
        if let Some((Withheld::Era, answer)) = self.withheld.take() {
            let status = self.status;
            return Some(self.undecided(Some(answer), status));
        }
        let Err(failure) = result else {
            if self.message.is_notification("notifications/initialized") {
                self.link.server.sessions.complete();
            }
            return None;
        };
        if self.doubts(&failure) {
            let answer = self
                .waiting
                .first()
                .map(|id| error_message::answer(&failure, id));
            let status = failure.foreign_status().unwrap_or_default();
            return Some(self.undecided(answer, status));
        }
        self.gate = None;
        let call = self.message.call().map(|call| call.method.as_str());
        tracing::warn!(method = call, %failure, "a message was not carried through");
        for id in std::mem::take(&mut self.waiting) {
            self.link.client.refuse(&id, &failure).await;
        }
        None
    }

    fn undecided(self, answer: Option<Bytes>, status: StatusCode) -> Box<Undecided> {
        Box::new(Undecided {
            message: self.message,
            refusal: Some(EraRefusal { status, answer }),
            gate: self.gate,
        })
    }

    fn doubts(&self, failure: &CallError) -> bool {
        let Some(status) = failure.foreign_status() else {
            return false;
        };
        let refused = VersionRefusal { status, code: None };
        self.link
            .server
            .eras
            .doubts(&self.message, self.era, refused)
    }

    /// For a [`ExchangePurpose::Own`].
    pub(in crate::mcp) async fn ask(mut self) -> Result<OwnAnswer, CallError> {
        let session = if self.message.opens_session() {
            Session::default()
        } else {
            self.link.server.sessions.current()
        };
        let response = self.send(&session).await?;
        let status = response.status();
        self.receive(response).await?;
        let message = self
            .answer
            .ok_or_else(|| CallError::unusable_answer(status, None))?;
        Ok(OwnAnswer {
            message,
            status,
            opened: self.opened,
        })
    }

    /// Carries the message as far as it goes alone.
    pub(super) async fn advance(&mut self) -> Result<Needs, CallError> {
        if !std::mem::replace(&mut self.tools_listed, true)
            && self.link.server.tools.lacks(&self.message)
        {
            return Ok(Needs::Tools);
        }
        if let Some(refused) = self.refused.take()
            && !self.has_new_headers(refused).await
        {
            return Ok(Needs::Nothing);
        }
        let mut session = self.session().await;
        session.may_be_forgotten = !self.renewed && self.is_of_session(&session);
        if self.purpose == ExchangePurpose::Client && self.is_of_session(&session) {
            // Before it is sent: the answer may come before the 202.
            self.late = self.link.server.late_answers.of(&self.waiting);
        }
        let mut response = self.send(&session).await?;
        if session.may_be_forgotten {
            let is_forgotten;
            (response, is_forgotten) = self.forgotten_session(response).await?;
            if is_forgotten {
                self.renewed = true;
                let forgotten = session.generation;
                return Ok(Needs::Session { forgotten });
            }
        }
        self.renewed = false;
        self.receive(response).await?;
        match self.withheld.take() {
            Some((Withheld::Headers, refusal)) => {
                self.listed_again = true;
                self.refused = Some((self.link.server.tools.headers(&self.message), refusal));
                Ok(Needs::NewTools)
            }
            other => {
                self.withheld = other;
                Ok(Needs::Nothing)
            }
        }
    }

    /// 2026-07-28, basic/transports/streamable-http, "Client Behavior": the server did nothing but look
    /// at the headers; with those of a newer list of tools, it may take the call. Otherwise its refusal
    /// is the answer.
    async fn has_new_headers(&mut self, (before, refusal): (HeaderMap, Bytes)) -> bool {
        if self.link.server.tools.headers(&self.message) == before {
            let keys = self.message.awaited_keys();
            self.tell(refusal, &keys).await;
            return false;
        }
        tracing::info!("a tool changed; calling it again with the headers that it wants now");
        self.waiting = self.message.awaited();
        true
    }

    /// The session, once the server can be heard in it.
    async fn session(&self) -> Session {
        let session = self.link.server.sessions.current();
        if self.era == Era::Handshake && !self.message.opens_session() {
            session.heard(self.link.server.options.hearing).await;
        }
        session
    }

    async fn send(&self, session: &Session) -> UpstreamResponse {
        let (link, message) = (&self.link, &self.message);
        let posted = link.server.post(message, session, &self.held);
        telling(&link.client, message, &self.held, posted).await
    }

    fn is_of_session(&self, session: &Session) -> bool {
        self.era == Era::Handshake && session.id.is_some() && !self.message.opens_session()
    }

    /// Whether the server says that it does not know the session. It did nothing but say so, which makes it safe to send
    /// the message again: with 404 (2025-11-25, basic/transports, "Session Management" 3), with 401 before it looked at the
    /// token, or with 400 or 409 and words about a session, as older SDKs do. An answer to the message itself is no such
    /// word: the server looked at it.
    async fn forgotten_session(
        &self,
        response: Response<ResponseBody>,
    ) -> Result<(Response<ResponseBody>, bool), CallError> {
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => Ok((response, true)),
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT => {
                let (head, body) = response.into_parts();
                let body = self.read(body).await?;
                let is_answer = judge(head.status, &body, &self.waiting) == Verdict::Forward;
                let is_forgotten = !is_answer && says_no_session(&body);
                Ok((Response::from_parts(head, whole(body)), is_forgotten))
            }
            _ => Ok((response, false)),
        }
    }

    /// The session's stream brought the answers, and passed them on.
    async fn is_answered_late(&mut self) -> bool {
        let late = std::mem::take(&mut self.late);
        let are_to_come = late.len() == self.waiting.len();
        let answered = timeout(self.link.server.options.late_answer, all(late)).await;
        let came = are_to_come && answered.is_ok_and(|came| came);
        if came {
            self.waiting.clear();
        }
        came
    }

    async fn read(&self, body: ResponseBody) -> Result<Bytes, CallError> {
        let limit = self.link.server.options.max_message;
        read_bounded(body, limit)
            .await
            .map_err(|error| match error {
                Unread::Broken => CallError::broken_off(),
                Unread::TooLarge => CallError::answer_too_large(limit),
            })
    }

    async fn receive(&mut self, response: Response<ResponseBody>) -> Result<(), CallError> {
        self.session_id = response.headers().get(SESSION_ID).cloned();
        self.status = response.status();
        match shape(&response) {
            Shape::Events => self.events(response).await,
            Shape::Json if !self.waiting.is_empty() => self.json(response).await,
            Shape::Accepted if self.waiting.is_empty() => Ok(()),
            _ if self.waiting.is_empty() && response.status().is_success() => Ok(()),
            Shape::Accepted if self.is_answered_late().await => Ok(()),
            _ => Err(read_refusal(response).await),
        }
    }

    async fn json(&mut self, response: Response<ResponseBody>) -> Result<(), CallError> {
        let (head, body) = response.into_parts();
        let body = self.read(body).await?;
        match judge(head.status, &body, &self.waiting) {
            Verdict::Forward => self.pass(body).await,
            Verdict::Attribute(error) => self.attribute(&error).await,
            Verdict::Unusable => return Err(refusal(&head, &body, now())),
        }
        if self.waiting.is_empty() {
            Ok(())
        } else {
            Err(refusal(&head, &[], now()))
        }
    }

    async fn attribute(&mut self, error: &str) {
        for id in std::mem::take(&mut self.waiting) {
            let answer = error_message::attributed(id.raw(), error);
            let seen = FromServer::parse(&answer);
            self.deliver(answer, &seen.unwrap_or_default()).await;
        }
    }

    async fn events(&mut self, response: Response<ResponseBody>) -> Result<(), CallError> {
        let mut stream = EventStream::new(self.link.server.options.max_message);
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
    async fn pump(&mut self, stream: &mut EventStream) -> Result<(), CallError> {
        let limit = self.link.server.options.max_message;
        while !self.waiting.is_empty() {
            let next = stream
                .next()
                .await
                .map_err(|_too_large| CallError::answer_too_large(limit))?;
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

    async fn pass_all(&mut self, events: Vec<SseEvent>) {
        for message in events.into_iter().filter_map(message_of) {
            self.pass(message).await;
        }
    }

    /// One message of the server: notes what it answers, passes it on.
    async fn pass(&mut self, message: Bytes) {
        let Some(seen) = FromServer::parse(&message) else {
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
            self.tell(message, &seen.answers).await;
        }
    }

    async fn tell(&self, message: Bytes, answers: &[IdKey]) {
        let about = self.message.awaited();
        let about = about.first().map(Id::key);
        self.link.client.pass_on(about, message, answers).await;
    }

    /// What was asked for.
    async fn deliver(&mut self, mut answer: Bytes, seen: &FromServer) {
        if self.message.opens_session() {
            self.note_session(seen.negotiated.clone());
        }
        if self.era == Era::Stateless && self.message.is_request("tools/list") {
            answer = self.link.server.tools.learn(answer);
        }
        self.link.server.eras.observe(&self.message, self.era, seen);
        match (self.purpose, self.withholds(seen)) {
            (ExchangePurpose::Own, _) => self.answer = Some(answer),
            (ExchangePurpose::Client, Some(reason)) => self.withheld = Some((reason, answer)),
            (ExchangePurpose::Client, None) => self.tell(answer, &seen.answers).await,
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
        if self
            .link
            .server
            .eras
            .doubts(&self.message, self.era, refusal)
        {
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
        if self.purpose == ExchangePurpose::Client {
            self.link.server.sessions.begin(&opened);
        }
        self.opened = Some(opened);
    }

    /// Continues a broken stream where the server numbered its events (2025-11-25, basic/transports,
    /// "Resumability and Redelivery"). Nothing is ever sent a second time.
    async fn resume(&self, stream: &mut EventStream) -> Result<ResponseBody, CallError> {
        if self.era == Era::Stateless {
            return Err(CallError::broken_off());
        }
        let mut failed = 0;
        loop {
            let Some(last_id) = stream.last_id() else {
                return Err(CallError::broken_off());
            };
            sleep(stream.pause()).await;
            let session = self.link.server.sessions.current();
            let (link, last_id) = (&self.link, Some(last_id.as_str()));
            let asked = link.server.get(&session, last_id, &self.held);
            match resumed(telling(&link.client, &self.message, &self.held, asked).await) {
                Resumed::Stream(body) => return Ok(body),
                Resumed::TryAgain if failed < RESUME_ATTEMPTS => {
                    failed += 1;
                    stream.fruitless = stream.fruitless.saturating_add(1);
                }
                Resumed::TryAgain => return Err(CallError::broken_off()),
                Resumed::No(failure) => return Err(failure),
            }
        }
    }
}

/// Whether each of them came.
async fn all(answers: Vec<oneshot::Receiver<()>>) -> bool {
    for answer in answers {
        if answer.await.is_err() {
            return false;
        }
    }
    true
}

enum Resumed {
    Stream(ResponseBody),
    TryAgain,
    No(CallError),
}

fn resumed(result: UpstreamResponse) -> Resumed {
    match result {
        Ok(response) if shape(&response) == Shape::Events => Resumed::Stream(response.into_body()),
        Ok(response) if may_pass(response.status()) => Resumed::TryAgain,
        Ok(_) => Resumed::No(CallError::broken_off()),
        Err(error) => match error.kind {
            CallErrorKind::ProviderUnavailable
            | CallErrorKind::ServerUnreachable
            | CallErrorKind::Interrupted => Resumed::TryAgain,
            kind if kind.needs_a_person() => Resumed::No(error.after_sending()),
            _ => Resumed::No(CallError::broken_off()),
        },
    }
}
