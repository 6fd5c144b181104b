//! The real transport: TCP or a proxy, rustls, hyper.

use std::sync::Arc;

use async_trait::async_trait;
use hyper_util::rt::TokioIo;

use crate::http::{
    certificate::CertificateFiles,
    exchange::{http1, http2},
    network::Network,
    reach::Reach,
    transport::{ConnectError, Exchange, Transport},
    url::HttpUrl,
};

/// The real transport: TCP or a proxy, rustls with the platform's trust, hyper's HTTP/1.1 and HTTP/2.
#[derive(Default)]
pub struct NetTransport {
    network: Arc<Network>,
}

impl NetTransport {
    /// Without proxies, and with the platform's trust. Nothing is read from the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Over this network.
    pub fn over(network: Arc<Network>) -> Self {
        Self { network }
    }
}

impl std::fmt::Debug for NetTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetTransport")
    }
}

#[async_trait]
impl Transport for NetTransport {
    async fn connect(
        &self,
        url: &HttpUrl,
        reach: Reach,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        self.connect_with(url, reach, None).await
    }

    async fn connect_with(
        &self,
        url: &HttpUrl,
        reach: Reach,
        own: Option<&CertificateFiles>,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        let uri = url.uri();
        let socket = self.network.socket(uri, reach).await?;
        if !url.is_https() {
            return http1(uri, TokioIo::new(socket)).await;
        }
        let tls = self.network.secure(uri, own, socket).await?;
        // The server's choice of those that were offered (RFC 7301).
        if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            return http2(uri, TokioIo::new(tls)).await;
        }
        http1(uri, TokioIo::new(tls)).await
    }

    async fn reach(&self, typed: &HttpUrl) -> Reach {
        Reach::from_typed(typed).or(self.network.reach(typed.uri()).await)
    }

    fn thumbprint(&self, own: &CertificateFiles) -> Option<String> {
        own.facts().ok().map(|facts| facts.thumbprint)
    }
}
