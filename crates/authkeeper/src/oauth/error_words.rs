//! The meaning of an error message that is written for a person.

use crate::oauth::error_codes::canonical;

/// The words of one sentence, in one spelling.
pub(super) struct ErrorWords(String);

impl ErrorWords {
    pub(super) fn of(text: &str) -> Self {
        Self(format!("_{}_", canonical(text)))
    }

    fn has(&self, words: &[&str]) -> bool {
        words
            .iter()
            .any(|word| self.0.contains(&format!("_{word}_")))
    }

    /// What is said of a thing that is not good.
    fn reject(&self) -> bool {
        self.has(&[
            "invalid",
            "expired",
            "revoked",
            "unknown_refresh_token",
            "unknown_client",
            "client_unknown",
            "unrecognized",
            "already_used",
            "been_used",
            "was_used",
            "reused",
            "malformed",
            "inactive",
            "blacklisted",
            "not_active",
            "not_valid",
            "not_exist",
            "exist",
            "not_found",
            "no_longer",
            "unable_to_parse",
            "unable_to_find",
            "mismatch",
            "deleted",
            "disabled",
            "wrong",
            "incorrect",
            "bad",
            "consumed",
            "rotated",
            "not_recognized",
            "not_match",
        ])
    }

    /// "Missing parameter: `refresh_token`" or "the `refresh_token` grant is not allowed" say nothing of this token.
    pub(super) fn refuse_the_refresh_token(&self) -> bool {
        let named = self.has(&["refresh_token", "refreshtoken", "refresh_tokens"]);
        let of_the_request = self.has(&[
            "missing",
            "required",
            "empty",
            "parameter",
            "grant_type",
            "refresh_token_grant",
            "unsupported",
            "not_allowed",
            "not_supported",
            "must_be",
        ]);
        named && !of_the_request && self.reject_beyond_the_code()
    }

    /// "`invalid_request`: the refresh token …" is not "the refresh token is invalid".
    fn reject_beyond_the_code(&self) -> bool {
        Self(self.0.replace("_invalid_request_", "_")).reject()
    }

    /// No grant is over because of a secret.
    pub(super) fn refuse_the_secret(&self) -> bool {
        let named = self.has(&[
            "client_secret",
            "app_secret",
            "application_secret",
            "client_credentials",
        ]);
        named && (self.reject() || self.has(&["missing", "required"])) && !self.has(&["grant_type"])
    }

    pub(super) fn refuse_the_client(&self) -> bool {
        let named = self.has(&[
            "client",
            "client_id",
            "client_secret",
            "secret",
            "clientid",
            "application",
            "app",
            "app_id",
            "consumer_key",
        ]);
        let refused = self.has(&[
            "missing",
            "required",
            "empty",
            "unauthorized",
            "not_authorized",
            "failed",
            "denied",
            "not_registered",
            "suspended",
            "no_client",
            "not_allowed",
        ]);
        named && (refused || self.reject_beyond_the_code()) && !self.has(&["scope", "grant_type"])
    }

    pub(super) fn miss_the_account(&self) -> bool {
        let named = self.has(&["user", "account", "member"]);
        let gone = self.has(&[
            "not_found",
            "not_exist",
            "there_is_no",
            "deleted",
            "disabled",
            "locked",
            "suspended",
            "deactivated",
            "inactive",
            "blocked",
            "no_longer",
        ]);
        named && gone
    }

    /// Said of a request, whatever it is about.
    pub(super) fn insist_on_waiting(&self) -> bool {
        self.has(&[
            "too_many",
            "too_many_times",
            "rate_limit",
            "rate_limited",
            "rate_limiting",
            "throttled",
            "retry_your_request",
            "please_retry",
            "retry_later",
            "temporarily",
        ])
    }

    pub(super) fn ask_to_wait(&self) -> bool {
        self.has(&["try_again", "overloaded", "maintenance", "timed_out"])
    }
}
