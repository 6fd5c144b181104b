//! The specifications that the checks refer to.

use super::check::SpecReference;
use crate::revision::Revision;

const fn at(id: &'static str, url: &'static str) -> SpecReference {
    SpecReference { id, url }
}

/// Refreshing an access token.
pub(super) const REFRESHING: SpecReference = at(
    "RFC-6749-6",
    "https://www.rfc-editor.org/rfc/rfc6749.html#section-6",
);
/// `invalid_grant`.
pub(super) const INVALID_GRANT: SpecReference = at(
    "RFC-6749-5.2",
    "https://www.rfc-editor.org/rfc/rfc6749.html#section-5.2",
);
/// The whole flow, with a refresh.
pub(super) const OAUTH: SpecReference = at(
    "RFC-6749-1.5",
    "https://www.rfc-editor.org/rfc/rfc6749.html#section-1.5",
);
/// `invalid_token`.
pub(super) const INVALID_TOKEN: SpecReference = at(
    "RFC-6750-3.1",
    "https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1",
);
/// Rotation, and reuse of a refresh token.
pub(super) const ROTATION: SpecReference = at(
    "RFC-9700-4.14.2",
    "https://www.rfc-editor.org/rfc/rfc9700.html#section-4.14.2",
);
/// `resource` in token requests.
pub(super) const RESOURCE: SpecReference = at(
    "RFC-8707-2.2",
    "https://www.rfc-editor.org/rfc/rfc8707.html#section-2.2",
);
/// Requests that must not be repeated automatically.
pub(super) const IDEMPOTENT: SpecReference = at(
    "RFC-9110-9.2.2",
    "https://www.rfc-editor.org/rfc/rfc9110.html#section-9.2.2",
);
/// 503 is temporary.
pub(super) const UNAVAILABLE: SpecReference = at(
    "RFC-9110-15.6.4",
    "https://www.rfc-editor.org/rfc/rfc9110.html#section-15.6.4",
);

/// MCP's page on authorization.
pub(super) fn authorization(revision: Revision) -> SpecReference {
    match revision {
        Revision::Handshake => at(
            "MCP-Authorization",
            "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization",
        ),
        Revision::Stateless => at(
            "MCP-Authorization",
            "https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization",
        ),
    }
}

/// MCP's page on Streamable HTTP.
pub(super) fn transport(revision: Revision) -> SpecReference {
    match revision {
        Revision::Handshake => at(
            "MCP-Transports",
            "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports",
        ),
        Revision::Stateless => at(
            "MCP-Streamable-HTTP",
            "https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http",
        ),
    }
}
