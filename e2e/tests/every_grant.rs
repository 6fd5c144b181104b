//! Every way to sign in, against real servers, killed and started again in the middle:
//!
//! | grant                                  | server                | cut off                                       |
//! | -------------------------------------- | --------------------- | --------------------------------------------- |
//! | device code                            | oidc-provider         | while the person has the code                 |
//! | authorization code, pasted over a pipe | oidc-provider         | while the person has the URL                  |
//! | client credentials: basic, key         | oidc-provider         | after the claim; after the answer was lost    |
//! | client credentials: basic, post        | django-oauth-toolkit  |                                               |
//! | imported refresh token                 | oidc-provider         | between the import and the confirmation       |
//! | what mcp-remote stored                 | `FastMCP`             |                                               |
//! | API key                                | `FastMCP`, the sandbox | after the rotation; between it and the fallback |
//!
//! The authorization code in a browser on this machine is in `crashes.rs` and the others.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::browser::{Callback, parameter, visit};
use e2e::home::{Home, Output, Running};
use e2e::http::{self, serve_document};
use e2e::recorder::{SigningKey, Subject, secret_of};
use e2e::sandbox;
use e2e::scenario::{
    SOON, assert_no_leaks, assert_none_of, call_script, connect_api, records_of, refreshes,
    seconds_left, status, token, until_expired,
};
use e2e::secrets::Secret;
use e2e::servers::Server;
use e2e::wait::wait_until;
use e2e::{node, script};
use rustix::process::Signal;
use serde_json::json;

const OWN: &str = "client_credentials";

fn oidc(home: &Home, settings: &[(&str, &str)]) -> Server {
    Server::oidc_provider(&home.outside(), settings)
}

/// Starts `authkeeper` and waits until it has said this on standard error.
fn until_said<'a>(home: &'a Home, arguments: &[&str], said: &str) -> Running<'a> {
    let running = home.authkeeper(arguments).env("BROWSER", "false").spawn();
    assert!(
        wait_until(SOON, || running.stderr().contains(said)),
        "{said:?} is not said:\n{}",
        running.stderr()
    );
    running
}

/// The first URL that was shown and holds this.
fn shown(running: &Running<'_>, part: &str) -> String {
    let said = running.stderr();
    let words = said.split_whitespace();
    let mut urls = words.filter(|word| word.starts_with("http") && word.contains(part));
    urls.next()
        .unwrap_or_else(|| panic!("no URL with {part:?}:\n{said}"))
        .to_owned()
}

/// The connection's token is good at the API, and the one after it too.
fn works_and_is_renewed(home: &Home, server: &Server, name: &str) {
    let generation = || status(home, name)["generation"].as_u64().unwrap();
    assert_eq!(whoami(server, &token(home, name).run().expect_code(0)), 200);
    let before = generation();
    until_expired(home, name);
    assert_eq!(whoami(server, &token(home, name).run().expect_code(0)), 200);
    assert_eq!(generation(), before + 1);
}

fn whoami(server: &Server, printed: &Output) -> u16 {
    let bearer = format!("Bearer {}", printed.stdout.trim());
    let headers = [("authorization", bearer.as_str())];
    let answer = http::request(server.port(), "GET", "/api/whoami", &headers, "");
    answer.unwrap().status
}

// ---- Device code ------------------------------------------------------------------------------

