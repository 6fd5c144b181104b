//! Every next step that a failed sign-in prints names commands and flags that there are.

use std::time::Duration;

use authkeeper::{
    http::{ConnectError as Unconnected, HttpUrl},
    model::{ClientId, ConnectionName, Issuer, Scope},
    oauth::{
        WireError, authorize::RedirectError, classify::Refused, device::DeviceError,
        discovery::DiscoveryError, loopback::ListenError, register::RegistrationError,
    },
    signin::ConnectError,
};
use clap::{CommandFactory as _, Parser as _};

use super::connect_advice;
use crate::args::Cli;

fn text(text: &str) -> String {
    text.to_owned()
}

fn issuer() -> Issuer {
    Issuer::new("https://as.example")
}

fn refused(code: &str, description: &str) -> Refused {
    Refused {
        code: code.to_owned(),
        description: Some(description.to_owned()),
    }
}

fn discovery() -> Vec<DiscoveryError> {
    let url = || text("https://mcp.example/mcp");
    let endpoint = |endpoint| DiscoveryError::NoEndpoint {
        issuer: text("https://as.example"),
        endpoint,
    };
    let pkce = |offered: &str| DiscoveryError::NoPkce {
        issuer: text("https://as.example"),
        offered: text(offered),
    };
    let redirected = |to: &str| DiscoveryError::MetadataRedirected {
        url: url(),
        to: text(to),
    };
    let mismatch = |claimed: &str| DiscoveryError::IssuerMismatch {
        url: url(),
        claimed: text(claimed),
        expected: text("https://as.example/t"),
    };
    vec![
        DiscoveryError::Url(HttpUrl::parse("mcp.example/mcp").unwrap_err()),
        DiscoveryError::Url(HttpUrl::parse("x").unwrap_err()),
        DiscoveryError::NoOAuth {
            url: url(),
            answer: 404,
        },
        DiscoveryError::Redirected {
            url: url(),
            to: text("https://mcp.example/mcp/"),
        },
        redirected("https://login.example/.well-known/openid-configuration"),
        redirected("https://login.example/page"),
        mismatch("https://as.example/t/"),
        mismatch("https://evil.example"),
        DiscoveryError::IssuerElsewhere {
            url: url(),
            claimed: text("https://login.example"),
        },
        DiscoveryError::NoMetadata {
            issuer: text("https://as.example"),
            tried: url(),
        },
        DiscoveryError::NotMetadata {
            url: url(),
            answer: text("a page"),
        },
        DiscoveryError::NoAuthorizationServer { url: url() },
        DiscoveryError::Unavailable {
            url: url(),
            answer: 503,
        },
        pkce("none"),
        pkce("plain"),
        endpoint("device_authorization_endpoint"),
        endpoint("authorization_endpoint"),
        endpoint("token_endpoint"),
    ]
}

fn of_the_provider() -> Vec<ConnectError> {
    let redirects = [
        "invalid_target AADSTS9010010: no such resource",
        "invalid_scope",
        "invalid_request an audience is required",
        "invalid_request bad redirect_uri",
        "unauthorized_client",
        "login_required",
        "odd",
    ];
    let redirects = redirects.map(|said| RedirectError::Refused(text(said)).into());
    let codes = [
        "invalid_grant",
        "invalid_scope",
        "invalid_target",
        "invalid_request",
        "odd",
    ];
    let codes = codes.map(|code| ConnectError::CodeRefused {
        issuer: issuer(),
        refused: refused(code, "in its own words"),
    });
    let registration = |error: RegistrationError| ConnectError::from(error);
    let mut all: Vec<ConnectError> = redirects.into_iter().chain(codes).collect();
    all.extend([
        RedirectError::Denied(text("ask an admin")).into(),
        RedirectError::NoCode.into(),
        RedirectError::StateMismatch.into(),
        RedirectError::NonceMismatch.into(),
        DeviceError::Refused(text("unauthorized_client")).into(),
        DeviceError::Expired.into(),
        registration(RegistrationError::Impossible {
            issuer: text("https://as.example"),
        }),
        registration(RegistrationError::Refused {
            issuer: text("https://as.example"),
            detail: text("no"),
            of_redirect_uri: false,
        }),
        registration(RegistrationError::Document {
            url: text("http://x.example"),
            problem: text("it must use https"),
        }),
        ConnectError::ClientRefused {
            issuer: issuer(),
            client_id: ClientId::new("c"),
            refused: refused("invalid_client", ""),
        },
    ]);
    all
}

