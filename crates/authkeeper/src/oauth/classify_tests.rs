use http::{HeaderMap, HeaderValue};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn reply(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: map,
        body: body.into(),
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::RefreshTokenAlone(_) => "refresh_token_alone",
        Outcome::Unrecognized { .. } => "unrecognized",
        Outcome::GrantRefused(_) => "grant",
        Outcome::ClientRefused(_) => "client",
        Outcome::RequestRefused(_) => "request",
        Outcome::Transient { .. } => "transient",
        Outcome::Suspect { .. } => "suspect",
        Outcome::Moved { .. } => "moved",
        Outcome::Unknown(kind) => kind.as_str(),
    }
}

#[test]
fn every_measured_answer_has_its_meaning() {
    let rows: &[(u16, &'static str, &str)] = &[
        (
            200,
            r#"{"access_token":"a","token_type":"bearer"}"#,
            "accepted",
        ),
        // oidc-provider, better-auth, django-oauth-toolkit: refused
        (
            400,
            r#"{"error":"invalid_grant","error_description":"grant request is invalid"}"#,
            "grant",
        ),
        // FastMCP refuses with 401, Auth0 and Atlassian with 403
        (
            401,
            r#"{"error":"invalid_grant","error_description":"refresh token does not exist"}"#,
            "grant",
        ),
        (
            403,
            r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#,
            "grant",
        ),
        // GitHub refuses with 200
        (200, r#"{"error":"bad_refresh_token"}"#, "grant"),
        (200, r#"{"error":"incorrect_client_credentials"}"#, "client"),
        // accounts that are gone
        (
            400,
            r#"{"error":"invalid_request","error_description":"user not found"}"#,
            "grant",
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"There is no 'user' for this token."}"#,
            "grant",
        ),
        (
            400,
            r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown"}"#,
            "grant",
        ),
        // our client
        (
            401,
            r#"{"error":"invalid_client","error_description":"client authentication failed"}"#,
            "client",
        ),
        (400, r#"{"error":"invalid_client"}"#, "client"),
        // what was asked for
        (400, r#"{"error":"invalid_scope"}"#, "request"),
        (400, r#"{"error":"invalid_target"}"#, "request"),
        (400, r#"{"error":"unsupported_grant_type"}"#, "request"),
        // Slack: part of it may have been done
        (
            200,
            r#"{"ok":false,"error":"internal_error"}"#,
            "server_error",
        ),
        (
            200,
            r#"{"ok":false,"error":"invalid_refresh_token"}"#,
            "grant",
        ),
        // not now
        (429, "", "transient"),
        (503, r#"{"error":"temporarily_unavailable"}"#, "transient"),
        (400, r#"{"error":"slow_down"}"#, "transient"),
        // a proxy or a firewall in between
        (403, "<html>blocked</html>", "transient"),
        (404, "", "moved"),
        (302, "", "moved"),
        // glewlwyd says no more than this of anything
        (400, "", "suspect"),
        // may have been done
        (500, "", "server_error"),
        (500, r#"{"error":"server_error"}"#, "server_error"),
        (502, "<html>bad gateway</html>", "server_error"),
        (503, "<html>", "server_error"),
        (504, "", "gateway_timeout"),
        (200, "<html>welcome</html>", "unreadable_answer"),
        (200, r#"{"token":"x"}"#, "unreadable_answer"),
        (200, "", "unreadable_answer"),
        (200, r#"{"access_token":""}"#, "unreadable_answer"),
        (200, r#"["access_token"]"#, "unreadable_answer"),
    ];
    all_mean(rows);
}

fn all_mean(rows: &[(u16, &'static str, &str)]) {
    for (status, body, expected) in rows {
        let outcome = classify(&reply(*status, &[], body), now());
        assert_eq!(word(&outcome), *expected, "{status} {body}");
    }
}

/// What was measured of eight servers and read of single providers, one row a line.
#[test]
fn every_row_of_the_measured_table_has_its_meaning() {
    let rows = include_str!("measured.txt").lines();
    let rows = rows.filter(|row| !row.is_empty() && !row.starts_with('#'));
    let mut read = 0;
    for row in rows {
        let cells: Vec<&str> = row.splitn(5, '|').map(str::trim).collect();
        let [who, case, status, expected, body] = cells[..] else {
            panic!("{row}");
        };
        let (status, headers) = status.split_once(' ').unwrap_or((status, ""));
        let mut map = HeaderMap::new();
        for header in headers.split_whitespace() {
            let (name, value) = header.split_once('=').unwrap();
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let reply = Reply {
            status: status.parse().unwrap(),
            headers: map,
            body: body.to_owned().into(),
        };
        let outcome = classify(&reply, now());
        assert_eq!(word(&outcome), expected, "{who}, {case}: {body}");
        let odd = super::super::unrecognized_response::unrecognized_shape(&reply);
        assert_eq!(odd, None, "{who}, {case}: a row of the table is not odd");
        read += 1;
    }
    assert!(read > 70, "{read} rows");
}

/// Documented by the vendors or seen by others; the catalogue has the sources.
#[test]
fn the_words_of_single_providers_have_their_meaning() {
    all_mean(&[
        // HubSpot as it came in October 2026, Zoom's two forms, Gitea, Zoho
        (
            400,
            r#"{"status":"BAD_REFRESH_TOKEN","error":"invalid_request","message":"missing or invalid"}"#,
            "grant",
        ),
        (
            400,
            r#"{"reason":"Invalid Token!","error":"invalid_grant"}"#,
            "grant",
        ),
        (
            401,
            r#"{"reason":"Invalid Token!","error":"invalid_request"}"#,
            "grant",
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"missing parameter"}"#,
            "request",
        ),
        (
            400,
            r#"{"error":"unauthorized_client","error_description":"unable to parse refresh token"}"#,
            "grant",
        ),
        (400, r#"{"error":"unauthorized_client"}"#, "client"),
        (200, r#"{"error":"invalid_code"}"#, "grant"),
        (
            400,
            r#"{"error_description":"You have made too many requests continuously. Please try again after some time.","error":"Access Denied","status":"failure"}"#,
            "transient",
        ),
        (400, r#"{"error":"Access Denied"}"#, "request"),
        // An error that is an object
        (
            400,
            r#"{"error":{"code":"invalid_grant","message":"gone"}}"#,
            "grant",
        ),
        (
            400,
            r#"{"error":{"code":190,"type":"OAuthException","message":"gone"}}"#,
            "unrecognized",
        ),
        (400, r#"{"error":{"code":190}}"#, "suspect"),
        // Entra: a person must do something; our secret has ended
        (400, r#"{"error":"interaction_required"}"#, "grant"),
        (
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000222: expired","error_codes":[7000222]}"#,
            "client",
        ),
        // Atlassian: a wrong client secret; the person's refusal has the same code, so nobody is asked to sign in again
        (401, r#"{"error":"access_denied"}"#, "request"),
        // Slack
        (
            200,
            r#"{"ok":false,"error":"authorization_not_found"}"#,
            "grant",
        ),
        (200, r#"{"ok":false,"error":"account_inactive"}"#, "grant"),
    ]);
}

#[test]
fn a_success_with_a_token_has_spent_the_refresh_token_whatever_else_it_says() {
    for odd in [
        r#""error":"""#,
        r#""error":null"#,
        r#""error":"none""#,
        r#""error":"invalid_grant""#,
        r#""error":"invalid_client""#,
        r#""error":"rate_limit_exceeded","wait_seconds":5"#,
        r#""ok":false,"status":601"#,
        r#""errors":[{"code":"x"}]"#,
    ] {
        let body = |tokens: &str| -> &'static str {
            Box::leak(format!("{{{tokens}{odd}}}").into_boxed_str())
        };
        let whole = reply(200, &[], body(r#""access_token":"a","refresh_token":"r","#));
        assert_eq!(word(&classify(&whole, now())), "accepted", "{odd}");
        let alone = reply(200, &[], body(r#""id_token":"i","refresh_token":"r","#));
        assert_eq!(
            word(&classify(&alone, now())),
            "refresh_token_alone",
            "{odd}"
        );
        for unread in [
            r#""access_token":"a b","#,
            r#""id_token":"i","#,
            r#""a":{"access_token":"1"},"b":{"access_token":"2"},"#,
            // Whose refresh token that is nobody can tell.
            r#""a":{"access_token":"1"},"b":{"access_token":"2","refresh_token":"r"},"#,
            r#""access_token":12345,"#,
            r#""access_token":["1"],"#,
            r#""a":"{\"access_token\":\"1\"}","#,
        ] {
            let unread = reply(200, &[], body(unread));
            assert_eq!(word(&classify(&unread, now())), "unread_tokens", "{odd}");
        }
    }
    let broken = "access_token=a b&refresh_token";
    let outcome = classify(&reply(200, &[], broken), now());
    assert_eq!(word(&outcome), "unread_tokens");
    // JSON that ends too soon is asked for again, like an answer that never came.
    let cut = r#"{"access_token":"a","refresh_tok"#;
    let outcome = classify(&reply(200, &[], cut), now());
    assert_eq!(word(&outcome), "unreadable_answer");
}

#[test]
fn tokens_are_read_in_every_shape() {
    for body in [
        "\u{feff}{\"access_token\":\"a\"}",
        r#"{"body":{"access_token":"a","refresh_token":"r"}}"#,
        r#"{"status":0,"body":{"access_token":"a"}}"#,
        r#"{"data":{"auth":{"accessToken":"a"}}}"#,
        r#"[{"access_token":"a"}]"#,
        "access_token=a&refresh_token=r&expires_in=60",
        r#"{"access_token":"a","token_type":"User Access Token"}"#,
        r#"{"access_token":"a","scope":["x","y"]}"#,
    ] {
        let outcome = classify(&reply(200, &[], body), now());
        assert_eq!(word(&outcome), "accepted", "{body}");
    }
    let two = r#"{"x":{"access_token":"1"},"y":{"access_token":"2"}}"#;
    let of_y = classify_in(&reply(200, &[], two), now(), Some("y"));
    assert_eq!(
        word(&of_y),
        "accepted",
        "where it is known which of them is meant"
    );
}

#[test]
fn a_401_without_a_code_is_about_our_client() {
    let basic: &[_] = &[("www-authenticate", r#"Basic realm="x""#)];
    let html: &[_] = &[("content-type", "text/html")];
    for (status, headers, body, expected) in [
        (401, &[][..], "", "client"),
        (401, &[][..], "no", "client"),
        (
            401,
            &[][..],
            r#"{"message":"Unauthorized","error":401}"#,
            "client",
        ),
        (401, basic, "<html>", "client"),
        (401, basic, r#"{"error":"invalid_request"}"#, "client"),
        (401, basic, r#"{"error":"invalid_grant"}"#, "grant"),
        (401, html, "<html>sign in</html>", "transient"),
        (403, &[][..], "", "suspect"),
        (400, &[][..], r#"{"message":"no"}"#, "suspect"),
    ] {
        let outcome = classify(&reply(status, headers, body), now());
        assert_eq!(word(&outcome), expected, "{status} {body}");
    }
}

#[test]
fn an_unknown_code_is_asked_again_when_it_says() {
    let wait = |status, headers: &[_], body| match classify(&reply(status, headers, body), now()) {
        Outcome::Transient { retry_after, .. } | Outcome::Unrecognized { retry_after, .. } => {
            retry_after.map(|wait| wait.as_millis())
        }
        other => panic!("{body}: {other:?}"),
    };
    let odd = r#"{"error":"unknown_error"}"#;
    assert_eq!(wait(400, &[], odd), None);
    assert_eq!(wait(403, &[("retry-after", "3")], odd), Some(3_000));
    assert_eq!(wait(403, &[("retry-after", "1.5")], odd), Some(1_500));
    let limit = r#"{"status":601,"error":"Too Many Requests"}"#;
    assert_eq!(wait(200, &[], limit), None);
    let limit = r#"{"error":"rate_limit_exceeded","wait_seconds":9}"#;
    assert_eq!(wait(400, &[], limit), Some(9_000));
    assert_eq!(wait(400, &[], r#"{"error":"server_error"}"#), None);
    assert_eq!(
        wait(400, &[], r#"{"message":"Please retry your request"}"#),
        None
    );
    let Outcome::Unrecognized { refused, .. } = classify(&reply(400, &[], odd), now()) else {
        panic!("nobody knows it");
    };
    assert_eq!(refused.code, "unknown_error");
}

#[test]
fn a_server_that_failed_is_believed_where_its_code_is_clear() {
    for (status, body, expected) in [
        (500, r#"{"error":"invalid_grant"}"#, "grant"),
        (500, r#"{"error":"invalid_client"}"#, "client"),
        (
            500,
            r#"{"message":"the refresh token was not found"}"#,
            "server_error",
        ),
        (503, r#"{"error":"invalid_grant"}"#, "transient"),
        (
            500,
            r#"{"error":"temporarily_unavailable"}"#,
            "server_error",
        ),
        (
            504,
            r#"{"message":"Endpoint request timed out"}"#,
            "gateway_timeout",
        ),
        (502, r#"{"message":"upstream timed out"}"#, "server_error"),
        (500, r#"{"error":"oops","retry_after":1}"#, "server_error"),
        (
            200,
            r#"{"message":"Endpoint request timed out"}"#,
            "server_error",
        ),
    ] {
        let outcome = classify(&reply(status, &[], body), now());
        assert_eq!(word(&outcome), expected, "{status} {body}");
    }
}

#[test]
fn a_503_that_says_when_is_surely_not_acted_upon() {
    let outcome = classify(&reply(503, &[("retry-after", "7")], "busy"), now());
    assert!(
        matches!(&outcome, Outcome::Transient { retry_after: Some(after), .. } if after.as_secs() == 7),
        "{outcome:?}"
    );
}

#[test]
fn retry_after_may_be_a_date_and_date_tells_the_skew() {
    let late = reply(429, &[("retry-after", "Tue, 14 Nov 2023 22:13:50 GMT")], "");
    assert_eq!(retry_after(&late, now()), Some(Duration::from_secs(30)));
    let dated = reply(200, &[("date", "Tue, 14 Nov 2023 22:13:10 GMT")], "");
    assert_eq!(skew_seconds(&dated, now()), Some(-10));
    assert_eq!(
        skew_seconds(&reply(200, &[("date", "soon")], ""), now()),
        None
    );
}

#[test]
fn what_a_provider_says_is_cut_to_a_line() {
    let long = format!(
        r#"{{"error":"invalid_grant","error_description":"a\nb{}"}}"#,
        "x".repeat(500)
    );
    let reply = Reply {
        body: long.into(),
        ..reply(400, &[], "")
    };
    let Outcome::GrantRefused(refused) = classify(&reply, now()) else {
        panic!("refused")
    };
    let description = refused.description.unwrap();
    assert_eq!(description.len(), 200);
    assert!(!description.contains('\n'));
}

#[test]
fn a_content_type_floods_no_screen() {
    let long: &'static str = Box::leak("x".repeat(5_000).into_boxed_str());
    let Outcome::Suspect { why } = classify(&reply(400, &[("content-type", long)], ""), now())
    else {
        panic!("no reason was given");
    };
    assert!(why.len() < 300, "{why}");
}

#[test]
fn a_redirect_says_where_to_and_nothing_of_its_query() {
    let moved = |status, headers: &[(&'static str, &'static str)]| match classify(
        &reply(status, headers, "<html>"),
        now(),
    ) {
        Outcome::Moved { status, target } => (status.as_u16(), target),
        other => panic!("{other:?}"),
    };
    let to = [("location", "https://new.example/token?state=secret#x")];
    let target = Some("https://new.example/token".to_owned());
    assert_eq!(moved(302, &to), (302, target));
    assert_eq!(moved(308, &[("location", "?x")]), (308, None));
    for status in [404, 405, 410] {
        assert_eq!(moved(status, &[]), (status, None));
    }
}