fn connect_device(server: &Server) -> Vec<String> {
    let words = ["connect", "api", "--device", "--client-id", "device"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.insert(2, server.url("/api"));
    words
}

fn as_str(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn a_code_on_somebodys_phone_stays_good_when_the_command_is_killed() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "4")]);
    let words = connect_device(&server);
    let first = until_said(&home, &as_str(&words), "Waiting");
    let link = shown(&first, "user_code=");
    let code = parameter(&link, "user_code").unwrap().to_owned();
    assert!(
        first.stderr().contains(&code),
        "the code is shown by itself too"
    );
    let _ = first.kill_9().expect_killed();

    let second = until_said(&home, &as_str(&words), "Resuming the interrupted sign-in");
    assert_eq!(shown(&second, "user_code="), link, "it is the same code");
    visit(&link, "approve");
    let _ = second.finish(SOON).expect_code(0);
    assert_eq!(status(&home, "api")["grant_type"], "device_code");
    works_and_is_renewed(&home, &server, "api");
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn ctrl_c_says_what_is_left_of_the_sign_in() {
    let home = Home::new();
    let server = oidc(&home, &[]);
    let url = server.url("/api");
    let in_a_browser = ["connect", "api", &url, "--client-id", "pub"];
    let cut_off = |words: &[&str]| {
        let running = until_said(&home, words, "Waiting");
        running.signal(Signal::INT);
        running.finish(SOON).expect_code(130).stderr
    };
    let said = cut_off(&in_a_browser);
    assert!(
        said.ends_with("run the same command again for a new sign-in\n"),
        "{said}"
    );
    let said = cut_off(&as_str(&connect_device(&server)));
    assert!(
        said.ends_with("run the same command again to go on with it\n"),
        "{said}"
    );
    assert_eq!(home.run(&["status", "--json"]).json(), json!([]));
}

#[test]
fn a_person_who_refuses_at_the_other_device_is_heard() {
    let home = Home::new();
    let server = oidc(&home, &[]);
    let words = connect_device(&server);
    let running = until_said(&home, &as_str(&words), "Waiting");
    visit(&shown(&running, "user_code="), "deny");
    running
        .finish(SOON)
        .expect_failure(75, &["denied on the other device", "again"]);
    // What was refused is not gone on with.
    let again = until_said(&home, &as_str(&words), "Waiting");
    assert!(!again.stderr().contains("Going on"), "{}", again.stderr());
}

#[test]
fn a_code_is_gone_on_with_only_for_what_it_was_asked_for() {
    let home = Home::new();
    let server = oidc(&home, &[]);
    let words = connect_device(&server);
    let _ = until_said(&home, &as_str(&words), "Waiting").kill_9();
    for more in [["--principal", "bob"], ["--scope", "api openid"]] {
        let asked = [&as_str(&words)[..], &more].concat();
        let other = until_said(&home, &asked, "Waiting");
        assert!(
            !other.stderr().contains("Going on"),
            "{more:?}: {}",
            other.stderr()
        );
    }
}

#[test]
fn a_code_that_nobody_typed_ends() {
    let home = Home::new();
    let server = oidc(&home, &[]);
    server.ctl("set?device=3");
    let words = connect_device(&server);
    let output = home.run(&as_str(&words));
    output.expect_failure(75, &["ended before anyone signed in", "new code"]);
}

/// "Not yet" in other fields, in words and by the status alone: it is asked again until somebody has signed in.
#[test]
fn device_polls_that_say_not_yet_otherwise_go_on() {
    let home = Home::new();
    let server = Server::faulty(&home.outside(), &[]);
    let url = server.url("/device-odd/mcp");
    let words = ["connect", "x", &url, "--device", "--client-id", "c"];
    let _ = home.run(&words).expect_code(0);
    assert_eq!(status(&home, "x")["grant_type"], "device_code");
    assert_eq!(server.count("requests", "POST /device-odd/token"), 6);
}

/// Google gives a refresh token at the first consent only.
#[test]
fn a_sign_in_again_without_a_refresh_token_keeps_the_one_before() {
    let home = Home::new();
    let server = Server::faulty(&home.outside(), &[("AT_TTL", "6")]);
    let _ = home
        .run(&["connect", "x", &server.url("/refresh-once/mcp")])
        .expect_code(0);
    let again = home.run(&["reauthorize", "x"]).expect_code(0);
    assert!(
        !again.stderr.contains("no refresh token"),
        "{}",
        again.stderr
    );
    assert_eq!(status(&home, "x")["lineage"], 2);
    let first = home.run(&["token", "x"]).expect_code(0).stdout;
    let refreshed = || home.run(&["token", "x"]).expect_code(0).stdout != first;
    assert!(wait_until(SOON, refreshed));
}

