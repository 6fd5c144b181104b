//! Refused token requests.

use std::borrow::Cow;

use serde_json::json;

use super::headers::{no_store, oidc_headers};
use crate::{profile::Dialect, wire::Reply};

/// Why a token request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
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
    /// The signed assertion does not hold.
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

impl Refusal {
    /// What the log says.
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

/// One refusal as it goes over the wire.
struct Words {
    status: u16,
    error: &'static str,
    description: Option<Cow<'static, str>>,
}

impl Words {
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

    fn reply(self) -> Reply {
        let mut body = json!({"error": self.error});
        if let Some(description) = self.description {
            body["error_description"] = description.into();
        }
        Reply::json(self.status, &body)
    }
}

pub(crate) fn refuse(dialect: Dialect, refusal: &Refusal, base: &str) -> Reply {
    match dialect {
        Dialect::OidcProvider => oidc_provider(refusal, base),
        Dialect::FastMcp => no_store(fast_mcp(refusal).reply()),
        Dialect::Django => django(refusal),
        Dialect::Cloudflare => cloudflare(refusal),
        Dialect::Canaille => no_store(canaille(refusal).reply()),
        Dialect::Glewlwyd => Reply::empty(400),
    }
}

/// The answer to a method the token endpoint does not have.
pub(crate) fn wrong_method(dialect: Dialect) -> Reply {
    let text = |status, text: &'static str| {
        let mut reply = Reply::empty(status).with("content-type", "text/plain; charset=utf-8");
        reply.body = text.into();
        reply
    };
    match dialect {
        Dialect::OidcProvider => text(404, "Not Found"),
        Dialect::FastMcp => text(405, "Method Not Allowed").with("allow", "OPTIONS, POST"),
        Dialect::Django => Reply::html(405, String::new()).with("allow", "POST, OPTIONS"),
        _ => Reply::empty(405).with("allow", "POST"),
    }
}

fn oidc_provider(refusal: &Refusal, base: &str) -> Reply {
    let code = refusal.code();
    let words = match refusal {
        Refusal::Missing("code_verifier") => {
            Words::new(400, "invalid_grant", "grant request is invalid")
        }
        Refusal::Missing(name) => {
            Words::new(400, code, format!("missing required parameter '{name}'"))
        }
        Refusal::GrantTypeMissing => {
            Words::new(400, code, "missing required parameter 'grant_type'")
        }
        Refusal::GrantTypeUnknown(_) => Words::new(400, code, "unsupported grant_type requested"),
        Refusal::GrantTypeForbidden => Words::new(
            400,
            "invalid_request",
            "requested grant type is not allowed for this client",
        ),
        Refusal::NoClient => Words::new(
            400,
            "invalid_request",
            "no client authentication mechanism provided",
        ),
        refusal if refusal.is_of_client() => Words::new(401, code, "client authentication failed"),
        Refusal::Scope(_) => Words::new(400, code, "refresh token missing requested scope"),
        Refusal::Target(_) => Words::new(400, code, "resource indicator is missing, or unknown"),
        Refusal::Pending => Words::new(
            400,
            code,
            "authorization request is still pending as the end-user hasn't yet completed the user interaction steps",
        ),
        Refusal::SlowDown => Words::new(
            400,
            code,
            "you are polling too quickly and should back off at a reasonable rate",
        ),
        Refusal::Denied => Words::new(400, code, "End-User aborted interaction"),
        Refusal::DeviceExpired => Words::new(400, code, "device code is expired"),
        _ => Words::new(400, code, "grant request is invalid"),
    };
    let mut body = json!({"error": words.error, "error_description": words.description});
    if let Refusal::Scope(scope) = refusal {
        body["scope"] = scope.as_str().into();
    }
    let reply = oidc_headers(Reply::json(words.status, &body));
    if *refusal != (Refusal::WrongSecret { basic: true }) {
        return reply;
    }
    let challenge = format!(
        "Basic realm=\"{base}\", error=\"invalid_client\", error_description=\"client authentication failed\""
    );
    reply.with("www-authenticate", challenge)
}

fn fast_mcp(refusal: &Refusal) -> Words {
    let code = refusal.code();
    match refusal {
        Refusal::NoClient => Words::new(401, code, "Missing client_id"),
        Refusal::UnknownClient => Words::new(401, code, "Invalid client_id"),
        Refusal::WrongSecret { .. } => Words::new(401, code, "Invalid client_secret"),
        Refusal::NoSecret => Words::new(401, code, "Client secret is required"),
        Refusal::WrongAssertion => {
            Words::new(401, code, "Unsupported auth method: private_key_jwt")
        }
        Refusal::Missing(name @ ("code" | "code_verifier")) => Words::new(
            400,
            code,
            format!("authorization_code.{name}: Field required"),
        ),
        Refusal::Missing(name) => {
            Words::new(400, code, format!("refresh_token.{name}: Field required"))
        }
        Refusal::GrantTypeMissing => Words::new(
            400,
            code,
            ": Unable to extract tag using discriminator 'grant_type'",
        ),
        Refusal::GrantTypeUnknown(name) => Words::new(
            400,
            "invalid_request",
            format!(
                ": Input tag '{name}' found using 'grant_type' does not match any of the expected tags: \
                 'authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:jwt-bearer'"
            ),
        ),
        Refusal::GrantTypeForbidden => {
            Words::new(400, "unsupported_grant_type", "Unsupported grant type")
        }
        Refusal::UnknownCode => Words::new(401, code, "authorization code does not exist"),
        Refusal::WrongVerifier => Words::new(401, code, "incorrect code_verifier"),
        Refusal::WrongRedirect => Words::new(
            400,
            "invalid_request",
            "redirect_uri did not match the one used when creating auth code",
        ),
        Refusal::Scope(scope) => Words::new(
            400,
            code,
            format!("cannot request scope `{scope}` not provided by refresh token"),
        ),
        _ if code == "invalid_grant" => Words::new(401, code, "refresh token does not exist"),
        _ => Words::bare(400, code),
    }
}

