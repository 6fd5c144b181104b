//! Bad input from every side: each a clear error, a hint, its exit code, and nothing lost.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use e2e::ground::{EARLIER, Ground};
use e2e::home::{Home, authkeeper_binary};
use e2e::secrets;
use e2e::servers::Server;
use e2e::wait::wait_until;

/// Connecting to the server in this mode fails like this, and nothing is lost.
fn refused(mode: &str, code: i32, words: &[&str]) {
    let ground = Ground::new();
    ground.try_connect(mode).expect_failure(code, words);
    ground.home.run(&["status", "x"]).expect_failure(66, &["x"]);
    ground.expect_unharmed();
}

/// These arguments fail like this, and nothing is lost.
fn fails(arguments: &[&str], code: i32, words: &[&str]) {
    let ground = Ground::new();
    ground.home.run(arguments).expect_failure(code, words);
    ground.expect_unharmed();
}

/// These arguments are not understood: the usage is said.
fn usage(arguments: &[&str], words: &[&str]) {
    let output = Home::new().run(arguments).expect_code(64);
    assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
    for word in words.iter().chain(&["--help"]) {
        assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
    }
    assert_eq!(output.stdout, "");
}

// ---- The URL ------------------------------------------------------------------------------------

#[test]
fn a_mistyped_host() {
    let url = "https://mcp.nosuchhost.invalid/mcp";
    let words = ["mcp.nosuchhost.invalid can't be resolved", "typing error"];
    fails(&["connect", "x", url], 69, &words);
}

#[test]
fn a_port_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let url = format!("http://{address}/mcp");
    let words = [&address, "refused", "typing error"];
    fails(&["connect", "x", &url], 69, &words);
}

#[test]
fn no_scheme() {
    let words = ["mcp.example/mcp", "is not a URL", "https://"];
    fails(&["connect", "x", "mcp.example/mcp"], 64, &words);
}

#[test]
fn plain_http_to_another_machine() {
    let words = ["must use https", "this machine only"];
    fails(&["connect", "x", "http://mcp.example/mcp"], 64, &words);
}

#[test]
fn a_fragment() {
    let words = ["fragment", "remove it"];
    fails(&["connect", "x", "https://mcp.example/mcp#top"], 64, &words);
}

#[test]
fn a_name_with_a_space() {
    let arguments = ["connect", "my notes", "https://mcp.example/mcp"];
    fails(&arguments, 64, &["my notes", "letters", "choose a name"]);
}

// ---- Discovery ----------------------------------------------------------------------------------

#[test]
fn no_oauth_there() {
    refused(
        "no-oauth",
        65,
        &["has no OAuth", "answered 200", "--issuer"],
    );
}

/// What servers of MCP 2025-03-26 have at fixed paths is looked for, and not there.
#[test]
fn no_oauth_behind_a_challenge() {
    refused(
        "no-metadata",
        65,
        &["has no OAuth", "answered 401", "--issuer"],
    );
}

/// What can't be answered now is not taken for what is not there.
#[test]
fn nothing_there_for_the_moment() {
    for mode in ["metadata-503", "no-answer"] {
        let ground = Ground::new();
        let words = ["can't answer now", "503", "try again later"];
        ground.try_connect(mode).expect_failure(69, &words);
        assert_eq!(ground.server.count("requests", "POST /register"), 0);
    }
}

#[test]
fn nothing_there() {
    refused("not-found", 65, &["has no OAuth", "404", "check the path"]);
}

#[test]
fn a_redirect() {
    let words = [
        "redirects to",
        "/redirect/elsewhere",
        "never sent across a redirect",
        "if you trust it",
    ];
    refused("redirect", 65, &words);
}

#[test]
fn metadata_of_another_issuer() {
    let words = [
        "claims to be issuer",
        "issuer-mismatch-other",
        "do not go on",
    ];
    refused("issuer-mismatch", 65, &words);
}