/// No scope is advised that the provider does not know.
#[test]
fn offline_access_is_not_advised_where_nobody_lists_it() {
    let home = Home::new();
    let server = Server::faulty(&home.outside(), &[]);
    let connected = home
        .run(&["connect", "x", &server.url("/no-refresh/mcp")])
        .expect_code(0);
    assert!(
        connected.stderr.contains("gave no refresh token"),
        "{}",
        connected.stderr
    );
    let doctor = home.run(&["doctor"]);
    for said in [&connected.stderr, &doctor.stdout, &doctor.stderr] {
        assert!(!said.contains("offline_access"), "{said}");
    }
}

#[test]
fn a_server_without_the_device_flow_says_so() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[]);
    let output = home.run(&["connect", "mcp", &server.url("/mcp"), "--device"]);
    output.expect_failure(65, &["device_authorization_endpoint"]);
}

// ---- Headless ---------------------------------------------------------------------------------

#[test]
fn the_final_url_is_pasted_over_a_pipe_though_the_command_was_killed() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "4")]);
    // The browser is on another machine: whatever listens there is not authkeeper.
    let elsewhere = Callback::new();
    let (url, uri) = (server.url("/api"), elsewhere.uri());
    let words = [
        "connect",
        "api",
        &url,
        "--headless",
        "--client-id",
        "pub",
        "--redirect-uri",
        &uri,
    ];
    let first = until_said(&home, &words, "Waiting");
    let link = shown(&first, "code_challenge=");
    let _ = first.kill_9();
    let asked = elsewhere.browse(&link, "approve");
    let path = asked.split_whitespace().nth(1).unwrap();
    let origin = uri.strip_suffix("/callback").unwrap();

    let mut second = until_said(&home, &words, "Resuming the interrupted sign-in");
    second.feed(b"what was that URL again?\n");
    assert!(
        wait_until(SOON, || second.stderr().contains("That is not it")),
        "{}",
        second.stderr()
    );
    second.feed(format!("{origin}{path}\n").as_bytes());
    let _ = second.finish(SOON).expect_code(0);
    works_and_is_renewed(&home, &server, "api");
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_pipe_that_ends_without_the_url_says_what_is_missing() {
    let home = Home::new();
    let server = oidc(&home, &[]);
    let url = server.url("/api");
    let words = ["connect", "api", &url, "--headless", "--client-id", "pub"];
    let output = home.authkeeper(&words).env("BROWSER", "false").run();
    output.expect_failure(75, &["nothing was pasted", "the same sign-in goes on"]);
}

