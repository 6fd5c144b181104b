//! One POST to a receiver that a person has set.

use std::time::Duration;

use authkeeper::http::{ConnectError, ExchangeError, HttpUrl, Reach, Request, Transport};
use http::{HeaderMap, Method, StatusCode};

/// For connecting and for the answer, together.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why the receiver was not notified. Of its URL only the host is named: the rest may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The secret or the token can't be used.
    #[error("{0}")]
    Secret(String),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The receiver refused it.
    #[error("it answered HTTP {}, and only 2xx means that it was told", .0.as_u16())]
    Status(StatusCode),
    /// No answer in time.
    #[error("it took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// One attempt; no redirect is followed.
pub(super) async fn post(
    transport: &dyn Transport,
    url: &HttpUrl,
    headers: HeaderMap,
    body: String,
) -> Result<(), PostError> {
    let request = Request {
        method: Method::POST,
        headers,
        body: body.into(),
    };
    // A person set the URL: where it leads is their business.
    let sent = async {
        let connected = transport.connect(url, Reach::Anywhere).await?;
        Ok(connected.send(request).await?.status)
    };
    match tokio::time::timeout(PATIENCE, sent).await {
        Err(_elapsed) => Err(PostError::TimedOut(PATIENCE)),
        Ok(Err(error)) => Err(error),
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(PostError::Status(status)),
    }
}
