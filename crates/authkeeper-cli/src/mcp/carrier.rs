//! What all messages of one client share, and the HTTP requests they turn into.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use tokio::sync::{Semaphore, mpsc};

use super::answer::Failure;
use super::bridge::Options;
use super::exchange::{Exchange, Purpose};
use super::framing::one_line;
use super::headers;
use super::message::{Call, Kind, Message};
use super::session::{Session, Sessions};
use super::upstream::{ResponseBody, Upstream, UpstreamError, UpstreamRequest, Waiting};

pub(super) struct Carrier {
    upstream: Arc<dyn Upstream>,
    out: mpsc::Sender<Bytes>,
    pub(super) sessions: Sessions,
    /// Requests on their way; notifications and responses need no permit, or a server waiting for an
    /// answer could never get it.
    pub(super) permits: Arc<Semaphore>,
    pub(super) options: Options,
}

impl Carrier {
    pub(super) fn new(
        upstream: Arc<dyn Upstream>,
        out: mpsc::Sender<Bytes>,
        options: Options,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(options.in_flight));
        Self {
            upstream,
            out,
            sessions: Sessions::default(),
            permits,
            options,
        }
    }

    /// Hands a message to the client. A client that is gone needs none: the bridge notices by itself.
    pub(super) async fn tell(&self, message: Bytes) {
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
        let request = UpstreamRequest {
            method: Method::POST,
            headers: headers::for_message(message, session),
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
    pub(super) async fn renew(self: &Arc<Self>, forgotten: u64) -> Result<(), Failure> {
        let _turn = self.sessions.renewing.lock().await;
        if self.sessions.current().generation != forgotten {
            return Ok(());
        }
        let handshake = self.sessions.handshake();
        let Some(initialize) = handshake.initialize else {
            return Err(Failure::Interrupted);
        };
        tracing::info!("the server forgot the session; initializing again");
        let opened = Exchange::new(self, initialize, Purpose::Renewal)
            .reopen()
            .await?;
        let session = Session {
            id: opened.id,
            version: opened.version,
            generation: 0,
        };
        let initialized = handshake.initialized.unwrap_or_else(initialized);
        let response = self.post(&initialized, &session).await?;
        if !response.status().is_success() {
            return Err(Failure::unusable(&response));
        }
        self.sessions.open(session.id, session.version);
        Ok(())
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