#[test]
fn a_server_that_wants_requests_pushed_gets_them_pushed() {
    let home = Home::new();
    let server = oidc(&home, &[("PAR", "required"), ("AT_TTL", "4")]);
    connect_api(&home, &server, "api");
    let pushed = server.ctl("stats")["requests"]["POST /request"].clone();
    assert_eq!(pushed, 1);
    works_and_is_renewed(&home, &server, "api");
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_client_that_is_known_by_its_document_registers_nothing() {
    const ID: &str = "https://cimd.test/client.json";
    let home = Home::new();
    let document = json!({
        "client_id": ID, "client_name": "authkeeper", "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
    });
    let port = serve_document(&document).to_string();
    let server = oidc(&home, &[("CIMD_PORT", &port), ("AT_TTL", "4")]);
    let url = server.url("/api");
    let words = ["connect", "api", &url, "--client-metadata-url", ID];
    let _ = home.run(&words).expect_code(0);
    assert_eq!(server.ctl("stats")["requests"]["POST /reg"], json!(null));
    works_and_is_renewed(&home, &server, "api");
    assert_no_leaks(&home, &[&server]);
}

// ---- Client credentials -----------------------------------------------------------------------

/// How many of the client's own tokens were asked for.
fn issued(server: &Server) -> u64 {
    server.count("received", OWN)
}

fn connect_own(home: &Home, server: &Server, more: &[&str]) -> Output {
    let url = server.url("/api");
    let words = ["connect", "api", &url, "--grant", OWN, "--client-id"];
    home.run(&[&words, more].concat())
}

#[test]
fn our_clients_own_token_is_issued_again_and_a_lost_answer_costs_nothing() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "4")]);
    let secret = home.secret_file("svc", &secret_of(&server, "svc"));
    let secret = secret.to_str().unwrap();
    let _ = connect_own(&home, &server, &["svc", "--client-secret-file", secret]).expect_code(0);
    let now = status(&home, "api");
    assert_eq!(
        (&now["grant_type"], &now["refreshable"]),
        (&json!(OWN), &json!(true))
    );
    works_and_is_renewed(&home, &server, "api");
    assert_eq!(
        (issued(&server), refreshes(&server)),
        (2, 0),
        "never a refresh"
    );

    until_expired(&home, "api");
    let died = token(&home, "api").env("AUTHKEEPER_FAULT", "claimed").run();
    let _ = died.expect_killed();
    let _ = token(&home, "api").run().expect_code(0);
    assert_eq!(issued(&server), 3, "the dead process had sent nothing");

    until_expired(&home, "api");
    server.ctl(&format!("fail?mode=after&grant={OWN}"));
    let lost = token(&home, "api").run();
    lost.expect_failure(69, &["no whole answer came", "again"]);
    assert!(
        wait_until(SOON, || token(&home, "api").run().code() == Some(0)),
        "nothing was spent, so it is simply asked for again"
    );
    assert_eq!(status(&home, "api")["incidents"], json!([]));
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_client_proves_itself_by_its_key_and_each_assertion_is_new() {
    let home = Home::new();
    let key = SigningKey::generate();
    let jwks = key.jwks().to_string();
    let server = oidc(&home, &[("AT_TTL", "4"), ("CLIENT_JWKS", &jwks)]);
    let pem = home.secret_file("key.pem", &key.pem());
    let pem = pem.to_str().unwrap();
    let keyed = ["keyed", "--private-key-file", pem, "--key-id", "key-1"];
    let _ = connect_own(&home, &server, &keyed).expect_code(0);
    works_and_is_renewed(&home, &server, "api");
    assert_eq!(server.count("outcomes", "client_credentials 200"), 2);
    let secret = key.pem().lines().nth(1).unwrap().to_owned();
    assert_none_of(&home, &[Secret::new("private_key", &secret)]);

    // The same client signs a person in, and refreshes.
    let url = server.url("/api");
    let words = ["connect", "person", &url, "--client-id"];
    let _ = home.run(&[&words[..], &keyed].concat()).expect_code(0);
    works_and_is_renewed(&home, &server, "person");
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_key_that_is_none_is_refused_before_anything_is_sent() {
    let home = Home::new();
    let server = oidc(&home, &[]);
    let pem = home.secret_file("key.pem", "not a key\n");
    let keyed = ["keyed", "--private-key-file", pem.to_str().unwrap()];
    connect_own(&home, &server, &keyed).expect_failure(78, &["can't sign", "PKCS#8"]);
    assert_eq!(issued(&server), 0);
}

#[test]
fn while_a_secret_is_replaced_no_call_notices() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "4")]);
    let old = home.secret_file("old", &secret_of(&server, "svc"));
    let _ = connect_own(
        &home,
        &server,
        &["svc", "--client-secret-file", old.to_str().unwrap()],
    )
    .expect_code(0);
    // The provider's console has made a new one; authkeeper is told before the old one is retired …
    let early = home.secret_file("early", "not-known-at-the-provider-yet");
    let rotate = |file: &PathBuf| {
        let words = [
            "rotate",
            "api",
            "--client-secret-file",
            file.to_str().unwrap(),
        ];
        let _ = home.run(&words).expect_code(0);
    };
    rotate(&early);
    works_and_is_renewed(&home, &server, "api");
    assert_eq!(
        server.count("outcomes", "client_credentials 401"),
        1,
        "tried once"
    );
    works_and_is_renewed(&home, &server, "api");
    assert_eq!(
        server.count("outcomes", "client_credentials 401"),
        1,
        "and remembered"
    );
    // … and then the old one is.
    server.ctl("rotate-secret?id=svc");
    let new = home.secret_file("new", &secret_of(&server, "svc"));
    until_expired(&home, "api");
    let refused = token(&home, "api").run();
    refused.expect_failure(78, &["refuses our client svc", "no token was harmed"]);
    rotate(&new);
    let _ = token(&home, "api").run().expect_code(0);
    assert_eq!(status(&home, "api")["incidents"], json!([]));
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn django_issues_to_a_secret_in_the_header_or_in_the_body() {
    let home = Home::new();
    let server = Server::django(&home.outside(), &[("AT_TTL", "4")]);
    let subject = Subject::django(&server, Duration::ZERO);
    let secret = home.secret_file("svc", &secret_of(&server, "svc"));
    let url = server.url("/api");
    for (name, method) in [
        ("basic", "client_secret_basic"),
        ("post", "client_secret_post"),
    ] {
        let words = [
            "connect",
            name,
            &url,
            "--issuer",
            &subject.issuer,
            "--grant",
            OWN,
            "--client-id",
            "svc",
            "--client-secret-file",
            secret.to_str().unwrap(),
            "--client-auth",
            method,
            "--scope",
            "read",
        ];
        let _ = home.run(&words).expect_code(0);
        works_and_is_renewed(&home, &server, name);
    }
    assert_no_leaks(&home, &[&server]);
}

