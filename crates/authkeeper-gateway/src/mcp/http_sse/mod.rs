//! The HTTP+SSE transport of 2024-11-05, for servers that know no other (2025-11-25, basic/transports, "Backwards
//! Compatibility"): a GET brings a stream, whose first event names a URL for POSTs; what the server says comes on the stream.
//!
//! [`HttpSse`] stands between the bridge and the server. Towards the bridge it answers as a server of Streamable HTTP:
//!
//! | the bridge sends | to the server | the bridge gets |
//! |---|---|---|
//! | `initialize` | a GET for a new stream, then a POST | a stream with the answer, and a session id of our own |
//! | another request | a POST | a stream with what the server says until it has answered |
//! | a notification, a response | a POST | 202 |
//! | a GET | nothing | a stream with what the server says while no request is open |
//! | anything after the stream broke | nothing | 404: a new `initialize` is due |
//! | a DELETE | the stream is closed | 202 |
//!
//! A server is taken for one of these when it refuses `initialize` in words that are no MCP message, and a GET at the same URL
//! brings a stream that names an endpoint. The first success of any message ends the search: other servers cost nothing.

mod detect;
mod routes;
mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Response, StatusCode};

use self::{
    detect::{Endpoint, endpoint, refuses_streamable_http},
    session::SseSession,
};
use super::{
    codec::message::Message,
    response_body::read_refusal_body,
    session::{headers, sessions::Session},
    upstream::{Upstream, UpstreamRequest, UpstreamResponse},
};
use crate::{
    body::{ResponseBody, whole},
    error::CallError,
    wait::Waiting,
};

/// An upstream whose server may speak the HTTP+SSE transport.
pub(super) struct HttpSse {
    inner: Arc<dyn Upstream>,
    /// Bytes in an event.
    max_message: usize,
    transport: Mutex<Transport>,
}

#[derive(Clone, Default)]
enum Transport {
    /// No message had success yet.
    #[default]
    Unknown,
    Streamable,
    HttpSse(Arc<SseSession>),
}

impl HttpSse {
    pub(super) fn over(inner: Arc<dyn Upstream>, max_message: usize) -> Self {
        Self {
            inner,
            max_message,
            transport: Mutex::default(),
        }
    }

    /// Sends a message while it is not known what the server speaks.
    async fn find_out(&self, request: UpstreamRequest, waiting: &Waiting) -> UpstreamResponse {
        let opening = Message::parse(request.body.clone()).ok();
        let opening = opening.filter(Message::opens_session);
        let again = request.clone();
        let response = self.inner.send(request, waiting).await?;
        if response.status().is_success() {
            *self.transport() = Transport::Streamable;
            return Ok(response);
        }
        let Some(opening) = opening else {
            return Ok(response);
        };
        let (head, body) = response.into_parts();
        let body = read_refusal_body(body).await;
        if !refuses_streamable_http(head.status, &body) {
            return Ok(Response::from_parts(head, whole(body)));
        }
        match self.open(waiting).await {
            Ok(Some(session)) => {
                tracing::info!("the server speaks the HTTP+SSE transport of 2024-11-05");
                self.initialize(&session, again, &opening, waiting).await
            }
            Ok(None) => Ok(Response::from_parts(head, whole(body))),
            Err(failure) => {
                tracing::debug!(%failure, "the server offers no event stream either");
                Ok(Response::from_parts(head, whole(body)))
            }
        }
    }

    async fn initialize(
        &self,
        session: &Arc<SseSession>,
        request: UpstreamRequest,
        message: &Message,
        waiting: &Waiting,
    ) -> UpstreamResponse {
        *self.transport() = Transport::HttpSse(Arc::clone(session));
        let mut response = self.post(session, request, message, waiting).await?;
        let headers = response.headers_mut();
        headers.insert(headers::SESSION_ID, session.id().clone());
        Ok(response)
    }

    /// A new stream, if the server names an endpoint on it.
    async fn open(&self, waiting: &Waiting) -> Result<Option<Arc<SseSession>>, CallError> {
        let request = UpstreamRequest {
            method: Method::GET,
            endpoint: None,
            headers: headers::for_listening(&Session::default(), None),
            body: Bytes::new(),
            idempotent: true,
            in_session: false,
            fingerprint: "GET".to_owned(),
        };
        let response = self.inner.send(request, waiting).await?;
        let found = endpoint(response, self.max_message).await;
        Ok(found.map(|Endpoint { url, stream }| Arc::new(SseSession::begin(url, stream))))
    }

    /// Sends a message in a session that the server opened on its stream.
    async fn send_in(
        &self,
        session: &Arc<SseSession>,
        request: UpstreamRequest,
        waiting: &Waiting,
    ) -> UpstreamResponse {
        match request.method {
            Method::DELETE => {
                session.close();
                return Ok(answer(StatusCode::ACCEPTED));
            }
            Method::GET => return Ok(session.listen().unwrap_or_else(session_is_over)),
            _ => {}
        }
        let Ok(message) = Message::parse(request.body.clone()) else {
            return self.inner.send(request, waiting).await;
        };
        if message.opens_session() {
            return self.initialize_again(request, &message, waiting).await;
        }
        if !session.is_open() || request.headers.get(headers::SESSION_ID) != Some(session.id()) {
            return Ok(session_is_over());
        }
        self.post(session, request, &message, waiting).await
    }

    /// The server may have been replaced by one that speaks Streamable HTTP.
    async fn initialize_again(
        &self,
        request: UpstreamRequest,
        message: &Message,
        waiting: &Waiting,
    ) -> UpstreamResponse {
        match self.open(waiting).await? {
            Some(session) => self.initialize(&session, request, message, waiting).await,
            None => self.find_out(request, waiting).await,
        }
    }

    async fn post(
        &self,
        session: &SseSession,
        request: UpstreamRequest,
        message: &Message,
        waiting: &Waiting,
    ) -> UpstreamResponse {
        let events = session.expect_answers(message);
        let mut request = UpstreamRequest {
            endpoint: Some(session.endpoint().to_owned()),
            // A 401 is about the token: the session is named by the URL.
            in_session: false,
            ..request
        };
        request.headers.remove(headers::SESSION_ID);
        let response = self.inner.send(request, waiting).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        Ok(events.unwrap_or_else(|| answer(StatusCode::ACCEPTED)))
    }

    fn transport(&self) -> MutexGuard<'_, Transport> {
        self.transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Upstream for HttpSse {
    async fn send(&self, request: UpstreamRequest, waiting: &Waiting) -> UpstreamResponse {
        let transport = self.transport().clone();
        match transport {
            Transport::Streamable => self.inner.send(request, waiting).await,
            Transport::Unknown => self.find_out(request, waiting).await,
            Transport::HttpSse(session) => self.send_in(&session, request, waiting).await,
        }
    }
}

fn session_is_over() -> Response<ResponseBody> {
    answer(StatusCode::NOT_FOUND)
}

fn answer(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}
