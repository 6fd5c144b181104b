//! The sign-in page at the daemon's public URL, behind nginx with TLS as docs/serve.md has it: for a person whose browser is on
//! another machine.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::net::TcpListener;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::browser::visit;
use e2e::daemon::Daemon;
use e2e::home::{Home, Running};
use e2e::http;
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{assert_none_of, notifications, token};
use e2e::servers::Server;
use e2e::wait::wait_until;
use serde_json::Value;

/// Long enough where others are at work too.
const SOON: Duration = Duration::from_mins(1);

/// The `nginx` block of the page.
fn location() -> &'static str {
    let page = include_str!("../../docs/serve.md");
    let (_, rest) = page.split_once("```nginx\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts the sign-in.
fn connect<'a>(home: &'a Home, sandbox: &Sandbox, more: &[&str]) -> Running<'a> {
    let url = format!("{}/api", sandbox.url());
    let words = ["connect", "api", &url, "--issuer", sandbox.url()];
    let client = ["--client-id", "public"];
    let words = [&words[..], &client, more].concat();
    home.authkeeper(&words).spawn()
}

/// The provider's page for a device's code, with the code in it.
fn device_page(text: &str) -> Option<&str> {
    let found = text.split([' ', '\n', '"']);
    found.into_iter().find(|word| word.contains("user_code="))
}

/// A person's browser on another machine: it reaches the proxy, and not this machine's loopback address.
struct Browser<'a> {
    home: &'a Home,
    ca: String,
    origin: String,
}

impl Browser<'_> {
    /// The status and the page.
    fn asks(&self, words: &[&str], sent: &str) -> (u16, String) {
        let words = [&["-s", "--cacert", &self.ca, "-w", "\n%{http_code}"], words].concat();
        let curl = self.home.program("curl", &words).stdin(sent);
        let got = curl.run().expect_code(0);
        let (page, status) = got.stdout.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), page.to_owned())
    }

    fn opens(&self, link: &str) -> (u16, String) {
        self.asks(&[link], "")
    }

    /// The page's form, as its button sends it.
    fn clicks(&self, link: &str) -> (u16, String) {
        let origin = format!("Origin: {}", self.origin);
        self.asks(&["-H", &origin, "-X", "POST", link], "")
    }

    /// The same with an address, which no command line may show.
    fn pastes(&self, link: &str, address: &str) -> (u16, String) {
        let origin = format!("Origin: {}", self.origin);
        let form = ["-H", &origin, "--data-urlencode", "address@-", link];
        self.asks(&form, address)
    }
}

/// The configuration of a daemon that nginx stands before at this port; the origin of its pages.
fn configured(home: &Home, port: u16) -> String {
    let origin = format!("https://127.0.0.1:{port}");
    home.write_config(&format!(
        "on_incident = \"cat >> $HOME/hook.log\"\n[serve]\npublic_url = \"{origin}/authkeeper\"\n"
    ));
    origin
}

/// nginx at the port of this origin before the daemon, and a browser that reaches nothing else.
fn proxied<'a>(home: &'a Home, daemon: &Daemon<'_>, origin: &str) -> (Server, Browser<'a>) {
    let (_, port) = origin.rsplit_once(':').unwrap();
    let ports = (port.parse().unwrap(), daemon.port);
    let proxy = Server::reverse_proxy(&home.outside(), ports, location());
    let browser = Browser {
        home,
        ca: proxy.named("ca").unwrap().to_owned(),
        origin: origin.to_owned(),
    };
    (proxy, browser)
}

/// Where the page's link leads.
fn linked(page: &str) -> String {
    let (_, rest) = page.split_once("<a href=\"").unwrap();
    rest.split_once('"').unwrap().0.replace("&amp;", "&")
}

fn until_told(home: &Home, number: usize) -> Value {
    let there = wait_until(SOON, || notifications(home).len() >= number);
    assert!(there, "{number} messages: {:#?}", notifications(home));
    notifications(home).remove(number - 1)
}

/// The incident is found out; its message.
fn revoked(home: &Home, sandbox: &Sandbox, number: usize) -> Value {
    sandbox.say("revoke");
    let _ = home.run(&["check", "api"]).expect_code(75);
    until_told(home, number)
}