// ---- Import -----------------------------------------------------------------------------------

#[test]
fn an_imported_token_is_not_spent_before_it_is_the_sole_copy() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "60")]);
    let subject = Subject::oidc_provider(&server);
    let tokens = subject.sign_in(&subject.public, &subject.access);
    let refresh = format!("{}\n", tokens["refresh_token"].as_str().unwrap());
    let (url, token_url) = (server.url("/api"), server.url("/token"));
    let words = [
        "import",
        "api",
        &url,
        "--token-url",
        &token_url,
        "--client-id",
        "pub",
        "--resource",
        &url,
        "--refresh-token-stdin",
    ];
    let imported = home.authkeeper(&words).stdin(&refresh).run().expect_code(0);
    assert!(
        imported.stderr.contains("not used yet"),
        "{}",
        imported.stderr
    );
    let now = status(&home, "api");
    assert_eq!(
        (&now["state"], &now["reason"]),
        (&json!("suspended"), &json!("second_copy"))
    );
    let held = token(&home, "api").run();
    held.expect_failure(75, &["retired", "--other-copy-retired"]);
    assert_eq!(refreshes(&server), 0);

    let confirm = ["import", "api", "--other-copy-retired"];
    let died = home
        .authkeeper(&confirm)
        .env("AUTHKEEPER_FAULT", "claimed")
        .run();
    let _ = died.expect_killed();
    let _ = home.run(&confirm).expect_code(0);
    assert_eq!(refreshes(&server), 1, "it is proved at once");
    assert_eq!(
        whoami(&server, &token(&home, "api").run().expect_code(0)),
        200
    );
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn an_import_never_moves_a_known_client_to_another_token_endpoint() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "4")]);
    connect_api(&home, &server, "api");
    let url = server.url("/api");
    let elsewhere = "http://127.0.0.1:9/token";
    let import = |name: &str| {
        let words = [
            "import",
            name,
            &url,
            "--issuer",
            server.issuer(),
            "--token-url",
            elsewhere,
            "--client-id",
            "pub",
            "--refresh-token-stdin",
        ];
        home.authkeeper(&words)
            .stdin("a-token-from-somewhere\n")
            .run()
    };
    import("other").expect_failure(65, &["pub", elsewhere, "--token-url"]);
    import("api").expect_failure(64, &["is connected and works"]);
    works_and_is_renewed(&home, &server, "api");
}