fn samples() -> Vec<ConnectError> {
    let name = || ConnectionName::parse("x").unwrap();
    let url = || text("https://mcp.example/mcp");
    let mut all: Vec<ConnectError> = discovery().into_iter().map(ConnectError::from).collect();
    all.extend(of_the_provider());
    all.extend([
        ConnectError::NameTaken {
            name: name(),
            url: url(),
        },
        ConnectError::IssuerChanged {
            name: name(),
            url: url(),
            was: issuer(),
            now: Issuer::new("https://new.example"),
        },
        ConnectError::Listen(ListenError {
            uri: text("http://127.0.0.1:1/callback"),
            source: std::io::ErrorKind::AddrInUse.into(),
        }),
        ConnectError::ScopeRefused {
            why: Box::new(RedirectError::Refused(text("invalid_scope")).into()),
            listed: Scope::new("read write"),
        },
        ConnectError::TimedOut(Duration::from_secs(1)),
        ConnectError::StillOpen(Duration::from_secs(1)),
        ConnectError::NothingPasted,
        ConnectError::InUse(name()),
        ConnectError::HeldBy(name()),
        ConnectError::NoSecret { issuer: issuer() },
        ConnectError::NoSignIn(name()),
        ConnectError::NoClientSecret(name()),
        ConnectError::SameKey(name()),
        ConnectError::Overtaken(name()),
        ConnectError::GrantMaterialLost(name()),
        ConnectError::NoKey {
            name: name(),
            grant_type: "authorization_code",
        },
        ConnectError::Unexplained {
            issuer: issuer(),
            why: text("status 400"),
        },
        ConnectError::Wire(WireError::Connect(Unconnected::Unreachable {
            host: text("as.example"),
            detail: text("refused"),
        })),
    ]);
    all
}

fn words(next: &str) -> Vec<&str> {
    let marks = [',', ';', ':', '(', ')', '[', ']', '?', '\''];
    let words = next.split_whitespace();
    words
        .map(|word| word.trim_matches(marks).trim_end_matches('.'))
        .collect()
}

fn flags_of(command: &str) -> Vec<String> {
    let cli = Cli::command();
    let command = cli.find_subcommand(command).unwrap();
    let named = command.get_arguments().filter_map(|flag| flag.get_long());
    named.map(|name| format!("--{name}")).collect()
}

/// Whether a command of these words, or of the first of them, is understood.
fn is_understood(words: &[&str]) -> bool {
    (2..=words.len()).any(|length| Cli::try_parse_from(&words[..length]).is_ok())
}

#[test]
fn every_flag_that_is_named_is_one() {
    let mut known = flags_of("connect");
    known.extend(["import", "rotate", "status"].map(flags_of).concat());
    known.push("--json".to_owned());
    for error in samples() {
        let (_, next) = connect_advice(&error);
        for flag in words(&next).iter().filter(|word| word.starts_with("--")) {
            assert!(known.iter().any(|known| known == flag), "{flag}: {next}");
        }
    }
}

#[test]
fn every_command_that_is_named_is_understood() {
    let commands: Vec<String> = Cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for error in samples() {
        let (_, next) = connect_advice(&error);
        let all = words(&next);
        for (at, _) in all
            .iter()
            .enumerate()
            .filter(|(_, word)| **word == "authkeeper")
        {
            let command = &all[at..];
            let named = command
                .get(1)
                .is_some_and(|name| commands.iter().any(|c| c == name));
            assert!(!named || is_understood(command), "{command:?}: {next}");
        }
    }
}

#[test]
fn the_same_command_takes_the_flags_that_are_added_to_it() {
    let mut added = 0;
    for error in samples() {
        let (_, next) = connect_advice(&error);
        let Some((_, rest)) = next.split_once("run the same command with --") else {
            continue;
        };
        added += 1;
        let rest = format!("--{rest}");
        let all = words(&rest);
        let taken = (1..=all.len()).any(|length| {
            let command = ["authkeeper", "connect", "x", "https://mcp.example/mcp"];
            let typed = command.iter().chain(&all[..length]);
            Cli::try_parse_from(typed.copied()).is_ok()
        });
        assert!(taken, "{next}");
    }
    assert!(added >= 12, "{added}");
}

/// What a person has to do is said: no step is empty or only repeats that it failed.
#[test]
fn every_failure_has_a_next_step() {
    for error in samples() {
        let (_, next) = connect_advice(&error);
        assert!(next.len() > 12 && !next.contains("  "), "{error}: {next}");
        let taken_for_a_bug = next == super::REPORT;
        assert!(!taken_for_a_bug, "{error}");
    }
}

/// A person who gave no client is asked for none.
#[test]
fn nobody_is_asked_for_a_client_that_authkeeper_registered() {
    let mut own = 0;
    for error in samples() {
        let Some((_, next)) = super::own_client::advice(&error) else {
            continue;
        };
        own += 1;
        for flag in [
            "--client-id",
            "--client-secret-file",
            "--client-auth",
            "--redirect-uri",
        ] {
            assert!(!next.contains(flag), "{error}: {next}");
        }
        let (_, given) = connect_advice(&error);
        assert!(given.contains("client"), "{error}: {given}");
    }
    assert!(own >= 4, "{own}");
}
