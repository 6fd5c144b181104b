//! Sign-ins at servers that do not do as the specifications say: what is looked for at the next place, and the next steps
//! that failures print, each followed to its end.

use std::net::TcpListener;

use e2e::ground::Ground;
use e2e::home::Home;
use e2e::next_step::NextStep;
use e2e::scenario::status;
use e2e::servers::Server;

/// Connecting in this mode works, with these flags.
fn connects(mode: &str, flags: &[&str]) -> String {
    let ground = Ground::new();
    let url = ground.url(mode);
    let output = ground.home.run(&[&["connect", "x", &url], flags].concat());
    let said = output.expect_code(0).stderr;
    assert!(said.contains("connected"), "{said}");
    assert!(ground.token("x").starts_with("faulty_access_token_"));
    ground.expect_unharmed();
    said
}

/// Connecting in this mode fails like this, and works once the next step is followed.
fn leads_out((mode, flags): (&str, &[&str]), (code, words): (i32, &[&str]), fill: &[(&str, &str)]) {
    let ground = Ground::new();
    let url = ground.url(mode);
    let failed = [&["connect", "x", &url, "--timeout", "20s"], flags].concat();
    let output = ground.home.run(&failed);
    let step = NextStep::of(&output).unwrap_or_default();
    output.expect_failure(code, words);
    let next = step.same_command(&failed, fill);
    assert!(next.is_some(), "no command: {step:?}");
    let next = next.unwrap_or_default();
    let next: Vec<&str> = next.iter().map(String::as_str).collect();
    let _ = ground.home.run(&next).expect_code(0);
    assert!(ground.token("x").starts_with("faulty_access_token_"));
    ground.expect_no_leak();
}

// ---- The next place -----------------------------------------------------------------------------

#[test]
fn a_page_at_the_first_place_is_no_end() {
    connects("html-first", &[]);
}

#[test]
fn metadata_that_moved_on_its_own_origin() {
    connects("moved-metadata", &[]);
}

#[test]
fn metadata_that_redirects_elsewhere() {
    let ground = Ground::new();
    let words = [
        "redirects to http://localhost:",
        "own origin only",
        "--issuer",
    ];
    ground
        .try_connect("away-metadata")
        .expect_failure(65, &words);
    ground.expect_unharmed();
}

#[test]
fn the_next_authorization_server() {
    connects("next-server", &[]);
}

#[test]
fn fields_of_a_wrong_type_that_nobody_needs() {
    connects("odd-types", &[]);
}

#[test]
fn a_resource_metadata_that_is_no_url() {
    connects("bad-resource-metadata", &[]);
}

#[test]
fn registration_for_localhost_alone() {
    let ground = Ground::new();
    let _ = ground
        .home
        .run(&["connect", "x", &ground.url("localhost-only")])
        .expect_code(0);
    assert_eq!(
        ground.server.count("requests", "POST /localhost-only/reg"),
        2
    );
    // The client is taken again with its own redirect URI.
    let _ = ground.home.run(&["reauthorize", "x"]).expect_code(0);
    assert_eq!(
        ground.server.count("requests", "POST /localhost-only/reg"),
        2
    );
}

#[test]
fn redirect_uris_of_this_machine_in_any_spelling() {
    for uri in ["http://localhost:PORT", "http://127.0.0.1:PORT/oauth/done"] {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let uri = uri.replace("PORT", &port);
        connects("html-first", &["--client-id", "c", "--redirect-uri", &uri]);
    }
}

/// `FastMCP`'s issuer ends with a slash, and a person leaves it out, or names the address of its metadata.
#[test]
fn an_issuer_without_the_slash_at_fastmcp() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[]);
    let bare = server.issuer().trim_end_matches('/');
    let metadata = format!("{bare}/.well-known/oauth-authorization-server");
    for (name, issuer) in [("bare", bare), ("place", &metadata)] {
        let url = server.url("/mcp");
        let _ = home
            .run(&["connect", name, &url, "--issuer", issuer])
            .expect_code(0);
        let status = status(&home, name);
        assert_eq!(status["issuer"], server.issuer(), "{status}");
        assert_eq!(
            status["resource"],
            server.resource(),
            "nothing is lost: {status}"
        );
    }
}

// ---- What a server says -------------------------------------------------------------------------

#[test]
fn a_nonce_where_a_server_wants_one_and_checks_it() {
    connects("wants-nonce", &["--scope", "openid"]);
    let ground = Ground::new();
    let url = ground.url("wrong-nonce");
    let words = ["the ID token's nonce", "do not go on"];
    ground
        .home
        .run(&["connect", "x", &url, "--scope", "openid"])
        .expect_failure(65, &words);
}

/// Nothing vouches for what another tab brings: it is shown, and the sign-in goes on.
#[test]
fn what_a_page_says_is_shown_while_somebody_waits() {
    let said = connects("no-state", &[]);
    assert!(
        said.contains("It said meanwhile: server_error no seat is left"),
        "{said}"
    );
    let said = connects("device-odd", &["--device", "--client-id", "c"]);
    assert!(said.contains("the user has not signed in yet"), "{said}");
}

// ---- Next steps ---------------------------------------------------------------------------------