/// mcp-remote renews a token in its last minute. With tokens that live longer, the refresh token that it has stored is
/// the newest at the moment when it is killed.
#[test]
fn what_mcp_remote_stored_is_taken_over() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "3600")]);
    let (url, folder) = (server.url("/mcp"), home.outside().join("mcp-auth"));
    sign_in_with_mcp_remote(&home, &url, &folder);
    let folder = folder.to_str().unwrap();
    let words = [
        "import",
        "mcp",
        &url,
        "--from-mcp-remote",
        "--mcp-remote-dir",
        folder,
    ];
    let _ = home.run(&words).expect_code(0);
    assert_eq!(status(&home, "mcp")["reason"], "second_copy");
    let confirmed = [&words[..], &["--other-copy-retired"]].concat();
    let _ = home.run(&confirmed).expect_code(0);
    let _ = token(&home, "mcp").run().expect_code(0);
    assert_eq!(
        refreshes(&server),
        1,
        "by the client that mcp-remote registered"
    );
    let elsewhere = ["import", "x", "http://127.0.0.1:9/mcp", "--from-mcp-remote"];
    let nothing = home.run(&[&elsewhere[..], &["--mcp-remote-dir", folder]].concat());
    nothing.expect_failure(65, &["has stored nothing", folder]);
    assert_no_leaks(&home, &[&server]);
}

/// Lets the real mcp-remote sign in and end.
fn sign_in_with_mcp_remote(home: &Home, url: &str, folder: &Path) {
    let proxy = script("node_modules/mcp-remote/dist/proxy.js");
    let running = home
        .program(node(), &[proxy.to_str().unwrap(), url])
        .env("MCP_REMOTE_CONFIG_DIR", folder)
        .spawn();
    let asked = || running.stderr().contains("/authorize?");
    assert!(wait_until(SOON, asked), "{}", running.stderr());
    visit(&shown(&running, "/authorize?"), "approve");
    let stored = || {
        let files = fs::read_dir(folder.join("mcp-remote-v1"));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().ends_with("_tokens.json"))
    };
    assert!(wait_until(SOON, stored), "{}", running.stderr());
    let _ = running.kill_9();
}

