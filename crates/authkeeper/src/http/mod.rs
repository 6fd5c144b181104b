//! HTTP/1.1 for OAuth endpoints: connect, then send, then read, each a step of its own.
//!
//! A refresh must connect *before* it claims the right to spend, and must know whether the first byte left. So there is
//! no pool, no retry and no redirect: one connection serves one exchange. The size of every reply is bounded.

mod body;
mod message;
mod net_transport;
mod reach;
mod transport;
mod url;

pub use self::{
    message::{REPLY_LIMIT, Reply, Request},
    net_transport::NetTransport,
    reach::Reach,
    transport::{ConnectError, Exchange, ExchangeError, Transport},
    url::{HttpUrl, InvalidUrl},
};

#[cfg(test)]
mod wire_tests;