/// A URL that a server published is its mistake: nobody is told to type another, and the server and the field are named.
#[test]
fn published_urls_that_are_none() {
    let ground = Ground::new();
    let fields: [(&str, &str, &[&str]); 6] = [
        (
            "authorization-servers",
            "/.well-known/oauth-protected-resource",
            &[],
        ),
        ("authorization-endpoint", "authorization_endpoint", &[]),
        ("token-endpoint", "token_endpoint", &[]),
        ("registration-endpoint", "registration_endpoint", &[]),
        (
            "device-authorization-endpoint",
            "device_authorization_endpoint",
            &["--device"],
        ),
        (
            "pushed-authorization-request-endpoint",
            "pushed_authorization_request_endpoint",
            &[],
        ),
    ];
    for (field, words, more) in fields {
        let url = ground.url(&format!("bad-{field}"));
        let arguments = [&["connect", "x", &url, "--timeout", "3s"], more].concat();
        let output = ground.home.run(&arguments);
        let field = field.replace('-', "_");
        let wrong = format!("publishes a wrong {field}: \"/a/path\"");
        let said = output.stderr.clone();
        output.expect_failure(65, &[&wrong, words, "the mistake is the server's"]);
        assert!(!said.contains("give the whole URL"), "{said}");
    }
    let device = ["--device", "--client-id", "c"];
    let url = ground.url("bad-verification-uri");
    let arguments = [&["connect", "x", &url][..], &device].concat();
    let words = [
        "publishes a wrong verification_uri",
        "the mistake is the server's",
    ];
    ground.home.run(&arguments).expect_failure(65, &words);
    let words = ["claims to be issuer \"/a/path\"", "do not go on"];
    ground.try_connect("bad-issuer").expect_failure(65, &words);
    ground.expect_unharmed();
}

/// Nobody typed that host.
#[test]
fn a_published_host_without_an_address() {
    let words = [
        "names https://as.nosuchhost.invalid in authorization_servers",
        "can't be resolved",
        "tell the server's operator",
    ];
    refused("lost-server", 69, &words);
}

#[test]
fn metadata_of_another_resource() {
    let words = ["resource-mismatch/other", "do not go on"];
    refused("resource-mismatch", 65, &words);
}

#[test]
fn no_pkce() {
    refused("no-pkce", 77, &["does not offer PKCE", "ask its operator"]);
}

#[test]
fn no_registration_and_no_client_id() {
    let words = ["does not register clients", "--client-id"];
    refused("no-registration", 78, &words);
}

#[test]
fn metadata_that_is_a_page() {
    let words = ["not metadata", "text/html", "check the URL"];
    refused("metadata-html", 65, &words);
}

#[test]
fn metadata_that_is_huge() {
    let words = [
        "metadata-huge: the answer is larger than 1024 KiB",
        "operator",
    ];
    refused("metadata-huge", 65, &words);
}

#[test]
fn metadata_that_drips() {
    let words = [
        "metadata-slow did not answer within 20 s",
        "try again later",
    ];
    refused("metadata-slow", 69, &words);
}

// ---- The sign-in --------------------------------------------------------------------------------

#[test]
fn a_redirect_from_another_issuer() {
    let words = ["iss-mismatch-other", "do not go on"];
    refused("iss-mismatch", 65, &words);
}

#[test]
fn a_redirect_that_hides_its_issuer() {
    let words = ["does not say which server", "do not go on"];
    refused("iss-missing", 65, &words);
}

/// A forged redirect must not end the sign-in: the real one may still come.
#[test]
fn a_redirect_with_another_state_is_ignored() {
    let words = ["nobody signed in within 3 s", "run the same command again"];
    refused("state-mismatch", 75, &words);
}

#[test]
fn the_person_denies() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let url = server.url("/api");
    let known = ["--client-id", "pub", "--scope", "api"];
    let connect = |name| {
        [
            &["connect", name, &url, "--issuer", server.issuer()][..],
            &known,
        ]
        .concat()
    };
    let _ = home.run(&connect("earlier")).expect_code(0);
    let denied = home
        .authkeeper(&connect("x"))
        .env("SCRIPTED_ANSWER", "deny");
    let words = ["access was denied", "run the same command again"];
    denied.run().expect_failure(75, &words);
    let _ = home.run(&["token", "earlier"]).expect_code(0);
    assert_eq!(server.count("received", "refresh_token"), 0);
    assert_eq!(home.search(&secrets::issued_by(&[&server])), []);
}

#[test]
fn no_browser() {
    let ground = Ground::new();
    let url = ground.url("good");
    let connect = ["connect", "x", &url, "--timeout", "2s"];
    let blind = ground.home.authkeeper(&connect).without_env("BROWSER");
    let words = [
        "Open in a browser on this machine (or start again with --device or --headless):\n\n  http://127.0.0.1:",
        "nobody signed in within 2 s",
        "set BROWSER",
    ];
    blind.run().expect_failure(75, &words);
    ground.expect_unharmed();
}

