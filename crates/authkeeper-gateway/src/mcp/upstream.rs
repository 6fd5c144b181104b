//! The seam to the remote server. Everything about tokens happens on its far side.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use crate::{body::ResponseBody, error::CallError, wait::Waiting};

/// Carries one authorized HTTP exchange with the remote server: the token is injected and a 401 is
/// recovered inside.
///
/// The future is dropped when a client cancels a 2026-07-28 request, so a refresh it waits for has to
/// be detached from it. It bounds its own connection set-up; waiting for an answer is not bounded
/// here either, since a tool may take hours.
#[async_trait]
pub(crate) trait Upstream: Send + Sync + 'static {
    /// Says through `waiting` whenever the request waits before it is sent.
    async fn send(&self, request: UpstreamRequest, waiting: &Waiting) -> UpstreamResponse;
}

/// The server's response, or why there is none.
pub(crate) type UpstreamResponse = Result<Response<ResponseBody>, CallError>;

/// What to send. The upstream adds the URL and the `Authorization` header.
#[derive(Clone)]
pub(crate) struct UpstreamRequest {
    pub(crate) method: Method,
    /// A URL that the server named, absolute or relative to its own; by default its own.
    pub(crate) endpoint: Option<String>,
    /// Never contains `Authorization`.
    pub(crate) headers: HeaderMap,
    /// The message as the client wrote it; may be sent again as it is.
    pub(crate) body: Bytes,
    /// Sending it again after a broken connection cannot do anything twice.
    pub(crate) idempotent: bool,
    /// A 401 may mean that the server forgot the session.
    pub(crate) in_session: bool,
    /// The same for the same call made again: the JSON-RPC method and its params without `_meta`
    /// (progress tokens differ from call to call). Holds what the client wrote: hash, don't log.
    pub(crate) fingerprint: String,
}
