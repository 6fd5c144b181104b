//! A network with a proxy and a certificate authority of its own: pproxy (CONNECT and SOCKS5), nginx as TLS front of
//! `FastMCP`, nghttpd that speaks HTTP/2 alone. The servers' names mean something to the proxy only.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;

use e2e::home::{Home, Invocation};
use e2e::scenario::{call_script, refreshes, until_expired};
use e2e::script;
use e2e::secrets::{self, Secret};
use e2e::servers::Server;

const MCP: &str = "https://mcp.partner.test/mcp";
/// As it stands in a URL, and as it is.
const USER: &str = "agent:pa%3Ass%40word-of-the-proxy";
const PASSWORD: &str = "pa:ss@word-of-the-proxy";

/// Variables, the exit code, and words that are said.
type Case<'a> = (&'a [(&'a str, &'a str)], i32, &'a [&'a str]);

struct Network {
    mcp: Server,
    front: Server,
    home: Home,
}

impl Network {
    fn new(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let base = [("BASE", "https://mcp.partner.test"), ("AT_TTL", "8")];
        let mcp = Server::fastmcp(&home.outside(), &base);
        let port = mcp.port().to_string();
        let settings = [&[("UPSTREAM", port.as_str())], settings].concat();
        let front = Server::corporate(&home.outside(), &settings);
        Self { mcp, front, home }
    }

    /// One whose proxy wants to know who asks.
    fn with_password() -> Self {
        Self::new(&[("USER", &format!("agent:{PASSWORD}"))])
    }

    fn proxy(&self, scheme: &str, user: &str) -> String {
        format!("{scheme}://{user}127.0.0.1:{}", self.front.port())
    }

    fn ca(&self) -> &str {
        self.front.named("ca").unwrap()
    }

    /// `authkeeper` as somebody runs it who has set nothing.
    fn bare(&self, arguments: &[&str]) -> Invocation<'_> {
        let browser = script("corporate_browser.py");
        self.home.authkeeper(arguments).env("BROWSER", browser)
    }

    /// With the proxy and the authority in the usual variables.
    fn set(&self, arguments: &[&str]) -> Invocation<'_> {
        let proxy = self.proxy("http", &format!("{USER}@"));
        self.bare(arguments)
            .env("HTTPS_PROXY", proxy)
            .env("SSL_CERT_FILE", self.ca())
    }

    fn connected(self) -> Self {
        let _ = self.set(&["connect", "notion", MCP]).run().expect_code(0);
        self
    }

    /// The ways that the proxy has opened.
    fn ways(&self) -> usize {
        let log = fs::read_to_string(self.front.named("log").unwrap()).unwrap();
        log.lines().count()
    }

    fn assert_no_leaks(&self) {
        let mut secrets = secrets::issued_by(&[&self.mcp]);
        for value in [
            PASSWORD,
            "pa%3Ass%40word-of-the-proxy",
            "YWdlbnQ6cGE6c3NAd29yZC1vZi10aGUtcHJveH",
        ] {
            secrets.push(Secret {
                kind: "password".to_owned(),
                value: value.to_owned(),
            });
        }
        let mut found = self.home.search(&secrets);
        // Where the person put the password.
        found.retain(|one| !one.file.to_string_lossy().contains(".environ."));
        assert!(found.is_empty(), "leaked: {found:#?}");
    }
}

#[test]
fn every_request_goes_through_the_proxy() {
    let network = Network::with_password().connected();
    let signed_in = network.ways();
    assert!(
        signed_in >= 4,
        "discovery, registration, token: {signed_in}"
    );
    let _ = network.set(&["check", "notion"]).run().expect_code(0);
    assert!(network.ways() > signed_in, "the call itself");
    until_expired(&network.home, "notion");
    let before = network.ways();
    let _ = network.set(&["token", "notion"]).run().expect_code(0);
    assert_eq!((refreshes(&network.mcp), network.ways()), (1, before + 1));
    let doctor = network.set(&["doctor", "--verbose"]).run();
    let shown = format!("http://127.0.0.1:{} (HTTPS_PROXY)", network.front.port());
    assert!(doctor.stdout.contains(&shown), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("cron"), "{}", doctor.stdout);
    let _ = network.set(&["config", "show"]).run().expect_code(0);
    let logged = network
        .set(&["check", "notion"])
        .env("AUTHKEEPER_LOG", "trace");
    let _ = logged.run().expect_code(0);
    network.assert_no_leaks();
}

