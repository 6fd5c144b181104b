//! The OAuth wire: one file per flow or RFC. Requests are built and answers read in pure functions; the few async
//! functions only carry them.
//!
//! Identity strings (issuer, resource, redirect URI) are compared byte for byte and never normalised.

mod answer;
pub mod assertion;
pub mod authorize;
pub mod challenge;
pub mod classify;
pub mod client_auth;
pub mod device;
pub mod discovery;
pub mod dpop;
mod error_response;
pub mod id_jag;
mod jwt;
mod legacy_discovery;
mod lifetime;
pub mod loopback;
pub(crate) mod moved;
pub mod register;
pub mod resource_error;
pub mod revoke;
pub mod token;
pub mod unrecognized_response;

use crate::{
    http::{ConnectError, ExchangeError, HttpUrl, InvalidUrl, Reach, Reply, Request, Transport},
    model::Scope,
    platform::clock::{Clock, within},
    text::sanitize::{one_line, printable},
};

/// What a refusal without a code may mean.
pub(crate) const GUESS: &str =
    "it may be a wrong client secret, a grant that is over, or a firewall's answer";

/// A server published a URL that can't be used: its mistake, and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{by} publishes a wrong {field}: {problem}")]
pub struct PublishedUrl {
    /// Which server, by its issuer or the address of its document.
    pub by: String,
    /// The name of the field.
    pub field: &'static str,
    /// What is wrong with the URL.
    pub problem: InvalidUrl,
}

/// A URL out of a field of what a server published.
fn published(by: &str, field: &'static str, url: &str) -> Result<HttpUrl, PublishedUrl> {
    HttpUrl::parse(url).map_err(|problem| PublishedUrl {
        by: one_line(by),
        field,
        problem,
    })
}

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

/// A scope as a server tells it: a person is shown it.
fn scope_told(text: &str) -> Scope {
    Scope::new(printable(text).collect::<String>())
}

/// The start of a body that was not what was asked for, fit for an error message: one line, printable, short, and only
/// when it is HTML or plain text (a JSON body may carry a secret).
pub(crate) fn body_hint(reply: &Reply) -> String {
    let kind = one_line(&reply.content_type());
    let kind = if kind.is_empty() {
        "no content type".to_owned()
    } else {
        kind
    };
    format!(
        "status {}, {kind}, {} bytes",
        reply.status.as_u16(),
        reply.body.len()
    )
}
