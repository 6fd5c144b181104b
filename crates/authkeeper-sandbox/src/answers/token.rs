//! Refused token requests.

use std::borrow::Cow;

use serde_json::json;

use super::headers::{no_store, oidc_headers};
use crate::{profile::Dialect, wire::HttpReply};

/// Why a token request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenEndpointRefusal {
    Missing(&'static str),
    GrantTypeMissing,
    GrantTypeUnknown(String),
    GrantTypeForbidden,
    NoClient,
    UnknownClient,
    /// The secret is wrong; `basic` says that it came in the `Authorization` header.
    WrongSecret {
        basic: bool,
    },
    NoSecret,
    /// The signed assertion is not valid.
    WrongAssertion,
    UnknownCode,
    WrongVerifier,
    WrongRedirect,
    UnknownToken,
    Replayed,
    Expired,
    Revoked,
    OtherClient,
    Scope(String),
    Target(String),
    UserDisabled,
    UserDeleted,
    Pending,
    SlowDown,
    Denied,
    DeviceExpired,
    UnknownDevice,
}

impl TokenEndpointRefusal {
    /// The reason for the event log.
    pub(crate) fn plain(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Missing(name) => return Cow::Owned(format!("{name} is missing")),
            Self::GrantTypeMissing => "grant_type is missing",
            Self::GrantTypeUnknown(_) => "that grant type is not known",
            Self::GrantTypeForbidden => "the client may not use that grant type",
            Self::NoClient => "no client named itself",
            Self::UnknownClient => "there is no such client",
            Self::WrongSecret { .. } => "wrong client secret",
            Self::NoSecret => "the client secret is missing",
            Self::WrongAssertion => "the client's assertion does not hold",
            Self::UnknownCode => "the code is unknown, used or too old",
            Self::WrongVerifier => "the PKCE verifier does not fit",
            Self::WrongRedirect => "the redirect URI is another one",
            Self::UnknownToken => "nobody knows that refresh token",
            Self::Replayed => "it was used before",
            Self::Expired => "it is too old",
            Self::Revoked => "its grant is dead",
            Self::OtherClient => "it belongs to another client",
            Self::Scope(_) => "that scope was not granted",
            Self::Target(_) => "that resource was not granted",
            Self::UserDisabled => "the user is disabled",
            Self::UserDeleted => "the user is gone",
            Self::Pending => "the person has not answered yet",
            Self::SlowDown => "the device asks too often",
            Self::Denied => "the person said no",
            Self::DeviceExpired => "the device code is too old",
            Self::UnknownDevice => "nobody knows that device code",
        })
    }

    /// Whether the client, not the grant, was refused.
    pub(crate) fn is_of_client(&self) -> bool {
        matches!(
            self,
            Self::NoClient
                | Self::UnknownClient
                | Self::WrongSecret { .. }
                | Self::NoSecret
                | Self::WrongAssertion
        )
    }

    /// The error code of RFC 6749 §5.2, RFC 8628 §3.5 and RFC 8707 §2.
    fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::GrantTypeMissing => "invalid_request",
            Self::GrantTypeUnknown(_) => "unsupported_grant_type",
            Self::GrantTypeForbidden => "unauthorized_client",
            refusal if refusal.is_of_client() => "invalid_client",
            Self::Scope(_) => "invalid_scope",
            Self::Target(_) => "invalid_target",
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::Denied => "access_denied",
            Self::DeviceExpired => "expired_token",
            _ => "invalid_grant",
        }
    }
}

/// The error response of a refusal.
struct ErrorBody {
    status: u16,
    error: &'static str,
    description: Option<Cow<'static, str>>,
}

impl ErrorBody {
    fn new(status: u16, error: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error,
            description: Some(description.into()),
        }
    }

    fn bare(status: u16, error: &'static str) -> Self {
        Self {
            status,
            error,
            description: None,
        }
    }

    fn reply(self) -> HttpReply {
        let mut body = json!({"error": self.error});
        if let Some(description) = self.description {
            body["error_description"] = description.into();
        }
        HttpReply::json(self.status, &body)
    }
}