#[test]
fn the_callback_port_is_taken() {
    let ground = Ground::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let url = ground.url("good");
    let connect = ["connect", "x", &url, "--callback-port", &port];
    let words = [&port, "in use", "--callback-port"];
    ground.home.run(&connect).expect_failure(78, &words);
    ground.expect_unharmed();
}

#[test]
fn the_name_is_taken_by_another_url() {
    let ground = Ground::new();
    let other = ground.url("no-pkce");
    let words = [&ground.url("good"), "already", "choose another name"];
    let taken = ground.home.run(&["connect", EARLIER, &other]);
    taken.expect_failure(64, &words);
    ground.expect_unharmed();
}

#[test]
fn the_client_secret_is_missing_or_empty() {
    let ground = Ground::new();
    let file = ground.home.path().join("client-secret");
    let file = file.to_str().unwrap();
    let url = ground.url("good");
    let connect = ["connect", "x", &url, "--client-id", "c"];
    let connect = [&connect[..], &["--client-secret-file", file]].concat();
    let next = "put the client secret alone into that file";
    let missing = ground.home.run(&connect);
    missing.expect_failure(65, &[file, "No such file", next]);
    fs::write(file, " \n").unwrap();
    let empty = ground.home.run(&connect);
    empty.expect_failure(65, &[file, "does not hold one client secret", next]);
    ground.expect_unharmed();
}

// ---- The token endpoint -------------------------------------------------------------------------

#[test]
fn the_code_is_answered_with_a_page() {
    let words = ["did not answer", "text/html", "proxy or firewall"];
    refused("token-html", 65, &words);
}

#[test]
fn the_code_is_answered_with_10_mb() {
    let words = [
        "/token-huge/token: the answer is larger",
        "proxy or firewall",
    ];
    refused("token-huge", 65, &words);
}

#[test]
fn the_code_is_answered_with_502() {
    let words = ["status 502", "again later"];
    refused("token-502", 69, &words);
}

