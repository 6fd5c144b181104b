//! Serves a client on standard input and output.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncBufRead, AsyncWrite};

use super::{
    forward_upstream::ForwardUpstream,
    options::BridgeOptions,
    pump::{life::serve_upstream, outcome::BridgeError},
    upstream::{Upstream, UpstreamRequest, UpstreamResponse},
};
use crate::{
    error::{CallError, CallErrorKind},
    wait::Waiting,
};

/// Serves one client until it closes `input`, then finishes what is under way within
/// [`BridgeOptions::drain`], ends the session and returns.
pub async fn serve<R, W>(
    upstream: ForwardUpstream,
    input: R,
    output: W,
    options: BridgeOptions,
) -> Result<(), BridgeError>
where
    R: AsyncBufRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    serve_upstream(Arc::new(upstream), input, output, options).await
}

/// Serves one client that can't be served: each of its requests is answered with `message`, which says why and what a
/// person must do.
pub async fn refuse<R, W>(message: String, input: R, output: W) -> Result<(), BridgeError>
where
    R: AsyncBufRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let refusing = Arc::new(Refusing(message));
    serve_upstream(refusing, input, output, BridgeOptions::default()).await
}

struct Refusing(String);

#[async_trait]
impl Upstream for Refusing {
    async fn send(&self, _request: UpstreamRequest, _waiting: &Waiting) -> UpstreamResponse {
        Err(CallError::new(CallErrorKind::NotStarted, self.0.as_str()))
    }
}
