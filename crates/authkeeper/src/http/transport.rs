//! The transport seam: traits and their errors.

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;

use crate::http::{
    certificate::CertificateFiles,
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
    /// A public server pointed inside.
    #[error("{host} is internal ({what}), and a public server must not point there")]
    Internal {
        /// Which host.
        host: String,
        /// Its address, or what its name says.
        what: String,
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
    #[error("no secure connection to {}: {}", .0.host, .0.detail)]
    Tls(Box<TlsFailure>),
    /// The proxy can't be used, or does not let us through.
    #[error("no way to {} through the proxy {}: {}", .0.host, .0.proxy, .0.detail)]
    Proxy(Box<ProxyFailure>),
}

/// A TLS handshake that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsFailure {
    /// Which host.
    pub host: String,
    /// What the handshake said.
    pub detail: String,
    /// What a person does about it; none if it may come about later.
    pub remedy: Option<String>,
}

/// A proxy that leads nowhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyFailure {
    /// The proxy and what names it, without user and password.
    pub proxy: String,
    /// Where to.
    pub host: String,
    /// What the proxy said, or the network.
    pub detail: String,
    /// What a person does about it; none if it may pass.
    pub remedy: Option<String>,
}

impl ConnectError {
    /// What a person has to set before a connection comes about. None where trying again may be enough.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Tls(failure) => failure.remedy.as_deref(),
            Self::Proxy(failure) => failure.remedy.as_deref(),
            _ => None,
        }
    }
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

    /// The same, and shows this client certificate to a server that asks for one. A transport without TLS shows none.
    async fn connect_with(
        &self,
        url: &HttpUrl,
        reach: Reach,
        _own: Option<&CertificateFiles>,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        self.connect(url, reach).await
    }

    /// By which a token that is bound to the certificate in these files names it (RFC 8705 §3.1); none if it is not known.
    fn thumbprint(&self, _own: &CertificateFiles) -> Option<String> {
        None
    }

    /// What a URL typed by a person allows for the URLs it leads to. A transport that resolves names knows more than the
    /// URL alone tells.
    async fn reach(&self, typed: &HttpUrl) -> Reach {
        Reach::from_typed(typed)
    }
}

/// The transport of one connection of ours: it shows that connection's client certificate.
pub(crate) struct WithCertificate {
    /// What makes the connections.
    pub(crate) transport: Arc<dyn Transport>,
    /// What they show.
    pub(crate) own: CertificateFiles,
}

#[async_trait]
impl Transport for WithCertificate {
    async fn connect(
        &self,
        url: &HttpUrl,
        reach: Reach,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        let own = Some(&self.own);
        self.transport.connect_with(url, reach, own).await
    }

    async fn reach(&self, typed: &HttpUrl) -> Reach {
        self.transport.reach(typed).await
    }
}

/// One connection, good for one request.
#[async_trait]
pub trait Exchange: Send {
    /// Writes the request and reads the reply to its end. Cancelling resets the connection.
    async fn send(self: Box<Self>, request: Request) -> Result<Reply, ExchangeError>;
}