/// The living token is served whatever the provider does; the grant is kept, and is refreshed as
/// soon as the provider answers well again.
fn refresh_survives(fault: &str, reason: &str) {
    let home = Home::new();
    let ground = Ground::with_ttl(home, 12);
    let mode = format!("refresh-{fault}");
    ground.connect("x", &mode);
    // The lost answer is asked for again after six seconds: when the token has ended (less than three after it was due)
    // and not before the server is well.
    let connected = ground.home.run(&["status", "x", "--json"]).json();
    let issuer = connected[0]["issuer"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ground.home.write_config(&format!(
        "[refresh]\nexchange_limit = \"3s\"\n\n[provider.\"{issuer}\"]\nreplay = \"grace 18s\"\n"
    ));
    let first = ground.token("x");
    let refresh_failed = || {
        assert_eq!(ground.token("x"), first, "the living token is served");
        ground.exchanges(&mode) == 2
    };
    assert!(wait_until(Duration::from_secs(15), refresh_failed));
    assert_eq!(ground.token("x"), first, "the living token is served");
    ground.await_end("x");
    let expired = ground.home.run(&["token", "x"]);
    let advice = [
        "try again in ",
        "asks the provider again as its rule allows",
    ];
    expired.expect_failure(69, &[&["x", reason], &advice[..]].concat());
    ground.server.ctl("heal");
    let healed = || ground.home.run(&["token", "x"]).code() == Some(0);
    assert!(wait_until(Duration::from_secs(20), healed));
    assert_ne!(ground.token("x"), first);
    ground.token(EARLIER);
    ground.expect_no_leak();
}

#[test]
fn a_refresh_is_answered_with_a_page() {
    refresh_survives("token-html", "unreadable_answer");
}

#[test]
fn a_refresh_is_answered_with_10_mb() {
    refresh_survives("token-huge", "unreadable_answer");
}

#[test]
fn a_refresh_is_answered_with_502() {
    refresh_survives("token-502", "server_error");
}

// ---- The command line ---------------------------------------------------------------------------

#[test]
fn unknown_connections() {
    let ground = Ground::new();
    for command in ["token", "status", "mcp", "reauthorize", "disconnect"] {
        let words = [
            "no connection named nobody",
            "authkeeper connect nobody URL",
        ];
        ground
            .home
            .run(&[command, "nobody"])
            .expect_failure(66, &words);
    }
    let marker = ground.home.path().join("started");
    let touch = ["--", "touch", marker.to_str().unwrap()];
    let run = [&["run", "--with", EARLIER, "--with", "nobody"][..], &touch].concat();
    let words = ["no connection named nobody"];
    ground.home.run(&run).expect_failure(66, &words);
    assert!(!marker.exists(), "nothing is started that can't work");
    ground.expect_unharmed();
}

#[test]
fn usage_errors() {
    let nothing = Home::new().run(&[]).expect_code(64);
    assert!(nothing.stderr.contains("Usage: authkeeper") && nothing.stdout.is_empty());
    usage(&["frobnicate"], &["frobnicate", "Usage: authkeeper"]);
    usage(&["token"], &["<NAME>"]);
    usage(&["token", "x", "--min-ttl", "soon"], &["soon", "10m"]);
    let nowhere = Home::new().run(&["connect", "x"]);
    nowhere.expect_failure(64, &["nothing to connect x to", "URL", "--provider"]);
    usage(
        &[
            "connect",
            "x",
            "https://a.example",
            "--callback-port",
            "99999",
        ],
        &["99999"],
    );
    usage(
        &[
            "connect",
            "x",
            "https://a.example",
            "--client-secret-file",
            "f",
        ],
        &["--client-id"],
    );
    usage(&["run", "--with", "x"], &["<CMD>"]);
    usage(&["run", "--", "true"], &["--with"]);
    let taken_over = ["import", "x", "https://a.example", "--from-mcp-remote"];
    for own in [
        ["--client-auth", "none"],
        ["--client-metadata-url", "https://a.example/c"],
    ] {
        usage(
            &[&taken_over[..], &own].concat(),
            &["--from-mcp-remote", own[0]],
        );
    }
}

/// A flag that means nothing is not passed over, and nobody is asked for a secret before all the rest is right.
#[test]
fn flags_that_mean_nothing_and_secrets_asked_for_in_vain() {
    let url = "https://api.example/v1";
    let connect = |more: &[&str]| {
        let words = ["connect", "x", url];
        Home::new().run(&[&words[..], more].concat())
    };
    for (flags, words) in [
        (&["--rotate-by", "90d"][..], &["--rotate-by", "api_key"][..]),
        (
            &["--headless", "--grant", "client_credentials"],
            &["--headless", "authorization_code", "client_credentials"],
        ),
        (
            &["--grant", "device_code", "--key-stdin"],
            &["--key-stdin", "api_key", "device_code"],
        ),
        (
            &["--device", "--grant", "api_key"],
            &["--device", "device_code"],
        ),
        // Standard input holds no key: what is wrong beside it is said first.
        (&["--key-stdin", "--rotate-by", "soon"], &["soon", "90d"]),
        (
            &["--key-stdin", "--credential-header", "Host"],
            &["Host", "--credential-header"],
        ),
        (
            &["--key-stdin", "--header", "Host: x"],
            &["host", "HTTP connection"],
        ),
        (
            &["--key-stdin", "--header", "Authorization: Bearer s3cret"],
            &["authorization", "--credential-header"],
        ),
        (
            &["--key-stdin", "--header", "X-Key: a\nb"],
            &["x-key", "line break"],
        ),
        (
            &[
                "--key-stdin",
                "--credential-header",
                "X-Key",
                "--header",
                "X-Key: a",
            ],
            &["x-key", "--credential-header"],
        ),
    ] {
        connect(flags).expect_failure(64, words);
    }
    let words = ["connect", "x", "api.example", "--key-stdin"];
    Home::new()
        .run(&words)
        .expect_failure(64, &["is not an absolute URL"]);
    let words = ["rotate", "nobody", "--key-stdin"];
    let words = [&words[..], &["--rotate-by", "soon"]].concat();
    Home::new().run(&words).expect_failure(64, &["soon"]);
    Home::new().run(&words[..3]).expect_failure(66, &["nobody"]);
    let secret = ["rotate", "x", "--client-secret-file", "f"];
    for own in [["--rotate-by", "90d"], ["--overlap", "1h"]] {
        usage(&[&secret[..], &own].concat(), &[own[0]]);
    }
}

#[test]
fn wrong_configuration() {
    let ground = Ground::new();
    for (toml, words) in [
        ("on_truble = \"mail\"\n", &["line 1", "on_truble"][..]),
        (
            "[refresh]\nreserve = \"soon\"\n",
            &["\"soon\" is not a duration"],
        ),
        ("[refresh\n", &["line 1"]),
        ("[provider.x]\nreplay = \"maybe\"\n", &["maybe"]),
    ] {
        ground.home.write_config(toml);
        let words = [words, &["config.toml", "correct that line"]].concat();
        ground
            .home
            .run(&["token", EARLIER])
            .expect_failure(78, &words);
    }
    let named = ground.home.path().join("no-such-config.toml");
    ground
        .home
        .authkeeper(&["token", EARLIER])
        .env("AUTHKEEPER_CONFIG", named)
        .run()
        .expect_failure(78, &["no-such-config.toml", "AUTHKEEPER_CONFIG"]);
    ground.home.write_config("");
    ground.expect_unharmed();
}

#[test]
fn commands_that_can_not_be_run() {
    let ground = Ground::new();
    let run = |command| ground.home.run(&["run", "--with", EARLIER, "--", command]);
    let words = ["no-such-command", "No such file", "check the command"];
    run("no-such-command").expect_failure(127, &words);
    let file = ground.home.path().join("notes.txt");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    run(file).expect_failure(126, &[file, "Permission denied", "may be executed"]);
    ground.expect_unharmed();
}

// ---- What is printed where ----------------------------------------------------------------------

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let ground = Ground::new();
    let binary = authkeeper_binary();
    for command in [
        "status",
        "status --json",
        "doctor",
        "--help",
        "token nobody",
    ] {
        // The pipe has no reader from the start, on both streams.
        let line = format!(
            "('{}' {command} 2>&1; echo $? >&3) 3>code | true",
            binary.display()
        );
        let output = ground.home.program("sh", &["-c", &line]).run();
        assert_eq!(output.code(), Some(0), "{}", output.stderr);
        let code = fs::read_to_string(ground.home.path().join("code")).unwrap();
        // Its result was not written.
        let expected = if command == "token nobody" {
            "66\n"
        } else {
            "74\n"
        };
        assert_eq!(code, expected, "{command}");
    }
    ground.expect_unharmed();
}

