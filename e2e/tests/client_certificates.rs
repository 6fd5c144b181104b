//! Client certificates of a connection (RFC 8705), at servers nobody here wrote: oidc-provider behind an nginx that asks for
//! them, which checks who owns the certificate and to which one a token is bound.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};

use e2e::home::{Home, Invocation, Output};
use e2e::scenario::{call_script, refreshes, until_expired};
use e2e::secrets::{self, Secret};
use e2e::servers::Server;

struct Network {
    server: Server,
    home: Home,
    /// Where an agent's certificate and key are, as somebody renews them.
    cert: PathBuf,
    key: PathBuf,
}

impl Network {
    fn new(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let server = Server::mutual_tls(&home.outside(), settings);
        let (cert, key) = (
            home.outside().join("tls.crt"),
            home.outside().join("tls.key"),
        );
        let network = Self {
            server,
            home,
            cert,
            key,
        };
        network.put("cert", "key");
        network
    }

    /// The certificate and key of these names are the agent's now.
    fn put(&self, cert: &str, key: &str) {
        for (name, to) in [(cert, &self.cert), (key, &self.key)] {
            fs::copy(self.server.named(name).unwrap(), to).unwrap();
        }
    }

    fn authkeeper(&self, arguments: &[&str]) -> Invocation<'_> {
        let ca = self.server.named("ca").unwrap();
        self.home.authkeeper(arguments).env("SSL_CERT_FILE", ca)
    }

    /// Connects as this client, showing these files.
    fn connect_with(&self, client: &str, more: &[&str], files: (&Path, &Path)) -> Output {
        let url = self.server.resource();
        let (cert, key) = (files.0.to_str().unwrap(), files.1.to_str().unwrap());
        let words = ["connect", "api", url, "--client-id", client];
        let shown = ["--client-cert", cert, "--client-key", key];
        self.authkeeper(&[&words[..], &shown, more].concat()).run()
    }

    fn connect(&self, client: &str, more: &[&str]) -> Output {
        self.connect_with(client, more, (&self.cert, &self.key))
    }

    /// The status that a job's call through its proxy gets.
    fn call(&self) -> String {
        let job = call_script("api");
        let run = ["run", "--with", "api", "--", "sh", "-c", &job];
        self.authkeeper(&run).run().expect_code(0).stdout
    }

    fn assert_no_leaks(&self) {
        let mut secrets = secrets::issued_by(&[&self.server]);
        for name in ["key", "renewed_key", "self_key"] {
            let pem = fs::read_to_string(self.server.named(name).unwrap()).unwrap();
            // A line of the key: all of it in one piece would not be found where it is wrapped.
            let value = pem.lines().nth(1).unwrap().to_owned();
            let kind = name.to_owned();
            secrets.push(Secret { kind, value });
        }
        let found = self.home.search(&secrets);
        assert!(found.is_empty(), "leaked: {found:#?}");
    }
}

const OWN: [&str; 2] = ["--grant", "client_credentials"];

#[test]
fn a_certificate_proves_the_client_and_its_tokens_are_bound_to_it() {
    for (client, cert, key) in [("tls", "cert", "key"), ("self", "self_cert", "self_key")] {
        let network = Network::new(&[("AT_TTL", "4")]);
        network.put(cert, key);
        let _ = network.connect(client, &OWN).expect_code(0);
        assert_eq!(network.call(), "200", "{client}");
        until_expired(&network.home, "api");
        assert_eq!(network.call(), "200", "{client}: issued again");
        network.assert_no_leaks();
    }
}

#[test]
fn a_person_signs_in_and_the_refresh_shows_the_certificate() {
    for client in ["tls", "bound"] {
        let network = Network::new(&[("AT_TTL", "4")]);
        let _ = network.connect(client, &[]).expect_code(0);
        assert_eq!(network.call(), "200", "{client}");
        until_expired(&network.home, "api");
        assert_eq!(
            (network.call().as_str(), refreshes(&network.server)),
            ("200", 1),
            "{client}"
        );
        let _ = network.authkeeper(&["check", "api"]).run().expect_code(0);
        let _ = network
            .authkeeper(&["disconnect", "api"])
            .run()
            .expect_code(0);
        let requests = &network.server.ctl("stats")["requests"];
        assert!(
            requests["POST /token/revocation"].as_u64() >= Some(1),
            "{requests}"
        );
        network.assert_no_leaks();
    }
}

#[test]
fn one_file_may_hold_both() {
    let network = Network::new(&[]);
    let both = network.server.named("both").unwrap();
    let words = [
        "connect",
        "api",
        network.server.resource(),
        "--client-id",
        "tls",
    ];
    let words = [&words[..], &OWN, &["--client-cert", both]].concat();
    let _ = network.authkeeper(&words).run().expect_code(0);
    assert_eq!(network.call(), "200");
}

