use serde_json::json;

use super::*;

fn meaning(status: u16, body: &Value) -> Option<ErrorMeaning> {
    let status = StatusCode::from_u16(status).unwrap();
    read(body, status).map(|error| error.meaning)
}

fn all_mean(expected: ErrorMeaning, bodies: &[Value]) {
    for body in bodies {
        assert_eq!(meaning(400, body), Some(expected), "{body}");
    }
}

#[test]
fn a_code_is_read_in_any_spelling_and_at_any_place() {
    all_mean(
        ErrorMeaning::Grant,
        &[
            json!({"error": "invalid_grant"}),
            json!({"error": "INVALID_GRANT"}),
            json!({"error": "InvalidGrant"}),
            json!({"error": "invalid-grant"}),
            json!({"error": "Invalid grant"}),
            json!({"Error": "invalid_grant"}),
            json!({"errorCode": "invalidGrant"}),
            json!({"ErrorCode": "invalid_request", "Error": "Invalid Refresh Token"}),
            json!({"error": {"code": "invalid_grant", "message": "gone"}}),
            json!({"error": {"error": {"type": "invalid_grant"}}}),
            json!({"errors": [{"errorType": "invalid_grant", "message": "Refresh token invalid"}]}),
            json!([{"error": "invalid_grant"}]),
            json!({"detail": {"error": "invalid_grant"}}),
            json!({"fault": {"faultstring": "Invalid Refresh Token", "detail": {"errorcode": "keymanagement.service.invalid_refresh_token"}}}),
            json!({"fault": {"detail": {"errorcode": "oauth.v2.InvalidRefreshToken"}}}),
            json!({"status": "INVALID_REFRESH_TOKEN"}),
            json!({"message": "INVALID_REFRESH_TOKEN"}),
            json!({"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]}),
            json!({"status": 400, "message": "Invalid refresh token"}),
            json!({"body": {"error": "invalid_grant"}}),
            json!({"error": "invalid_token"}),
        ],
    );
    let number = read(&json!({"error": {"code": 190}}), StatusCode::BAD_REQUEST).unwrap();
    assert_eq!(
        (number.refused.code.as_str(), number.meaning),
        ("190", ErrorMeaning::Unknown)
    );
}

#[test]
fn words_about_the_client_are_not_about_the_grant() {
    all_mean(
        ErrorMeaning::Client,
        &[
            json!({"error": "invalid_client"}),
            json!({"error": "invalid_request", "error_description": "The client secret is wrong"}),
            json!({"error": "invalid_request", "error_description": "Unknown client"}),
            json!({"error": "invalid_grant", "error_description": "Invalid client_secret"}),
            json!({"error": "unauthorized", "error_description": "Client authentication failed"}),
            json!({"message": "Application is disabled"}),
            json!({"errors": [{"resource": "Application", "field": "client_id", "code": "invalid"}]}),
            json!({"error": "access_denied", "error_description": "application not found"}),
        ],
    );
}

#[test]
fn words_about_the_refresh_token_win_over_those_about_the_client() {
    all_mean(
        ErrorMeaning::Grant,
        &[
            json!({"error": "invalid_client", "error_description": "The refresh token is expired"}),
            json!({"error": "unauthorized_client", "error_description": "unable to parse refresh token"}),
            json!({"error": "invalid_request", "message": "refresh token was issued to another client and is not valid"}),
            json!({"error": "invalid_grant", "error_description": "Client ID mismatch"}),
            json!({"error": "invalid_request", "error_description": "user not found"}),
        ],
    );
}

#[test]
fn words_about_the_request_are_about_neither() {
    all_mean(
        ErrorMeaning::Request,
        &[
            json!({"error": "invalid_request"}),
            json!({"error": "invalid_request", "error_description": "Missing parameter: refresh_token"}),
            json!({"error": "invalid_request", "error_description": "refresh_token is required"}),
            json!({"error": "invalid_request", "error_description": "Unknown parameter: refresh_token"}),
            json!({"error": "unsupported_grant_type", "error_description": "the client may not use refresh_token"}),
            json!({"error": "invalid_scope", "error_description": "unknown scope for this client"}),
            json!({"error": "access_denied", "error_description": "Unauthorized"}),
        ],
    );
}

#[test]
fn a_code_that_nobody_knows_is_no_final_refusal() {
    all_mean(
        ErrorMeaning::Unknown,
        &[
            json!({"error": "unknown_error"}),
            json!({"error": "out_of_cheese", "message": "no"}),
            json!({"message": "Something went wrong"}),
        ],
    );
    all_mean(
        ErrorMeaning::Later,
        &[
            json!({"error": "RATE_LIMIT_EXCEEDED"}),
            json!({"error": "temporarily_unavailable"}),
            json!({"error": "request_failed", "message": "Please retry your request"}),
            json!({"error": "Access Denied", "error_description": "You have made too many requests continuously."}),
            json!({"status": 429, "message": "slow"}),
        ],
    );
}

#[test]
fn a_success_is_an_error_only_if_it_says_so() {
    for none in [
        json!({"error": ""}),
        json!({"error": null}),
        json!({"error": "none"}),
        json!({"error": false, "errors": []}),
        json!({"status": "ok", "message": "Welcome"}),
        json!({"status": 0, "body": {}}),
        json!({"token": "x"}),
    ] {
        assert_eq!(meaning(200, &none), None, "{none}");
    }
    all_mean(ErrorMeaning::Failed, &[json!({"error": "server_error"})]);
    let limit = json!({"status": 601, "body": {}, "error": "Too Many Requests"});
    assert_eq!(meaning(200, &limit), Some(ErrorMeaning::Later));
    let limit = read(&json!({"error": true, "wait_seconds": "7"}), StatusCode::OK).unwrap();
    assert_eq!(
        (limit.meaning, limit.wait),
        (ErrorMeaning::Later, Some(Duration::from_secs(7)))
    );
    let denied = json!({"ok": false, "error": "invalid_refresh_token"});
    assert_eq!(meaning(200, &denied), Some(ErrorMeaning::Grant));
}

#[test]
fn a_secret_in_the_providers_words_is_hidden() {
    let secret = "1//0gAbCdEf3hKqZ9xW2mB5tR8aLcVhY4uJ1n";
    let long = "x".repeat(180);
    for body in [
        json!({"error": "invalid_grant", "error_description": format!("refresh_token {secret} is invalid")}),
        json!({"error": secret}),
        json!({"error": {"code": secret, "message": format!("no {secret}")}}),
        json!({"message": format!("Unknown token '{secret}'")}),
        json!({"errors": [secret]}),
        json!({"errors": [{"field": "refresh_token", "code": secret}]}),
        json!({"error": "invalid_grant", "error_description": format!("{long} {secret}")}),
    ] {
        let refused = read(&body, StatusCode::BAD_REQUEST).unwrap().refused;
        let told = refused.to_string();
        assert!(!told.contains("AbCdEf3h"), "{told}");
        assert!(told.contains("[hid"), "{told}");
    }
}

#[test]
fn a_code_that_holds_another_one_is_not_that_one() {
    for code in [
        "invalid_grant_type",
        "org_login_required",
        "invalid_token_type",
        "csrf_token_expired",
        "client_assertion_token_expired",
    ] {
        let error = json!({"error": code});
        assert_ne!(meaning(400, &error), Some(ErrorMeaning::Grant), "{code}");
    }
    for (code, words) in [
        (
            "temporarily_unavailable",
            "The refresh token service is in an unknown state",
        ),
        (
            "rate_limit_exceeded",
            "refresh token used too many times per minute",
        ),
        (
            "server_error",
            "unknown error: whether the refresh token was used is not known",
        ),
        (
            "invalid_scope",
            "invalid, unknown, or exceeds the scope of the refresh token",
        ),
        (
            "invalid_request",
            "refresh token is being used by another request. Please retry.",
        ),
    ] {
        let error = json!({"error": code, "error_description": words});
        assert_ne!(
            meaning(400, &error),
            Some(ErrorMeaning::Grant),
            "{code}: {words}"
        );
    }
}

#[test]
fn the_providers_own_words_are_kept() {
    let refused = |body: Value| {
        read(&body, StatusCode::BAD_REQUEST)
            .unwrap()
            .refused
            .to_string()
    };
    assert_eq!(
        refused(json!({"error": "INVALID_GRANT", "message": "gone"})),
        "INVALID_GRANT: gone"
    );
    assert_eq!(
        refused(
            json!({"status": "BAD_REFRESH_TOKEN", "error": "invalid_request", "message": "missing"})
        ),
        "BAD_REFRESH_TOKEN: missing"
    );
    assert_eq!(refused(json!({"message": "nope\r\n"})), "nope");
    assert_eq!(
        refused(json!({"message": "Unauthorized", "error": 401})),
        "401: Unauthorized"
    );
}