pub(crate) fn refuse(dialect: Dialect, refusal: &TokenEndpointRefusal, base: &str) -> HttpReply {
    match dialect {
        Dialect::OidcProvider => oidc_provider(refusal, base),
        Dialect::FastMcp => no_store(fast_mcp(refusal).reply()),
        Dialect::Django => django(refusal),
        Dialect::Cloudflare => cloudflare(refusal),
        Dialect::Canaille => no_store(canaille(refusal).reply()),
        Dialect::Glewlwyd => HttpReply::empty(400),
    }
}

/// The answer to a method that the token endpoint does not serve.
pub(crate) fn wrong_method(dialect: Dialect) -> HttpReply {
    let text = |status, text: &'static str| {
        let mut reply = HttpReply::empty(status).with("content-type", "text/plain; charset=utf-8");
        reply.body = text.into();
        reply
    };
    match dialect {
        Dialect::OidcProvider => text(404, "Not Found"),
        Dialect::FastMcp => text(405, "Method Not Allowed").with("allow", "OPTIONS, POST"),
        Dialect::Django => HttpReply::html(405, String::new()).with("allow", "POST, OPTIONS"),
        _ => HttpReply::empty(405).with("allow", "POST"),
    }
}

fn oidc_provider(refusal: &TokenEndpointRefusal, base: &str) -> HttpReply {
    let code = refusal.code();
    let words = match refusal {
        TokenEndpointRefusal::Missing("code_verifier") => {
            ErrorBody::new(400, "invalid_grant", "grant request is invalid")
        }
        TokenEndpointRefusal::Missing(name) => {
            ErrorBody::new(400, code, format!("missing required parameter '{name}'"))
        }
        TokenEndpointRefusal::GrantTypeMissing => {
            ErrorBody::new(400, code, "missing required parameter 'grant_type'")
        }
        TokenEndpointRefusal::GrantTypeUnknown(_) => {
            ErrorBody::new(400, code, "unsupported grant_type requested")
        }
        TokenEndpointRefusal::GrantTypeForbidden => ErrorBody::new(
            400,
            "invalid_request",
            "requested grant type is not allowed for this client",
        ),
        TokenEndpointRefusal::NoClient => ErrorBody::new(
            400,
            "invalid_request",
            "no client authentication mechanism provided",
        ),
        refusal if refusal.is_of_client() => {
            ErrorBody::new(401, code, "client authentication failed")
        }
        TokenEndpointRefusal::Scope(_) => {
            ErrorBody::new(400, code, "refresh token missing requested scope")
        }
        TokenEndpointRefusal::Target(_) => {
            ErrorBody::new(400, code, "resource indicator is missing, or unknown")
        }
        TokenEndpointRefusal::Pending => ErrorBody::new(
            400,
            code,
            "authorization request is still pending as the end-user hasn't yet completed the user interaction steps",
        ),
        TokenEndpointRefusal::SlowDown => ErrorBody::new(
            400,
            code,
            "you are polling too quickly and should back off at a reasonable rate",
        ),
        TokenEndpointRefusal::Denied => ErrorBody::new(400, code, "End-User aborted interaction"),
        TokenEndpointRefusal::DeviceExpired => ErrorBody::new(400, code, "device code is expired"),
        _ => ErrorBody::new(400, code, "grant request is invalid"),
    };
    let mut body = json!({"error": words.error, "error_description": words.description});
    if let TokenEndpointRefusal::Scope(scope) = refusal {
        body["scope"] = scope.as_str().into();
    }
    let reply = oidc_headers(HttpReply::json(words.status, &body));
    if *refusal != (TokenEndpointRefusal::WrongSecret { basic: true }) {
        return reply;
    }
    let challenge = format!(
        "Basic realm=\"{base}\", error=\"invalid_client\", error_description=\"client authentication failed\""
    );
    reply.with("www-authenticate", challenge)
}

