//! One message of the client, from its POST to the last thing the server says about it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::answer::{Failure, Shape, Verdict, attributed, judge, shape};
use super::carrier::Carrier;
use super::headers::{Era, SESSION_ID, era};
use super::message::{FromServer, Id, Message};
use super::session::{Gate, Session};
use super::sse::Event;
use super::stream::{EventStream, Unread, message_of, read_bounded};
use super::upstream::{ResponseBody, UpstreamError};

/// Connections that may fail in a row while a stream is resumed.
const RESUME_ATTEMPTS: u32 = 8;
/// After the answer the server should end the stream; it gets this long, so that the connection can
/// be used again, then we do.
const AFTER_ANSWER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    /// A session opened again behind the client's back: its answer is not passed on.
    Renewal,
}

/// What an `initialize` brought.
#[derive(Debug, Clone, Default)]
pub(super) struct Opened {
    pub(super) id: Option<HeaderValue>,
    pub(super) version: Option<HeaderValue>,
}

pub(super) struct Exchange {
    carrier: Arc<Carrier>,
    message: Message,
    era: Era,
    purpose: Purpose,
    /// The ids nobody has answered yet.
    waiting: Vec<Id>,
    gate: Option<Gate>,
    /// The session id that came with the answer to an `initialize`.
    session_id: Option<HeaderValue>,
    opened: Option<Opened>,
}

impl Exchange {
    pub(super) fn new(carrier: &Arc<Carrier>, message: Message, purpose: Purpose) -> Self {
        Self {
            era: era(&message, carrier.sessions.after_handshake()),
            waiting: message.awaited(),
            carrier: Arc::clone(carrier),
            message,
            purpose,
            gate: None,
            session_id: None,
            opened: None,
        }
    }