/// A second import of a token joins the grant that it began, also when it is spent by then: sent again it would cost the
/// grant.
#[test]
fn a_token_that_is_imported_twice_is_one_grant() {
    let home = Home::new();
    let server = oidc(&home, &[("AT_TTL", "60")]);
    let subject = Subject::oidc_provider(&server);
    let tokens = subject.sign_in(&subject.public, &subject.access);
    let refresh = format!("{}\n", tokens["refresh_token"].as_str().unwrap());
    let (url, token_url) = (server.url("/api"), server.url("/token"));
    let import = |name: &str, url: &str| {
        let whose = ["--client-id", "pub", "--resource", url];
        let token = ["--token-url", &token_url, "--refresh-token-stdin"];
        let words = [&["import", name, url][..], &whose, &token].concat();
        home.authkeeper(&words).stdin(&refresh).run()
    };
    let _ = import("one", &url).expect_code(0);
    let _ = import("two", &url).expect_code(0);
    let confirm = ["import", "two", "--other-copy-retired"];
    let _ = home.run(&confirm).expect_code(0);
    let one = token(&home, "one").run().expect_code(0).stdout;
    let joined = import("three", &url).expect_code(0);
    assert!(
        joined.stderr.contains("holds this refresh token already"),
        "{}",
        joined.stderr
    );
    for name in ["two", "three"] {
        assert_eq!(token(&home, name).run().expect_code(0).stdout, one);
    }
    assert_eq!(refreshes(&server), 1);
    let elsewhere = import("four", "http://127.0.0.1:9/api");
    elsewhere.expect_failure(64, &["one", "disconnect"]);

    let left = home.run(&["disconnect", "one"]).expect_code(0);
    assert!(left.stderr.contains("three and two"), "{}", left.stderr);
    assert_eq!(whoami(&server, &token(&home, "two").run()), 200);
    let _ = home.run(&["disconnect", "three"]).expect_code(0);
    // Of an import with --token-url nothing else of the provider is known.
    let last = home.run(&["disconnect", "two"]).expect_code(0);
    assert!(
        last.stderr.contains("offers no revocation"),
        "{}",
        last.stderr
    );
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn an_import_without_its_client_or_its_token_says_what_to_add() {
    let home = Home::new();
    let token_url = ["--token-url", "http://127.0.0.1:9/token"];
    let import = |more: &[&str]| {
        let words = ["import", "api", "http://127.0.0.1:9/api"];
        home.run(&[&words[..], &token_url, more].concat())
    };
    import(&["--refresh-token-stdin"]).expect_failure(64, &["--client-id"]);
    import(&["--client-id", "c", "--refresh-token-stdin"])
        .expect_failure(65, &["standard input holds no refresh token"]);
    home.run(&["import", "api"])
        .expect_failure(64, &["--other-copy-retired"]);
    home.run(&["import", "api", "--other-copy-retired"])
        .expect_failure(66, &["no connection named api"]);
}

// ---- API keys ---------------------------------------------------------------------------------

#[test]
fn a_key_is_replaced_with_an_overlap_and_a_bad_one_gives_way() {
    let home = Home::new();
    let server = sandbox::Running::start(Profile::Strict, Duration::ZERO);
    let key = |name: &str| {
        let key = server.control("keys", &json!({"name": name}))["key"].clone();
        let key = key.as_str().unwrap().to_owned();
        (home.secret_file(name, &key), key)
    };
    let (first_file, first) = key("first");
    let url = format!("{}/api", server.url());
    let words = [
        "connect",
        "api",
        &url,
        "--grant",
        "api_key",
        "--key-file",
        first_file.to_str().unwrap(),
        "--credential-header",
        "X-API-Key",
        "--rotate-by",
        "90d",
    ];
    let _ = home.run(&words).expect_code(0);
    assert_eq!(call(&home), (200, 0));
    assert_eq!(status(&home, "api")["expires_at"], json!(null));

    let rotate = |file: &PathBuf| {
        let words = ["rotate", "api", "--key-file", file.to_str().unwrap()];
        home.run(&words).expect_code(0)
    };
    let (second_file, second) = key("second");
    let _ = rotate(&second_file);
    server.control("keys/1/retire", &json!({}));
    assert_eq!(call(&home), (200, 0), "the new one is in use");

    // A key that was mistyped: the one before it serves, and the owner is told.
    let _ = rotate(&home.secret_file("typo", "not-a-key-of-anybody"));
    assert_eq!(call(&home), (200, 0));
    let told = token(&home, "api").run().expect_code(0);
    assert_eq!(
        records_of(&told, "rotation_failed")[0]["reason"],
        "new_key_refused"
    );
    // With nothing behind it a refused key needs a person.
    server.control("keys/2/retire", &json!({}));
    assert_eq!(call(&home), (403, 75));
    let now = status(&home, "api");
    let reasons = now["incidents"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons.map(|incident| incident["reason"].clone()).collect();
    assert!(reasons.contains(&json!("key_refused")), "{reasons:?}");
    assert_eq!(now["action"], "authkeeper rotate api");
    let said = home.run(&["status"]).expect_code(0).stdout;
    let next = "to do: replace the key: authkeeper rotate api";
    assert!(said.contains(next), "{said}");
    // `token` prints the key that is in use, as it prints access tokens.
    let keys = [first, second].map(|key| Secret::new("access_token", &key));
    assert_none_of(&home, &keys);
}

/// One call through a run's proxy, as a job makes it: its status, and the run's exit code.
fn call(home: &Home) -> (u16, i32) {
    let script = call_script("api/me");
    let output = home
        .authkeeper(&["run", "--with", "api", "--", "sh", "-c", &script])
        .run();
    let status = output.stdout.parse();
    let status = status.unwrap_or_else(|_| panic!("{output:?}"));
    (status, output.code().unwrap())
}

#[test]
fn a_real_mcp_server_that_takes_keys_is_kept_through_a_rotation() {
    const KEYS: [&str; 2] = [
        "a-key-that-alice-made-first",
        "a-key-that-alice-made-second",
    ];
    let home = Home::new();
    let server = Server::with_keys(&home.outside(), &KEYS);
    let url = server.url("/mcp");
    let key = |words: &[&str], key: &str| {
        let words = [words, &["--key-stdin"]].concat();
        let line = format!("{key}\n");
        let _ = home.authkeeper(&words).stdin(&line).run().expect_code(0);
    };
    key(&["connect", "mcp", &url, "--grant", "api_key"], KEYS[0]);
    let tools = || {
        let checked = home.run(&["check", "mcp", "--json"]);
        (
            checked.code().unwrap(),
            checked.stdout.contains(r#""tools":1"#),
        )
    };
    assert_eq!(tools(), (0, true));
    // A bridge that saw the rotation is killed: what comes after it has nothing but the store.
    let bridge = home.authkeeper(&["mcp", "mcp"]).spawn();
    key(&["rotate", "mcp"], KEYS[1]);
    let _ = bridge.kill_9();
    server.ctl("retire?n=0");
    assert_eq!(tools(), (0, true), "the new key is in use");
    server.ctl("retire?n=1");
    let (code, _) = tools();
    assert_eq!(code, 75, "with no key left a person is asked");
    let keys = KEYS.map(|key| Secret::new("api_key", key));
    assert_none_of(&home, &keys);
}

#[test]
fn the_owner_of_a_key_is_told_ahead_of_its_day() {
    let home = Home::new();
    let server = sandbox::Running::start(Profile::Strict, Duration::ZERO);
    let url = format!("{}/api", server.url());
    let words = [
        "connect",
        "api",
        &url,
        "--grant",
        "api_key",
        "--key-stdin",
        "--rotate-by",
        "10d",
        "--no-check",
    ];
    let _ = home
        .authkeeper(&words)
        .stdin("a-key-of-alices\n")
        .run()
        .expect_code(0);
    let told = token(&home, "api").run().expect_code(0);
    let records = records_of(&told, "rotation_due");
    assert_eq!(records.len(), 1);
    assert_eq!(
        records[0]["action"],
        "authkeeper rotate api --key-file FILE"
    );
    assert!(seconds_left(&home, "api") > 86_400);
}

// ---- The catalogue ----------------------------------------------------------------------------

#[test]
fn a_provider_of_the_catalogue_asks_only_for_what_is_missing() {
    let home = Home::new();
    home.run(&["connect", "gh", "--provider", "github"])
        .expect_failure(
            64,
            &[
                "https://github.com/settings/developers",
                "http://127.0.0.1",
                "--client-id",
            ],
        );
    home.run(&[
        "connect",
        "kc",
        "https://api.example/",
        "--provider",
        "keycloak",
    ])
    .expect_failure(64, &["--set host="]);
    home.run(&["connect", "x", "--provider", "gihtub"])
        .expect_failure(64, &["gihtub", "github"]);
    let set = [
        "connect",
        "x",
        "--provider",
        "microsoft",
        "--set",
        "tenant=a/../b",
    ];
    home.run(&set).expect_failure(64, &["a/../b"]);
}