fn fast_mcp(refusal: &TokenEndpointRefusal) -> ErrorBody {
    let code = refusal.code();
    match refusal {
        TokenEndpointRefusal::NoClient => ErrorBody::new(401, code, "Missing client_id"),
        TokenEndpointRefusal::UnknownClient => ErrorBody::new(401, code, "Invalid client_id"),
        TokenEndpointRefusal::WrongSecret { .. } => {
            ErrorBody::new(401, code, "Invalid client_secret")
        }
        TokenEndpointRefusal::NoSecret => ErrorBody::new(401, code, "Client secret is required"),
        TokenEndpointRefusal::WrongAssertion => {
            ErrorBody::new(401, code, "Unsupported auth method: private_key_jwt")
        }
        TokenEndpointRefusal::Missing(name @ ("code" | "code_verifier")) => ErrorBody::new(
            400,
            code,
            format!("authorization_code.{name}: Field required"),
        ),
        TokenEndpointRefusal::Missing(name) => {
            ErrorBody::new(400, code, format!("refresh_token.{name}: Field required"))
        }
        TokenEndpointRefusal::GrantTypeMissing => ErrorBody::new(
            400,
            code,
            ": Unable to extract tag using discriminator 'grant_type'",
        ),
        TokenEndpointRefusal::GrantTypeUnknown(name) => ErrorBody::new(
            400,
            "invalid_request",
            format!(
                ": Input tag '{name}' found using 'grant_type' does not match any of the expected tags: \
                 'authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:jwt-bearer'"
            ),
        ),
        TokenEndpointRefusal::GrantTypeForbidden => {
            ErrorBody::new(400, "unsupported_grant_type", "Unsupported grant type")
        }
        TokenEndpointRefusal::UnknownCode => {
            ErrorBody::new(401, code, "authorization code does not exist")
        }
        TokenEndpointRefusal::WrongVerifier => ErrorBody::new(401, code, "incorrect code_verifier"),
        TokenEndpointRefusal::WrongRedirect => ErrorBody::new(
            400,
            "invalid_request",
            "redirect_uri did not match the one used when creating auth code",
        ),
        TokenEndpointRefusal::Scope(scope) => ErrorBody::new(
            400,
            code,
            format!("cannot request scope `{scope}` not provided by refresh token"),
        ),
        _ if code == "invalid_grant" => ErrorBody::new(401, code, "refresh token does not exist"),
        _ => ErrorBody::bare(400, code),
    }
}

fn django(refusal: &TokenEndpointRefusal) -> HttpReply {
    let code = refusal.code();
    let words = match refusal {
        refusal if refusal.is_of_client() => {
            let reply = no_store(ErrorBody::bare(401, code).reply());
            return reply.with("www-authenticate", "Bearer error=\"invalid_client\"");
        }
        TokenEndpointRefusal::GrantTypeMissing | TokenEndpointRefusal::GrantTypeUnknown(_) => {
            ErrorBody::bare(400, "unsupported_grant_type")
        }
        TokenEndpointRefusal::Missing("refresh_token") => {
            ErrorBody::new(400, code, "Missing refresh token parameter.")
        }
        TokenEndpointRefusal::Missing("code_verifier") => {
            ErrorBody::new(400, code, "Code verifier required.")
        }
        TokenEndpointRefusal::Missing(name) => {
            ErrorBody::new(400, code, format!("Missing {name} parameter."))
        }
        TokenEndpointRefusal::WrongRedirect => {
            ErrorBody::new(400, "invalid_request", "Mismatching redirect URI.")
        }
        TokenEndpointRefusal::Target(resource) => {
            // No `no-store`, and JSON that calls itself HTML.
            let description = format!(
                "The requested resource '{resource}' is not allowed. Token refresh cannot request resources beyond \
                 the original refresh token scope"
            );
            let reply = ErrorBody::new(400, code, description).reply();
            return reply.with("content-type", "text/html; charset=utf-8");
        }
        _ => ErrorBody::bare(400, code),
    };
    no_store(words.reply())
}