#[test]
fn pkce_that_is_not_published() {
    let words = ["does not offer PKCE", "--pkce-unadvertised"];
    leads_out(("no-pkce", &[]), (77, &words), &[]);
    let ground = Ground::new();
    let issuer = ground.server.url("/no-pkce");
    let plain = ["connect", "x", &ground.url("no-pkce"), "--issuer", &issuer];
    let _ = ground.home.run(&plain).expect_code(0);
    // What was said once holds for the next sign-in.
    let _ = ground.home.run(&["reauthorize", "x"]).expect_code(0);
}

#[test]
fn a_resource_that_is_refused() {
    let words = ["invalid_target", "AADSTS9010010", "--no-resource"];
    leads_out(("refuses-resource", &[]), (77, &words), &[]);
    let ground = Ground::new();
    let url = ground.url("refuses-resource");
    let _ = ground
        .home
        .run(&["connect", "x", &url, "--no-resource"])
        .expect_code(0);
    assert!(status(&ground.home, "x")["resource"].is_null());
    let _ = ground.home.run(&["reauthorize", "x"]).expect_code(0);
}

#[test]
fn a_scope_that_is_wanted_is_named() {
    let words = [
        "invalid_scope",
        "it lists the scopes: read write",
        "--scope",
    ];
    leads_out(
        ("wants-scope", &[]),
        (77, &words),
        &[("ONE", "read"), ("ANOTHER", "")],
    );
}

#[test]
fn a_parameter_that_a_server_wants() {
    let words = ["an audience is required", "--param audience=URL"];
    leads_out(
        ("wants-audience", &["--token-param", "tenant=7"]),
        (77, &words),
        &[],
    );
    let ground = Ground::new();
    let url = ground.url("wants-audience");
    let set = [
        "--param",
        "audience=https://api.example",
        "--token-param",
        "tenant=7",
    ];
    let _ = ground
        .home
        .run(&[&["connect", "x", &url][..], &set].concat())
        .expect_code(0);
    let first = ground.token("x");
    let refresh = ["token", "x", "--min-ttl", "599s"];
    let second = ground.home.run(&refresh).stdout.trim().to_owned();
    assert!(
        first.starts_with("faulty_access_token_") && second.starts_with("faulty_access_token_")
    );
    let _ = ground.home.run(&["reauthorize", "x"]).expect_code(0);
}

#[test]
fn a_client_that_a_person_registers() {
    let words = ["does not register clients", "--client-id"];
    leads_out(("no-registration", &[]), (78, &words), &[("ID", "mine")]);
}

#[test]
fn no_device_flow() {
    let words = ["publishes no device_authorization_endpoint", "--headless"];
    let ground = Ground::new();
    let failed = [
        "connect",
        "x",
        &ground.url("good"),
        "--device",
        "--timeout",
        "3s",
    ];
    let output = ground.home.run(&failed);
    let step = NextStep::of(&output).unwrap_or_default();
    output.expect_failure(65, &words);
    let next = step.same_command(&failed, &[]).unwrap_or_default();
    assert!(!next.contains(&"--device".to_owned()) && next.contains(&"--headless".to_owned()));
}

#[test]
fn a_url_that_redirects_beside_itself() {
    let ground = Ground::new();
    let url = ground.url("redirect-slash");
    let output = ground.home.run(&["connect", "x", &url]);
    let step = NextStep::of(&output).unwrap_or_default();
    output.expect_failure(65, &["redirects to", "if you trust it"]);
    let (new, old) = step.in_place().unwrap_or_default();
    assert_eq!(old, url);
    let _ = ground.home.run(&["connect", "x", &new]).expect_code(0);
}

#[test]
fn a_port_that_is_taken() {
    let ground = Ground::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = [
        "connect",
        "x",
        &ground.url("good"),
        "--callback-port",
        &port,
    ];
    let output = ground.home.run(&failed);
    let step = NextStep::of(&output).unwrap_or_default();
    output.expect_failure(78, &["in use", "--headless"]);
    let next = step.same_command(&failed, &[]).unwrap_or_default();
    let next: Vec<&str> = next.iter().map(String::as_str).collect();
    let pasted = ground.home.authkeeper(&next).run();
    // It gets as far as the URL that is to be pasted.
    assert!(pasted.stderr.contains("paste"), "{}", pasted.stderr);
}

#[test]
fn a_name_that_is_taken() {
    let ground = Ground::new();
    let url = ground.url("html-first");
    let output = ground.home.run(&["connect", "earlier", &url]);
    let step = NextStep::of(&output).unwrap_or_default();
    output.expect_failure(64, &["already", "choose another name"]);
    let name = step.line.split("like ").nth(1).unwrap_or_default();
    let name = name.split([' ', ',']).next().unwrap_or_default();
    let _ = ground.home.run(&["connect", name, &url]).expect_code(0);
    ground.expect_unharmed();
}

#[test]
fn what_is_typed_nearly_right() {
    let ground = Ground::new();
    let url = format!("  <{}> ", ground.url("good"));
    let _ = ground.home.run(&["connect", "x", &url]).expect_code(0);
    let scope = ["connect", "x", &url, "--param", "scope=read"];
    let words = ["scope is not set by --param", "--scope"];
    ground.home.run(&scope).expect_failure(64, &words);
}
