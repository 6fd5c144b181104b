//! The well-known documents: RFC 8414, its `OpenID` alias, and RFC 9728 for the two resources.

use serde_json::{Value, json};

use super::DEVICE_GRANT;
use crate::{
    state::{SCOPES, SandboxState},
    wire::{HttpReply, HttpRequest},
};

pub(crate) fn serve(state: &SandboxState, request: &HttpRequest) -> HttpReply {
    match request.path.as_str() {
        "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
            HttpReply::json(200, &server(&state.base))
        }
        "/.well-known/oauth-protected-resource/mcp" => {
            HttpReply::json(200, &resource(state, "/mcp"))
        }
        "/.well-known/oauth-protected-resource/api" => {
            HttpReply::json(200, &resource(state, "/api"))
        }
        _ => HttpReply::json(404, &json!({"error": "not_found"})),
    }
}

fn server(base: &str) -> Value {
    let at = |path: &str| format!("{base}{path}");
    let methods = json!([
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt"
    ]);
    json!({
        "issuer": base,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "registration_endpoint": at("/register"),
        "revocation_endpoint": at("/revoke"),
        "introspection_endpoint": at("/introspect"),
        "device_authorization_endpoint": at("/device_authorization"),
        "userinfo_endpoint": at("/userinfo"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT
        ],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "RS256", "EdDSA"],
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": false,
    })
}

fn resource(state: &SandboxState, path: &str) -> Value {
    json!({
        "resource": format!("{}{path}", state.base),
        "authorization_servers": [state.base],
        "scopes_supported": ["read", "write", "admin"],
        "bearer_methods_supported": ["header"],
    })
}

/// The URL of a resource's metadata document, as in a challenge.
pub(crate) fn resource_metadata(base: &str, path: &str) -> String {
    format!("{base}/.well-known/oauth-protected-resource{path}")
}