fn cloudflare(refusal: &TokenEndpointRefusal) -> HttpReply {
    let code = refusal.code();
    let words = match refusal {
        TokenEndpointRefusal::NoClient => {
            ErrorBody::new(401, code, "Client authentication failed: no client_id")
        }
        TokenEndpointRefusal::UnknownClient => ErrorBody::new(401, code, "Client not found"),
        refusal if refusal.is_of_client() => ErrorBody::new(
            401,
            code,
            "Client authentication failed: invalid client_secret",
        ),
        TokenEndpointRefusal::Missing("refresh_token") => {
            ErrorBody::new(400, code, "Refresh token is required")
        }
        TokenEndpointRefusal::Missing("code") => {
            ErrorBody::new(400, code, "Authorization code is required")
        }
        TokenEndpointRefusal::Missing(name) => {
            ErrorBody::new(400, code, format!("{name} is required"))
        }
        TokenEndpointRefusal::GrantTypeMissing | TokenEndpointRefusal::GrantTypeUnknown(_) => {
            ErrorBody::new(400, "unsupported_grant_type", "Grant type not supported")
        }
        TokenEndpointRefusal::GrantTypeForbidden => ErrorBody::new(
            400,
            code,
            "The client is not registered for this grant type",
        ),
        TokenEndpointRefusal::UnknownCode => {
            ErrorBody::new(400, code, "Invalid authorization code")
        }
        TokenEndpointRefusal::WrongVerifier => {
            ErrorBody::new(400, code, "Invalid PKCE code_verifier")
        }
        TokenEndpointRefusal::WrongRedirect => ErrorBody::new(
            400,
            code,
            "redirect_uri does not match the authorization request",
        ),
        TokenEndpointRefusal::Expired => ErrorBody::new(400, code, "Refresh token has expired"),
        TokenEndpointRefusal::Revoked
        | TokenEndpointRefusal::UserDisabled
        | TokenEndpointRefusal::UserDeleted => ErrorBody::new(400, code, "Grant not found"),
        TokenEndpointRefusal::OtherClient => ErrorBody::new(400, code, "Client ID mismatch"),
        TokenEndpointRefusal::Scope(_) => {
            ErrorBody::new(400, code, "None of the requested scopes were granted")
        }
        TokenEndpointRefusal::Target(_) => ErrorBody::new(
            400,
            code,
            "The resource parameter must name exactly one configured protected resource",
        ),
        _ if code == "invalid_grant" => ErrorBody::new(400, code, "Invalid refresh token"),
        _ => ErrorBody::bare(400, code),
    };
    let reply = no_store(words.reply());
    match refusal {
        TokenEndpointRefusal::WrongSecret { basic: true } => {
            reply.with("www-authenticate", "Basic realm=\"OAuth\"")
        }
        _ => reply,
    }
}

fn canaille(refusal: &TokenEndpointRefusal) -> ErrorBody {
    let code = refusal.code();
    match refusal {
        TokenEndpointRefusal::UnknownClient => {
            ErrorBody::new(400, code, "The client does not exist on this server.")
        }
        refusal if refusal.is_of_client() => ErrorBody::new(
            401,
            code,
            "The client cannot authenticate with methods: ['client_secret_basic']",
        ),
        TokenEndpointRefusal::UserDisabled | TokenEndpointRefusal::UserDeleted => {
            ErrorBody::new(400, "invalid_request", "There is no 'user' for this token.")
        }
        TokenEndpointRefusal::Missing(name) => {
            ErrorBody::new(400, code, format!("Missing '{name}' in request."))
        }
        TokenEndpointRefusal::GrantTypeMissing => ErrorBody::bare(400, "unsupported_grant_type"),
        _ => ErrorBody::bare(400, code),
    }
}