/// The token is for the proxy's ears only as long as the proxy is not asked.
#[test]
fn a_runs_own_calls_go_around_the_proxy() {
    let network = Network::new(&[]).connected();
    let proxy = network.proxy("http", "");
    let script = call_script("notion");
    for spelling in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let run = ["run", "--with", "notion", "--", "sh", "-c", &script];
        let called = network.set(&run).env(spelling, &proxy).run().expect_code(0);
        // The server itself answers: it wants a POST.
        assert_eq!(called.stdout, "400", "{spelling}: {}", called.stderr);
    }
    let told = [
        "run", "--with", "notion", "--", "printenv", "NO_PROXY", "no_proxy",
    ];
    let told = network.set(&told).env("no_proxy", ".corp").run();
    let list = ".corp,127.0.0.1,localhost,::1";
    assert_eq!(told.stdout, format!("{list}\n{list}\n"));
}

/// cron and MCP clients pass none of the variables on.
#[test]
fn the_configuration_file_is_enough() {
    let network = Network::with_password().connected();
    let proxy = network.proxy("http", &format!("{USER}@"));
    let ca = network.ca();
    let file = format!("[network]\nproxy = \"{proxy}\"\nca_file = \"{ca}\"\n");
    network.home.write_config(&file);
    until_expired(&network.home, "notion");
    let _ = network.bare(&["token", "notion"]).run().expect_code(0);
    let _ = network.bare(&["check", "notion"]).run().expect_code(0);
    let shown = network.bare(&["config", "show"]).run().expect_code(0);
    assert!(shown.stdout.contains("network.proxy"), "{}", shown.stdout);
    fs::remove_file(network.home.config_dir().join("authkeeper/config.toml")).unwrap();
    network.assert_no_leaks();
}

#[test]
fn what_is_wrong_with_a_proxy_or_a_certificate_is_said_with_what_to_set() {
    let network = Network::with_password().connected();
    until_expired(&network.home, "notion");
    let proxy = network.proxy("http", &format!("{USER}@"));
    let nobody = network.proxy("http", "");
    let shown = format!("{nobody} (HTTPS_PROXY)");
    let wrong = network.proxy("http", "agent:hunter2@");
    let (ca, ours) = (network.ca(), [("HTTPS_PROXY", proxy.as_str())]);
    let cases: [Case<'_>; 8] = [
        (&[("SSL_CERT_FILE", ca)], 69, &["can't be resolved"]),
        (
            &ours,
            78,
            &["UnknownIssuer", "SSL_CERT_FILE", "network.ca_file"],
        ),
        (
            &[("HTTPS_PROXY", &nobody)],
            78,
            &["407", &shown, "USER:PASSWORD@"],
        ),
        (
            &[("HTTPS_PROXY", &wrong)],
            78,
            &["407", &shown, "does not accept"],
        ),
        (
            &[("HTTPS_PROXY", "http://127.0.0.1:1")],
            69,
            &["http://127.0.0.1:1 (HTTPS_PROXY)"],
        ),
        (
            &[("HTTPS_PROXY", "http://proxy.invalid:1")],
            78,
            &["correct the host in HTTPS_PROXY"],
        ),
        (
            &[("HTTPS_PROXY", "gopher://127.0.0.1:1")],
            78,
            &["HTTPS_PROXY", "socks5"],
        ),
        (
            &[("HTTPS_PROXY", &proxy), ("NO_PROXY", "partner.test")],
            69,
            &["can't be resolved"],
        ),
    ];
    for (variables, code, words) in cases {
        let (connect, token) = (["connect", "other", MCP], ["token", "notion"]);
        // A failure that may pass is kept, and the next command hears of it.
        let commands = [&connect[..], &token]
            .into_iter()
            .take(if code == 78 { 2 } else { 1 });
        for command in commands {
            let set = |command, (name, value): &(&str, &str)| Invocation::env(command, name, value);
            let command = variables.iter().fold(network.bare(command), set);
            let output = command.run();
            assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
            output.expect_failure(code, words);
        }
    }
    assert_eq!(refreshes(&network.mcp), 0, "nothing was spent");
    let _ = network.set(&["token", "notion"]).run().expect_code(0);
    network.assert_no_leaks();
}

