//! Error codes of token endpoints, by meaning.

/// Codes that say that this grant is over. RFC 6749 §5.2, `OpenID` Connect Core §3.1.2.6, and
/// the words of single providers.
pub(super) const GRANT_CODES: &[&str] = &[
    "invalid_grant",
    "invalid_token",
    "bad_refresh_token",
    "invalid_refresh_token",
    "expired_refresh_token",
    "refresh_token_already_used",
    "refresh_token_expired",
    "refresh_token_invalid",
    "refresh_token_not_found",
    "refresh_token_revoked",
    "token_revoked",
    "token_expired",
    "expired_token",
    // Slack: revoked; the person or the workspace is deleted.
    "authorization_not_found",
    "account_inactive",
    // Zoho: the refresh token is revoked.
    "invalid_code",
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "unmet_authentication_requirements",
];

/// Codes that say that our client is not known or not proven.
pub(super) const CLIENT_CODES: &[&str] = &[
    "invalid_client",
    "unauthorized_client",
    "incorrect_client_credentials",
    "invalid_client_id",
    "invalid_client_secret",
    "invalid_client_credentials",
    "bad_client_id",
    "bad_client_secret",
];

/// Codes that say "not now".
pub(super) const LATER_CODES: &[&str] = &[
    "temporarily_unavailable",
    "service_unavailable",
    "slow_down",
    "ratelimited",
    "rate_limited",
    "rate_limit",
    "rate_limit_exceeded",
    "too_many_requests",
    "throttled",
    "throttling",
    "quota_exceeded",
    "request_timeout",
    "timeout",
];

/// Codes that refuse what was asked for and nothing else. RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §8.
pub(super) const REQUEST_CODES: &[&str] = &[
    "invalid_scope",
    "insufficient_scope",
    "invalid_target",
    "invalid_resource",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "use_dpop_nonce",
    "invalid_dpop_proof",
    "authorization_pending",
    "admin_policy_enforced",
];

/// Codes that servers use for anything: the words beside them say what is meant.
pub(super) const VAGUE_CODES: &[&str] = &["invalid_request", "access_denied"];

/// Codes of a server that failed (RFC 6749 §4.1.2.1).
pub(super) const FAILED_CODES: &[&str] = &["server_error"];

/// Slack: "some aspect of the operation succeeded before the error was raised".
pub(super) const ACTED_CODES: &[&str] = &["internal_error", "fatal_error", "internal_server_error"];

/// A code in one spelling: `INVALID_GRANT`, `InvalidGrant`, `invalid-grant` and `Invalid grant` are `invalid_grant`.
pub(super) fn canonical(code: &str) -> String {
    let mut plain = String::new();
    let mut lower_before = false;
    for c in code.trim().chars().take(200) {
        if c.is_ascii_uppercase() && lower_before {
            plain.push('_');
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric() {
            plain.extend(c.to_lowercase());
        } else if !plain.is_empty() && !plain.ends_with('_') {
            plain.push('_');
        }
    }
    plain.trim_end_matches('_').to_owned()
}

/// Whether a code is one of a list, in any spelling, alone or with what frameworks put around one
/// (`oauth.v2.InvalidRefreshToken`, `TokenExpiredError`, `invalid_grant: gone`).
pub(super) fn is_in(code: &str, list: &[&str]) -> bool {
    const BEFORE: [&str; 4] = ["err_", "error_", "oauth_", "auth_"];
    const AFTER: [&str; 3] = ["_error", "_err", "_exception"];
    let parts = code.split(['.', ':', '/', '#']).map(canonical);
    parts.into_iter().any(|part| {
        let bare = BEFORE.iter().find_map(|fix| part.strip_prefix(fix));
        [Some(part.as_str()), bare]
            .into_iter()
            .flatten()
            .any(|part| {
                let alone = AFTER.iter().find_map(|fix| part.strip_suffix(fix));
                list.contains(&part) || alone.is_some_and(|part| list.contains(&part))
            })
    })
}

/// The lists whose codes mean one thing each.
pub(super) fn clear_lists() -> impl Iterator<Item = &'static [&'static str]> {
    let lists = [
        GRANT_CODES,
        CLIENT_CODES,
        LATER_CODES,
        REQUEST_CODES,
        FAILED_CODES,
        ACTED_CODES,
    ];
    lists.into_iter()
}

/// Whether a text is a code and nothing else.
pub(super) fn is_code(text: &str) -> bool {
    let code = canonical(text);
    clear_lists().any(|list| list.contains(&code.as_str()))
}
