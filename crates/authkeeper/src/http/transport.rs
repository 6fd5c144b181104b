//! The transport seam: traits and their errors.

use std::net::IpAddr;

use async_trait::async_trait;
use http::StatusCode;

use crate::http::{
    message::{REPLY_LIMIT, Reply, Request},
    reach::Reach,
    url::HttpUrl,
};

/// Nothing was sent: the connection could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host has no address.
    #[error("{host} can't be resolved: {detail}")]
    Resolve {
        /// Which host.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// A public server pointed at an address of an internal network.
    #[error(
        "{host} leads to {address}, an internal address that a public server must not point at"
    )]
    Internal {
        /// Which host.
        host: String,
        /// Where it led.
        address: IpAddr,
    },
    /// The host does not answer.
    #[error("{host} can't be reached: {detail}")]
    Unreachable {
        /// Which host.
        host: String,
        /// What the network said.
        detail: String,
    },
    /// The TLS handshake failed.
    #[error("no secure connection to {host}: {detail}")]
    Tls {
        /// Which host.
        host: String,
        /// What the handshake said.
        detail: String,
    },
}

/// The request may have been written, and there is no whole reply.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The connection ended before the reply did.
    #[error("the connection ended before the answer did: {0}")]
    Broken(String),
    /// The reply is larger than anything that was asked for.
    #[error("the answer is larger than {} KiB", REPLY_LIMIT / 1024)]
    TooLarge {
        /// With which status it came.
        status: StatusCode,
    },
}

/// Makes connections.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Connects (TCP, TLS) and sends nothing.
    async fn connect(&self, url: &HttpUrl, reach: Reach)
    -> Result<Box<dyn Exchange>, ConnectError>;

    /// What a URL typed by a person allows for the URLs it leads to. A transport that resolves names knows more than the
    /// URL alone tells.
    async fn reach(&self, typed: &HttpUrl) -> Reach {
        Reach::from_typed(typed)
    }
}

/// One connection, good for one request.
#[async_trait]
pub trait Exchange: Send {
    /// Writes the request and reads the reply to its end. Cancelling resets the connection.
    async fn send(self: Box<Self>, request: Request) -> Result<Reply, ExchangeError>;
}