#[test]
fn socks_works_too() {
    let network = Network::with_password().connected();
    let socks = network.proxy("socks5h", &format!("{USER}@"));
    let through = |arguments: &[&str], proxy: &str| {
        let command = network.bare(arguments).env("ALL_PROXY", proxy);
        command.env("SSL_CERT_FILE", network.ca()).run()
    };
    until_expired(&network.home, "notion");
    let wrong = network.proxy("socks5h", "agent:hunter2@");
    through(&["token", "notion"], &wrong).expect_failure(78, &["(ALL_PROXY)", "does not accept"]);
    let before = network.ways();
    let _ = through(&["token", "notion"], &socks).expect_code(0);
    let _ = through(&["check", "notion"], &socks).expect_code(0);
    assert!(network.ways() > before + 1);
    // Here the name is resolved on this machine, to which it means nothing.
    until_expired(&network.home, "notion");
    let local = network.proxy("socks5", &format!("{USER}@"));
    through(&["token", "notion"], &local).expect_failure(69, &["can't be resolved"]);
    network.assert_no_leaks();
}

#[test]
fn servers_that_speak_http_2_alone_are_spoken_to() {
    let tokens = r#"{"access_token":"at-of-http-2","token_type":"Bearer","expires_in":3600}"#;
    let network = Network::new(&[("TOKENS", tokens)]);
    let secret = network.home.secret_file("client", "s3cret-of-http-2");
    let url = "https://h2.partner.test/data";
    let connect = ["connect", "api", url, "--issuer", "https://h2.partner.test"];
    let client = ["--grant", "client_credentials", "--client-id", "agent"];
    let secret = ["--client-secret-file", secret.to_str().unwrap()];
    let _ = network
        .set(&[&connect[..], &client[..], &secret[..]].concat())
        .run()
        .expect_code(0);
    let token = network.set(&["token", "api"]).run().expect_code(0);
    assert_eq!(token.stdout.trim(), "at-of-http-2");
    let script = call_script("api").replace("-o /dev/null -w '%{http_code}'", "");
    let run = ["run", "--with", "api", "--", "sh", "-c", &script];
    let called = network.set(&run).run().expect_code(0);
    assert_eq!(called.stdout, r#"{"spoken":"HTTP/2"}"#);
}

#[test]
fn a_server_that_wants_a_client_certificate_is_shown_one() {
    let network = Network::new(&[]);
    let key = network.home.secret_file("api-key", "s3cret-of-the-api");
    let connect = [
        "connect",
        "api",
        "https://mtls.partner.test/whoami",
        "--grant",
        "api_key",
        "--key-file",
        key.to_str().unwrap(),
    ];
    let _ = network.set(&connect).run();
    let script = call_script("api").replace("-o /dev/null -w '%{http_code}'", "");
    let run = ["run", "--with", "api", "--", "sh", "-c", &script];
    let without = network.set(&run).run();
    assert!(!without.stdout.contains("CN=agent"), "{}", without.stdout);
    let named = |host: &str, key: &str| {
        let cert = network.front.named("cert").unwrap();
        let table =
            format!("[client_certificate.\"{host}\"]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
        network.home.write_config(&table);
    };
    named("mtls.partner.test", network.front.named("key").unwrap());
    let shown = network.set(&run).run().expect_code(0);
    assert_eq!(shown.stdout, "CN=agent\n");
    // Another host's is not shown.
    named("mcp.partner.test", network.front.named("key").unwrap());
    let other = network.set(&run).run();
    assert!(!other.stdout.contains("CN=agent"), "{}", other.stdout);
    named("mtls.partner.test", "/nowhere/key.pem");
    network
        .set(&["check", "api"])
        .run()
        .expect_failure(78, &["/nowhere/key.pem", "correct client_certificate"]);
}
