//! HTTP for OAuth endpoints: connect, then send, then read, each a step of its own.
//!
//! A refresh must connect *before* it claims the right to spend, and must know whether the first byte left. So there is
//! no pool, no retry and no redirect: one connection serves one exchange. The size of every reply is bounded.

mod body;
mod certificate;
mod exchange;
mod message;
mod net_transport;
mod network;
mod proxy;
mod reach;
mod socket;
mod tls;
mod transport;
mod tunnel;
mod url;

pub use self::{
    certificate::{CertificateFacts, CertificateFiles, UnusableCertificate},
    message::{REPLY_LIMIT, Reply, Request, USER_AGENT},
    net_transport::NetTransport,
    network::Network,
    proxy::{Proxies, Proxy, ProxySetting, ProxySettings},
    reach::Reach,
    socket::Socket,
    tls::{ClientCertificate, TlsSettings},
    transport::{ConnectError, Exchange, ExchangeError, ProxyFailure, TlsFailure, Transport},
    url::{HttpUrl, InvalidUrl},
};

pub(crate) use self::transport::WithCertificate;

/// What TLS is spoken with.
pub type TlsConfig = rustls::ClientConfig;

#[cfg(test)]
mod wire_tests;
