//! The seam to the remote server. Everything about tokens happens on its far side.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use serde_json::Value;

use crate::{body::ResponseBody, wait::Waiting};

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

/// What to send. The upstream adds the URL and the `Authorization` header.
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
