//! Refused requests for a protected resource.

use serde_json::json;

use super::headers::{no_store, oidc_headers};
use crate::{profile::Dialect, wire::HttpReply};

/// Why a request for a protected resource is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessDenial {
    NoToken,
    Expired,
    /// Unknown, revoked, replaced, or made for another resource.
    BadToken,
    /// The user is disabled or deleted.
    UserOut,
    Scope(&'static str),
}

/// What a `WWW-Authenticate` challenge names.
#[derive(Clone, Debug)]
pub(crate) struct ChallengeContext<'a> {
    pub(crate) base: &'a str,
    /// The metadata document (RFC 9728), if this resource has one.
    pub(crate) metadata: Option<String>,
    /// Set for the MCP server: its clients can't begin without a challenge, so a request without a token always gets one.
    pub(crate) always: bool,
}

/// The scopes in a challenge.
const WANTED: &str = "read write";

const FAST_MCP_TEXT: &str = "Authentication failed. The provided bearer token is invalid, expired, or no longer recognized by \
    the server. To resolve: clear authentication tokens in your MCP client and reconnect. Your client should automatically \
    re-register and obtain new tokens.";

pub(crate) fn deny(
    dialect: Dialect,
    denial: AccessDenial,
    challenge: &ChallengeContext<'_>,
) -> HttpReply {
    let first = challenge.always && denial == AccessDenial::NoToken;
    match dialect {
        Dialect::Django if !first => HttpReply::html(403, String::new()),
        Dialect::Glewlwyd if !first => match denial {
            AccessDenial::Scope(_) => HttpReply::empty(403),
            _ => HttpReply::empty(401),
        },
        Dialect::OidcProvider => denied_by_oidc(denial, challenge),
        Dialect::Cloudflare => denied_by_cloudflare(denial, challenge),
        _ => denied_by_fast_mcp(denial, challenge),
    }
}

fn pointer(challenge: &ChallengeContext<'_>) -> String {
    let pointer = |url: &String| format!(", resource_metadata=\"{url}\"");
    challenge.metadata.as_ref().map(pointer).unwrap_or_default()
}

fn denied_by_oidc(denial: AccessDenial, challenge: &ChallengeContext<'_>) -> HttpReply {
    let (status, error, description, scope) = match denial {
        AccessDenial::NoToken => (
            401,
            "invalid_token",
            "no access token provided".to_owned(),
            None,
        ),
        AccessDenial::Scope(scope) => (
            403,
            "insufficient_scope",
            format!("access token missing {scope} scope"),
            Some(scope),
        ),
        _ => (
            401,
            "invalid_token",
            "invalid token provided".to_owned(),
            None,
        ),
    };
    let what = match denial {
        AccessDenial::NoToken => String::new(),
        _ => format!(", error=\"{error}\", error_description=\"{description}\""),
    };
    // For a bad token it names no scope.
    let wanted = scope.or((denial == AccessDenial::NoToken).then_some(WANTED));
    let wanted = wanted.map(|scope| format!(", scope=\"{scope}\""));
    let header = format!(
        "Bearer realm=\"{}\"{what}{}{}",
        challenge.base,
        wanted.unwrap_or_default(),
        pointer(challenge)
    );
    let mut body = json!({"error": error, "error_description": description});
    if let Some(scope) = scope {
        body["scope"] = scope.into();
    }
    oidc_headers(HttpReply::json(status, &body)).with("www-authenticate", header)
}

fn denied_by_fast_mcp(denial: AccessDenial, challenge: &ChallengeContext<'_>) -> HttpReply {
    let pointer = pointer(challenge);
    let (status, error, description, scope) = match denial {
        AccessDenial::NoToken => {
            let header = format!("Bearer scope=\"{WANTED}\"{pointer}");
            return HttpReply::empty(401).with("www-authenticate", header);
        }
        AccessDenial::Scope(scope) => (
            403,
            "insufficient_scope",
            format!("Required scope: {scope}"),
            scope,
        ),
        _ => (401, "invalid_token", FAST_MCP_TEXT.to_owned(), WANTED),
    };
    let header = format!(
        "Bearer error=\"{error}\", error_description=\"{description}\", scope=\"{scope}\"{pointer}"
    );
    let body = json!({"error": error, "error_description": description});
    HttpReply::json(status, &body).with("www-authenticate", header)
}

fn denied_by_cloudflare(denial: AccessDenial, challenge: &ChallengeContext<'_>) -> HttpReply {
    let header = format!("Bearer realm=\"OAuth\"{}", pointer(challenge));
    let (status, error, description, scope) = match denial {
        AccessDenial::NoToken => {
            let header = format!("{header}, scope=\"{WANTED}\"");
            return no_store(HttpReply::empty(401).with("www-authenticate", header));
        }
        AccessDenial::Scope(scope) => (403, "insufficient_scope", "Insufficient scope", scope),
        AccessDenial::Expired => (401, "invalid_token", "Access token expired", WANTED),
        _ => (401, "invalid_token", "Invalid access token", WANTED),
    };
    let header = format!("{header}, error=\"{error}\", scope=\"{scope}\"");
    let body = json!({"error": error, "error_description": description});
    no_store(HttpReply::json(status, &body)).with("www-authenticate", header)
}