    /// Others wait until this message is through.
    pub(super) fn holding(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Carries the message; whatever happens, every id in it gets an answer. True: the server took it.
    pub(super) async fn run(mut self) -> bool {
        let result = self.carry().await;
        self.gate = None;
        let Err(failure) = result else { return true };
        let call = self.message.call().map(|call| call.method.as_str());
        tracing::warn!(method = call, %failure, "a message was not carried through");
        for id in std::mem::take(&mut self.waiting) {
            self.carrier.tell(failure.answer(&id)).await;
        }
        false
    }

    /// For a [`Purpose::Renewal`]: what the repeated `initialize` brought.
    pub(super) async fn reopen(mut self) -> Result<Opened, Failure> {
        let response = self
            .carrier
            .post(&self.message, &Session::default())
            .await?;
        let status = response.status();
        self.receive(response).await?;
        self.opened.ok_or(Failure::Unusable {
            status,
            content_type: None,
        })
    }

    async fn carry(&mut self) -> Result<(), Failure> {
        let session = self.carrier.sessions.current();
        let mut response = self.carrier.post(&self.message, &session).await?;
        if self.is_forgotten(&session, response.status()) {
            drop(response);
            self.carrier.renew(session.generation).await?;
            let renewed = self.carrier.sessions.current();
            response = self.carrier.post(&self.message, &renewed).await?;
        }
        self.receive(response).await
    }

    /// 2025-11-25, basic/transports, "Session Management" 3: the server did nothing but say so, which is
    /// what makes it safe to send the message again.
    fn is_forgotten(&self, session: &Session, status: StatusCode) -> bool {
        self.era == Era::Handshake
            && status == StatusCode::NOT_FOUND
            && session.id.is_some()
            && !self.message.is_request("initialize")
    }

    async fn receive(&mut self, response: Response<ResponseBody>) -> Result<(), Failure> {
        self.session_id = response.headers().get(SESSION_ID).cloned();
        match shape(&response) {
            Shape::Events => self.events(response).await,
            Shape::Json if !self.waiting.is_empty() => self.json(response).await,
            Shape::Accepted if self.waiting.is_empty() => Ok(()),
            _ if self.waiting.is_empty() && response.status().is_success() => Ok(()),
            _ => Err(Failure::unusable(&response)),
        }
    }

    async fn json(&mut self, response: Response<ResponseBody>) -> Result<(), Failure> {
        let limit = self.carrier.options.max_message;
        let unusable = Failure::unusable(&response);
        let status = response.status();
        let body =
            read_bounded(response.into_body(), limit)
                .await
                .map_err(|error| match error {
                    Unread::Broken => Failure::Interrupted,
                    Unread::TooLarge => Failure::TooLarge { limit },
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
            if self.purpose == Purpose::Client {
                self.carrier.tell(attributed(id.raw(), error)).await;
            }
        }
    }

    async fn events(&mut self, response: Response<ResponseBody>) -> Result<(), Failure> {
        let mut stream = EventStream::new(self.carrier.options.max_message);
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
    async fn pump(&mut self, stream: &mut EventStream) -> Result<(), Failure> {
        let limit = self.carrier.options.max_message;
        while !self.waiting.is_empty() {
            let next = stream
                .next()
                .await
                .map_err(|_too_large| Failure::TooLarge { limit })?;
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
        let answered = self.waiting.len() < before;
        if answered && self.message.is_request("initialize") {
            self.note_session(seen.negotiated);
        }
        if self.purpose == Purpose::Client || !answered {
            self.carrier.tell(message).await;
        }
        if self.waiting.is_empty() {
            self.gate = None;
        }
    }

    /// Before the client hears of it: its next message is already part of the session.
    fn note_session(&mut self, negotiated: Option<String>) {
        let Some(version) = negotiated else { return };
        let version = HeaderValue::try_from(version).ok();
        let opened = Opened {
            id: self.session_id.take(),
            version,
        };
        if self.purpose == Purpose::Client {
            self.carrier
                .sessions
                .open(opened.id.clone(), opened.version.clone());
        }
        self.opened = Some(opened);
    }

    /// Continues a broken stream where the server numbered its events (2025-11-25, basic/transports,
    /// "Resumability and Redelivery"). Nothing is ever sent a second time.
    async fn resume(&self, stream: &mut EventStream) -> Result<ResponseBody, Failure> {
        if self.era == Era::Stateless {
            return Err(Failure::Interrupted);
        }
        let mut failed = 0;
        loop {
            let Some(last_id) = stream.last_id() else {
                return Err(Failure::Interrupted);
            };
            sleep(stream.pause()).await;
            let session = self.carrier.sessions.current();
            match resumed(self.carrier.get(&session, Some(&last_id)).await) {
                Resumed::Stream(body) => return Ok(body),
                Resumed::TryAgain if failed < RESUME_ATTEMPTS => {
                    failed += 1;
                    stream.fruitless = stream.fruitless.saturating_add(1);
                }
                Resumed::TryAgain => return Err(Failure::Interrupted),
                Resumed::No(failure) => return Err(failure),
            }
        }
    }
}

enum Resumed {
    Stream(ResponseBody),
    TryAgain,
    No(Failure),
}

fn resumed(result: Result<Response<ResponseBody>, UpstreamError>) -> Resumed {
    match result {
        Ok(response) if shape(&response) == Shape::Events => Resumed::Stream(response.into_body()),
        Ok(response) if may_pass(response.status()) => Resumed::TryAgain,
        Ok(_) => Resumed::No(Failure::Interrupted),
        Err(UpstreamError::Unavailable { .. } | UpstreamError::Interrupted { .. }) => {
            Resumed::TryAgain
        }
        Err(UpstreamError::Authority {
            message_for_model,
            data,
        }) => Resumed::No(Failure::AuthorityLost {
            message_for_model,
            data,
        }),
        Err(
            UpstreamError::Rejected { message, data } | UpstreamError::Permission { message, data },
        ) => Resumed::No(Failure::AuthorityLost {
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