/// Renewed on disk, as cert-manager and step-ca do it: the process that runs already shows the new one, and the token that
/// is bound to the one before is replaced at the first refusal.
#[test]
fn a_renewed_certificate_is_shown_at_once() {
    for format in ["opaque", "jwt"] {
        let network = Network::new(&[("AT_FORMAT", format)]);
        let _ = network.connect("tls", &[]).expect_code(0);
        let call = call_script("api");
        let renewed = |name: &str| network.server.named(name).unwrap().to_owned();
        let renew = format!(
            "cp {} {} && cp {} {}",
            renewed("renewed_cert"),
            network.cert.display(),
            renewed("renewed_key"),
            network.key.display()
        );
        let job = format!("{call}; {renew}; {call}; {call}");
        let run = ["run", "--with", "api", "--", "sh", "-c", &job];
        let called = network.authkeeper(&run).run().expect_code(0);
        assert_eq!(called.stdout, "200200200", "{format}: {}", called.stderr);
        assert_eq!(refreshes(&network.server), 1, "{format}");
        network.assert_no_leaks();
    }
}

#[test]
fn files_that_hold_no_certificate_are_refused_with_their_flag() {
    let network = Network::new(&[]);
    let (cert, key) = (network.cert.as_path(), network.key.as_path());
    let nowhere = Path::new("/nowhere/tls.pem");
    let encrypted = network.home.secret_file(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
    );
    let other = PathBuf::from(network.server.named("self_key").unwrap());
    for (files, words) in [
        ((nowhere, key), ["--client-cert", "/nowhere/tls.pem"]),
        ((cert, nowhere), ["--client-key", "/nowhere/tls.pem"]),
        ((key, key), ["--client-cert", "no certificate in PEM"]),
        ((cert, cert), ["--client-key", "no private key in PEM"]),
        ((cert, &encrypted), ["--client-key", "passphrase"]),
        (
            (cert, &other),
            ["--client-key", "does not belong to the certificate"],
        ),
    ] {
        let refused = network.connect_with("tls", &OWN, files);
        refused.expect_failure(78, &words);
    }
    let words = [
        "connect",
        "api",
        network.server.resource(),
        "--client-id",
        "tls",
    ];
    let method = ["--client-auth", "tls_client_auth"];
    let without = network
        .authkeeper(&[&words[..], &OWN, &method].concat())
        .run();
    without.expect_failure(64, &["--client-auth tls_client_auth", "--client-cert FILE"]);
    let key = ["--client-key", network.key.to_str().unwrap()];
    let alone = network.authkeeper(&[&words[..], &OWN, &key].concat()).run();
    assert_eq!(alone.code(), Some(64), "{}", alone.stderr);
    assert!(
        alone.stderr.contains("--client-cert <FILE>"),
        "{}",
        alone.stderr
    );
    // What is gone later is configuration too, and nothing is spent for it.
    let _ = network.connect("tls", &OWN).expect_code(0);
    fs::remove_file(&network.key).unwrap();
    let gone = network.authkeeper(&["check", "api"]).run();
    gone.expect_failure(78, &[network.key.to_str().unwrap(), "--client-cert"]);
}

#[test]
fn a_certificate_that_the_provider_does_not_know_is_told_as_such() {
    let network = Network::new(&[]);
    network.put("self_cert", "self_key");
    let refused = network.connect("tls", &OWN);
    refused.expect_failure(78, &["--client-cert", "client authentication failed"]);
}

#[test]
fn a_token_that_is_bound_to_another_certificate_is_not_taken() {
    let network = Network::new(&[("AT_FORMAT", "jwt")]);
    network.server.ctl("other-certificate?on=1");
    let refused = network.connect("tls", &OWN);
    let words = [
        "bound to another client certificate",
        network.cert.to_str().unwrap(),
    ];
    refused.expect_failure(65, &words);
    network.server.ctl("other-certificate?on=0");
    let _ = network.connect("tls", &OWN).expect_code(0);
    assert_eq!(network.call(), "200");
    network.assert_no_leaks();
}

#[test]
fn the_certificate_is_shown_with_its_end_and_without_its_key() {
    let network = Network::new(&[]);
    let _ = network.connect("tls", &OWN).expect_code(0);
    let told = |command: &[&str]| network.authkeeper(command).run();
    for command in [
        &["status", "api"][..],
        &["why", "api"],
        &["doctor", "--verbose"],
    ] {
        let shown = told(command).stdout;
        assert!(
            shown.contains("client certificate CN=agent is good until"),
            "{shown}"
        );
    }
    let status = told(&["status", "api", "--json"]).expect_code(0).json();
    let shown = &status[0]["client_certificate"];
    assert_eq!(
        (&shown["subject"], &shown["error"]),
        (&"CN=agent".into(), &().into())
    );
    assert!(shown["not_after"].is_string(), "{shown}");
    network.put("ended_cert", "ended_key");
    for command in [&["status", "api"][..], &["why", "api"], &["doctor"]] {
        let shown = told(command).stdout;
        assert!(
            shown.contains("client certificate CN=agent ended at"),
            "{shown}"
        );
        assert!(shown.contains("renew it in"), "{shown}");
    }
    let _ = told(&["doctor"]).expect_code(78);
    network.assert_no_leaks();
}
