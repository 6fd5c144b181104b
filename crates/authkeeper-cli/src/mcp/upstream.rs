//! The seam to the remote server. Everything about tokens happens on its far side.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::Value;
use tokio::sync::watch;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response body that streams.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Carries one authorized HTTP exchange with the remote server: the token is injected and a 401 is
/// recovered inside.
///
/// The future is dropped when a client cancels a 2026-07-28 request, so a refresh it waits for has to
/// be detached from it. It bounds its own connection set-up; waiting for an answer is not bounded
/// here either, since a tool may take hours.
#[async_trait]
pub(crate) trait Upstream: Send + Sync + 'static {
    async fn send(&self, request: UpstreamRequest)
    -> Result<Response<ResponseBody>, UpstreamError>;

    /// The same, and says through `waiting` whenever the request waits before it is sent.
    async fn send_telling(
        &self,
        request: UpstreamRequest,
        _waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        self.send(request).await
    }
}

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitsFor {
    /// A sentence for a person: for what, and what to do.
    pub(crate) what: Arc<str>,
    /// How long it waits at most.
    pub(crate) limit: Duration,
    /// A person has to come, which may take long: nobody waits for that whose client is gone.
    pub(crate) for_a_person: bool,
}

/// Whether a request waits now, unsent, as its carrier says and its client is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    said: Arc<watch::Sender<Option<WaitsFor>>>,
    /// How often its client was told.
    told: Arc<AtomicU32>,
}

/// While this lives the request waits for what was last said.
pub(crate) struct Held<'a>(&'a Waiting);

impl Held<'_> {
    pub(crate) fn says(&self, waits_for: WaitsFor) {
        self.0.said.send_if_modified(|said| {
            let news = said.as_ref() != Some(&waits_for);
            *said = Some(waits_for);
            news
        });
    }
}

impl Waiting {
    pub(crate) fn begin(&self) -> Held<'_> {
        Held(self)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.said.borrow().is_some()
    }

    pub(crate) fn is_for_a_person(&self) -> bool {
        let waits_for = self.said.borrow();
        waits_for.as_ref().is_some_and(|what| what.for_a_person)
    }

    /// Counts what its client is told, over all its waits: progress must only grow.
    pub(crate) fn tells(&self) -> u32 {
        self.told.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Says what another one says, for ever.
    pub(crate) async fn follow(&self, other: &Self) -> Infallible {
        let mut said = other.watch();
        while said.wait_for(Option::is_some).await.is_ok() {
            let held = self.begin();
            loop {
                let Some(waits_for) = said.borrow_and_update().clone() else {
                    break;
                };
                held.says(waits_for);
                if said.changed().await.is_err() {
                    break;
                }
            }
        }
        pending().await
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<WaitsFor>> {
        self.said.subscribe()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.said.send_replace(None);
    }
}

/// What to send. The URL and the `Authorization` header are the carrier's.
pub(crate) struct UpstreamRequest {
    pub(crate) method: Method,
    /// Never contains `Authorization`.
    pub(crate) headers: HeaderMap,
    /// The message as the client wrote it; may be sent again as it is.
    pub(crate) body: Bytes,
    /// Sending it again after a broken connection cannot do anything twice.
    pub(crate) idempotent: bool,
    /// The same for the same call made again: the JSON-RPC method and its params without `_meta`
    /// (progress tokens differ from call to call). Holds what the client wrote: hash, don't log.
    pub(crate) fingerprint: String,
}

/// Why there is no response at all. Texts are shown to the client and to its model: no secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UpstreamError {
    /// Authority is gone and nothing was sent: a person must act.
    #[error("authorization is missing: {message_for_model}")]
    Authority {
        /// Which connection, who was asked, the link. The bridge puts in front of it that nothing
        /// was done and that success must not be reported.
        message_for_model: String,
        /// An object: the record's fields (`connection`, `reason`, `action`, `link` …).
        data: Value,
    },
    /// The server refused a token fresh from the provider, so refreshing again cannot help.
    #[error("the server refuses a fresh token: {message}")]
    Rejected { message: String, data: Value },
    /// The server wants a scope that signing in again has not brought: nothing was done, other calls work.
    #[error("the server does not allow this: {message}")]
    Permission { message: String, data: Value },
    /// Provider or network: nothing was sent, try later.
    #[error("unavailable: {message}")]
    Unavailable { message: String },
    /// This bridge can't work at all, and ends.
    #[error("not started: {message}")]
    NotStarted { message: String },
    /// The request left, then the connection broke: nobody knows whether the call was carried out.
    #[error("interrupted: {message}")]
    Interrupted { message: String },
}
