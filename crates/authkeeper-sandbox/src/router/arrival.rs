//! Which endpoint a request goes to, and whose grant it names.

use crate::{
    fault::{Arrival, Endpoint},
    oauth,
    state::SandboxState,
    store::GrantEntry,
    wire::HttpRequest,
};

/// Classifies a request before it is served; none for a path without an endpoint.
pub(super) fn arrival(state: &SandboxState, request: &HttpRequest) -> Option<Arrival> {
    let endpoint = endpoint(request)?;
    let form = if request.is_post() && endpoint != Endpoint::Mcp {
        request.form()
    } else {
        request.query.clone()
    };
    let grant = presented_grant(state, request, form.get("refresh_token"), form.get("code"));
    let named = request.basic().map(|(client, _)| client);
    let named = named.or_else(|| form.get("client_id").map(str::to_owned));
    Some(Arrival {
        endpoint,
        user: grant.and_then(|grant| grant.user.clone()),
        client: grant.map(|grant| grant.client.clone()).or(named),
    })
}

/// The grant of the refresh token, access token or code in a request.
fn presented_grant<'a>(
    state: &'a SandboxState,
    request: &HttpRequest,
    refresh: Option<&str>,
    code: Option<&str>,
) -> Option<&'a GrantEntry> {
    let store = &state.store;
    let by_refresh = refresh.and_then(|text| store.refresh.get(text));
    let by_access = request.bearer().and_then(|text| store.access.get(text));
    let by_code = code.and_then(|text| store.codes.get(text)?.grant);
    let number = by_refresh
        .map(|token| token.grant)
        .or_else(|| by_access.map(|token| token.grant))
        .or(by_code)?;
    store.grants.get(&number)
}

fn endpoint(request: &HttpRequest) -> Option<Endpoint> {
    let path = request.path.as_str();
    Some(match path {
        _ if path.starts_with("/.well-known/") || path == "/jwks" => Endpoint::Metadata,
        _ if path == "/authorize" || path.starts_with("/authorize/") => Endpoint::Authorize,
        "/token" => match request.form().get("grant_type") {
            Some("authorization_code") => Endpoint::Code,
            Some("refresh_token") => Endpoint::Refresh,
            Some("client_credentials") => Endpoint::ClientCredentials,
            Some(oauth::DEVICE_GRANT) => Endpoint::DeviceCode,
            _ => Endpoint::Token,
        },
        "/register" => Endpoint::Register,
        "/revoke" => Endpoint::Revoke,
        "/introspect" => Endpoint::Introspect,
        "/device_authorization" | "/device" => Endpoint::Device,
        "/userinfo" => Endpoint::Userinfo,
        "/mcp" => Endpoint::Mcp,
        _ if path == "/api" || path.starts_with("/api/") => Endpoint::Api,
        _ => return None,
    })
}