#[test]
fn a_person_elsewhere_signs_in_at_the_public_url() {
    let home = Home::new();
    let sandbox = Sandbox::start(Profile::TwoGeneration, Duration::ZERO);
    let origin = configured(&home, free_port());
    let _ = connect(&home, &sandbox, &[]).finish(SOON).expect_code(0);
    let daemon = Daemon::start(&home, &[]);
    let (_proxy, browser) = proxied(&home, &daemon, &origin);
    let message = revoked(&home, &sandbox, 1);
    let link = message["link"].as_str().unwrap();
    let start = format!("{origin}/authkeeper/sign-in/api/");
    assert!(link.starts_with(&start), "{link}");
    assert_eq!(message.get("link_host"), None, "it opens everywhere");
    let text = message["text"].as_str().unwrap();
    assert!(text.ends_with(&format!("Sign in: {link}")), "{text}");

    // A look begins nothing, and nobody else's page begins anything.
    let sign_ins = || sandbox.counters().sign_ins;
    let before = sign_ins();
    let (status, page) = browser.opens(link);
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains("Sign in to api") && page.contains("<button>"),
        "{page}"
    );
    assert!(!page.contains("<a href"), "{page}");
    for (words, refused) in [
        (&["--data-urlencode", "begin=1", link][..], 403),
        (
            &[
                "-H",
                "Origin: https://evil.example",
                "--data",
                "begin=1",
                link,
            ],
            403,
        ),
        (&["-H", "Origin: null", "--data", "begin=1", link], 403),
        (&["-H", "Host: evil.example", link], 403),
        (&["-X", "DELETE", link], 404),
        (&[&format!("{link}0")], 404),
        (&[&format!("{start}0123456789abcdef0123456789abcdef")], 404),
        (&[&format!("{origin}/authkeeper/mcp/api")], 404),
    ] {
        assert_eq!(browser.asks(words, "").0, refused, "{words:?}");
    }
    assert_eq!(sign_ins(), before);

    // The provider's page, and the address at which it leaves the browser.
    let (status, page) = browser.clicks(link);
    assert_eq!(status, 200, "{page}");
    let provider = linked(&page);
    assert!(provider.starts_with(sandbox.url()), "{provider}");
    let path = provider.strip_prefix(sandbox.url()).unwrap();
    let left = http::get(sandbox.port(), path).unwrap();
    let address = left.header("location").unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    let (_, page) = browser.pastes(link, "http://127.0.0.1:1/callback?code=x&state=y");
    assert!(page.contains("What you pasted is not it"), "{page}");
    let (status, page) = browser.pastes(link, address);
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Signed in"), "{page}");
    assert_eq!(until_told(&home, 2)["status"], "resolved");
    let _ = token(&home, "api").run().expect_code(0);
    assert!(browser.opens(link).1.contains("Signed in"));

    // The next incident has a page of its own.
    let next = revoked(&home, &sandbox, 3);
    assert_ne!(next["link"], message["link"]);
    assert_eq!(browser.opens(link).0, 404, "its sign-in is done");
    assert_eq!(browser.opens(next["link"].as_str().unwrap()).0, 200);
    drop(daemon);
    assert_none_of(&home, &sandbox.secrets());
}

#[test]
fn a_device_code_is_made_when_the_page_is_used() {
    let home = Home::new();
    let sandbox = Sandbox::start(Profile::TwoGeneration, Duration::ZERO);
    let origin = configured(&home, free_port());
    let connecting = connect(&home, &sandbox, &["--device"]);
    let shown = || device_page(&connecting.stderr()).map(str::to_owned);
    assert!(
        wait_until(SOON, || shown().is_some()),
        "{}",
        connecting.stderr()
    );
    visit(&shown().unwrap(), "approve");
    let _ = connecting.finish(SOON).expect_code(0);
    let daemon = Daemon::start(&home, &[]);
    let (_proxy, browser) = proxied(&home, &daemon, &origin);
    let message = revoked(&home, &sandbox, 1);
    let link = message["link"].as_str().unwrap();
    let (_, page) = browser.clicks(link);
    assert!(page.contains("enter the code"), "{page}");
    // On a phone; the page, which is loaded again, says when it is done.
    assert!(page.contains("http-equiv=refresh"), "{page}");
    visit(&linked(&page), "approve");
    let done = wait_until(SOON, || browser.opens(link).1.contains("Signed in"));
    assert!(done, "{}", browser.opens(link).1);
    assert_eq!(until_told(&home, 2)["status"], "resolved");
    drop(daemon);
    assert_none_of(&home, &sandbox.secrets());
}

#[test]
fn a_public_url_that_can_not_be_is_refused() {
    let home = Home::new();
    for (url, why) in [
        ("http://keeper.example.org", "https"),
        ("keeper.example.org", "https"),
        ("https://keeper.example.org/?a=1", "must have no query"),
    ] {
        home.write_config(&format!("[serve]\npublic_url = \"{url}\"\n"));
        home.run(&["status"])
            .expect_failure(78, &["serve.public_url", why]);
    }
}
