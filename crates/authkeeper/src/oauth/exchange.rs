//! Plain requests: metadata, registration, revocation. Their loss does no harm.

use crate::{
    http::{ConnectError, ExchangeError, HttpUrl, Reach, Reply, Request, Transport},
    oauth::{assertion, dpop},
    platform::clock::{Clock, within},
};

/// What can go wrong in a plain request to a server, before its answer is judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No whole answer.
    #[error("{url}: {source}")]
    Exchange {
        /// Where.
        url: String,
        /// What happened.
        source: ExchangeError,
    },
    /// The key that tokens are bound to can't be used.
    #[error(transparent)]
    Key(#[from] dpop::UnusableKey),
    /// Our client can't prove itself.
    #[error(transparent)]
    Assertion(#[from] assertion::AssertionError),
    /// No answer in time.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// Where.
        url: String,
        /// After how long.
        seconds: u64,
    },
}

const PLAIN_REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// One request whose loss does no harm: metadata, registration, revocation.
pub(crate) async fn exchange(
    transport: &dyn Transport,
    url: &HttpUrl,
    reach: Reach,
    request: Request,
) -> Result<Reply, WireError> {
    tokio::time::timeout(PLAIN_REQUEST_TIMEOUT, whole(transport, url, reach, request))
        .await
        .map_err(|_elapsed| no_answer(url))?
}

/// The same by a clock that was handed in.
pub(crate) async fn exchange_by(
    clock: &dyn Clock,
    transport: &dyn Transport,
    (url, reach): (&HttpUrl, Reach),
    request: Request,
) -> Result<Reply, WireError> {
    within(
        clock,
        PLAIN_REQUEST_TIMEOUT,
        whole(transport, url, reach, request),
    )
    .await
    .ok_or_else(|| no_answer(url))?
}

async fn whole(
    transport: &dyn Transport,
    url: &HttpUrl,
    reach: Reach,
    request: Request,
) -> Result<Reply, WireError> {
    let connection = transport.connect(url, reach).await?;
    let broken = |source| WireError::Exchange {
        url: url.as_str().to_owned(),
        source,
    };
    connection.send(request).await.map_err(broken)
}

fn no_answer(url: &HttpUrl) -> WireError {
    WireError::Timeout {
        url: url.as_str().to_owned(),
        seconds: PLAIN_REQUEST_TIMEOUT.as_secs(),
    }
}