#[test]
fn data_is_json_where_asked_and_never_coloured_in_a_pipe() {
    let ground = Ground::new();
    for arguments in [
        &["status"][..],
        &["status", EARLIER],
        &["doctor"],
        &["token", EARLIER],
    ] {
        let plain = ground.home.run(arguments).expect_code(0);
        assert!(!plain.stdout.contains('\x1b') && !plain.stdout.is_empty());
        assert_eq!(plain.stderr, "", "{arguments:?}");
        let json = [arguments, &["--json"]].concat();
        let json = ground.home.run(&json).expect_code(0);
        assert_eq!(json.stderr, "");
        let json = json.json();
        assert!(json.is_object() || json.is_array(), "{json}");
    }
    let token = ground.home.run(&["token", EARLIER, "--json"]).json();
    assert_eq!(token["connection"], EARLIER);
    assert_eq!(token["access_token"], ground.token(EARLIER).as_str());
    ground.expect_unharmed();
}

/// Where standard output is not data, `--json` is refused, and not passed over.
#[test]
fn json_of_what_has_no_data_is_refused() {
    let ground = Ground::new();
    for command in [&["mcp", EARLIER][..], &["completions", "bash"], &["man"]] {
        let words = ["has no data", "leave --json out"];
        let json = [&["--json"], command].concat();
        ground.home.run(&json).expect_failure(64, &words);
    }
    let pages = ground.home.path().join("man");
    let pages = pages.to_str().unwrap();
    let written = ground.home.run(&["man", "--out", pages, "--json"]);
    let written = written.expect_code(0).json();
    assert_eq!(written["folder"], pages);
    assert!(written["pages"].as_u64() > Some(10), "{written}");
    ground.expect_unharmed();
}

/// `script` gives the command a terminal.
#[test]
fn no_color_is_respected_on_a_terminal() {
    let ground = Ground::new();
    let line = format!("'{}' token nobody", authkeeper_binary().display());
    let on_terminal = |no_color: bool| {
        let script = ["-qec", &line, "/dev/null"];
        let script = ground.home.program("script", &script);
        let script = if no_color {
            script.env("NO_COLOR", "1")
        } else {
            script
        };
        script.run().expect_code(66).stdout
    };
    assert!(on_terminal(false).contains("\x1b[31m"));
    assert!(!on_terminal(true).contains('\x1b'));
    ground.expect_unharmed();
}