fn django(refusal: &Refusal) -> Reply {
    let code = refusal.code();
    let words = match refusal {
        refusal if refusal.is_of_client() => {
            let reply = no_store(Words::bare(401, code).reply());
            return reply.with("www-authenticate", "Bearer error=\"invalid_client\"");
        }
        Refusal::GrantTypeMissing | Refusal::GrantTypeUnknown(_) => {
            Words::bare(400, "unsupported_grant_type")
        }
        Refusal::Missing("refresh_token") => {
            Words::new(400, code, "Missing refresh token parameter.")
        }
        Refusal::Missing("code_verifier") => Words::new(400, code, "Code verifier required."),
        Refusal::Missing(name) => Words::new(400, code, format!("Missing {name} parameter.")),
        Refusal::WrongRedirect => Words::new(400, "invalid_request", "Mismatching redirect URI."),
        Refusal::Target(resource) => {
            // No `no-store`, and JSON that calls itself HTML.
            let description = format!(
                "The requested resource '{resource}' is not allowed. Token refresh cannot request resources beyond \
                 the original refresh token scope"
            );
            let reply = Words::new(400, code, description).reply();
            return reply.with("content-type", "text/html; charset=utf-8");
        }
        _ => Words::bare(400, code),
    };
    no_store(words.reply())
}

fn cloudflare(refusal: &Refusal) -> Reply {
    let code = refusal.code();
    let words = match refusal {
        Refusal::NoClient => Words::new(401, code, "Client authentication failed: no client_id"),
        Refusal::UnknownClient => Words::new(401, code, "Client not found"),
        refusal if refusal.is_of_client() => Words::new(
            401,
            code,
            "Client authentication failed: invalid client_secret",
        ),
        Refusal::Missing("refresh_token") => Words::new(400, code, "Refresh token is required"),
        Refusal::Missing("code") => Words::new(400, code, "Authorization code is required"),
        Refusal::Missing(name) => Words::new(400, code, format!("{name} is required")),
        Refusal::GrantTypeMissing | Refusal::GrantTypeUnknown(_) => {
            Words::new(400, "unsupported_grant_type", "Grant type not supported")
        }
        Refusal::GrantTypeForbidden => Words::new(
            400,
            code,
            "The client is not registered for this grant type",
        ),
        Refusal::UnknownCode => Words::new(400, code, "Invalid authorization code"),
        Refusal::WrongVerifier => Words::new(400, code, "Invalid PKCE code_verifier"),
        Refusal::WrongRedirect => Words::new(
            400,
            code,
            "redirect_uri does not match the authorization request",
        ),
        Refusal::Expired => Words::new(400, code, "Refresh token has expired"),
        Refusal::Revoked | Refusal::UserDisabled | Refusal::UserDeleted => {
            Words::new(400, code, "Grant not found")
        }
        Refusal::OtherClient => Words::new(400, code, "Client ID mismatch"),
        Refusal::Scope(_) => Words::new(400, code, "None of the requested scopes were granted"),
        Refusal::Target(_) => Words::new(
            400,
            code,
            "The resource parameter must name exactly one configured protected resource",
        ),
        _ if code == "invalid_grant" => Words::new(400, code, "Invalid refresh token"),
        _ => Words::bare(400, code),
    };
    let reply = no_store(words.reply());
    match refusal {
        Refusal::WrongSecret { basic: true } => {
            reply.with("www-authenticate", "Basic realm=\"OAuth\"")
        }
        _ => reply,
    }
}

fn canaille(refusal: &Refusal) -> Words {
    let code = refusal.code();
    match refusal {
        Refusal::UnknownClient => {
            Words::new(400, code, "The client does not exist on this server.")
        }
        refusal if refusal.is_of_client() => Words::new(
            401,
            code,
            "The client cannot authenticate with methods: ['client_secret_basic']",
        ),
        Refusal::UserDisabled | Refusal::UserDeleted => {
            Words::new(400, "invalid_request", "There is no 'user' for this token.")
        }
        Refusal::Missing(name) => Words::new(400, code, format!("Missing '{name}' in request.")),
        Refusal::GrantTypeMissing => Words::bare(400, "unsupported_grant_type"),
        _ => Words::bare(400, code),
    }
}
