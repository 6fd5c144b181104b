//! Headers that several replies share.

use crate::wire::HttpReply;

/// The headers of RFC 6749 §5.1.
pub(crate) fn no_store(reply: HttpReply) -> HttpReply {
    reply
        .with("cache-control", "no-store")
        .with("pragma", "no-cache")
}

/// The headers of `oidc-provider`.
pub(crate) fn oidc_headers(reply: HttpReply) -> HttpReply {
    let reply = if reply.body.is_empty() {
        reply
    } else {
        reply.with("content-type", "application/json; charset=utf-8")
    };
    reply.with("cache-control", "no-store")
}
