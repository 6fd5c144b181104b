//! `kill -9` at every named fault point, on every provider there is. What comes of it is fixed beforehand:
//!
//! | provider                             | replay rule in the configuration | `claimed` | `reply_received`  | `reply_durable` | `committed` |
//! | ------------------------------------ | -------------------------------- | --------- | ----------------- | --------------- | ----------- |
//! | oidc-provider                        | `strict`                         | 1         | 2, refused: lost  | 1               | 1           |
//! | django-oauth-toolkit, grace of 60 s  | `grace 6s`                       | 1         | 2                 | 1               | 1           |
//! | django-oauth-toolkit, no grace       | `strict`                         | 1         | 2, refused: lost  | 1               | 1           |
//! | `FastMCP`                            | `unknown`                        | 1         | 2, refused: lost  | 1               | 1           |
//! | sandbox: `strict`                    | `unknown`                        | 1         | 2, refused: lost  | 1               | 1           |
//! | sandbox: `single-use`                | `unknown`                        | 1         | 2, refused: lost  | 1               | 1           |
//! | sandbox: `grace`                     | `grace 6s`                       | 1         | 2                 | 1               | 1           |
//! | sandbox: `idempotent-replay`         | `harmless`                       | 1         | 2                 | 1               | 1           |
//! | sandbox: `two-generation`            | `two-generations`                | 1         | 2                 | 1               | 1           |
//! | sandbox: `dies-with-access-token`    | `unknown`                        | 1         | 2, refused: lost  | 1               | 1           |
//! | sandbox: `burns-on-error`            | `strict`                         | 1         | 2, refused: lost  | 1               | 1           |
//! | sandbox: `no-rotation`               | `harmless`                       | 1         | 2                 | 1               | 1           |
//!
//! A number is how many refreshes reach the provider until the next token, or until the loss is said (record
//! `reauthorization_required{unknown_outcome}`, exit code 75). Whatever is not lost needs no person, and the grant can be
//! refreshed again. Only where the answer was in memory alone, on a provider that does not answer a replay, may a grant be
//! lost; the second refresh there is the one resend that is allowed, and the only time a spent token is sent.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Output};
use e2e::provider::{Provider, Refreshes};
use e2e::scenario::{SOON, assert_none_of, records_of, seconds_left, status, token, until_expired};
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};

const POINTS: [&str; 4] = ["claimed", "reply_received", "reply_durable", "committed"];

/// What a provider does with the one resend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    Answered,
    Refused,
}
use Replay::{Answered, Refused};

/// What is fixed beforehand of one crash.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    lost: bool,
    refreshes: Refreshes,
}

fn fixed(point: &str, replay: Replay) -> Fixed {
    let (lost, accepted, refused) = match (point, replay) {
        ("reply_received", Refused) => (true, 1, 1),
        ("reply_received", Answered) => (false, 2, 0),
        _ => (false, 1, 0),
    };
    Fixed {
        lost,
        refreshes: Refreshes { accepted, refused },
    }
}

/// One line of the table: each crash on a server of its own, all at once.
fn line(start: impl Fn(&Home) -> Provider + Sync, rule: &str, replay: Replay) {
    points(&POINTS, start, rule, replay);
}

fn points(points: &[&str], start: impl Fn(&Home) -> Provider + Sync, rule: &str, replay: Replay) {
    std::thread::scope(|scope| {
        for point in points {
            let start = &start;
            scope.spawn(move || {
                crash(start, (rule, point), replay);
            });
        }
    });
}

fn crash(start: impl Fn(&Home) -> Provider, (rule, point): (&str, &str), replay: Replay) {
    let waits = "[refresh]\nquiet_period = \"1s\"\nreserve = \"30s\"\n";
    let config = |provider: &Provider| [waits, &provider.habits(rule)].concat();
    let (home, provider, old) = ready_to_refresh(start, config);
    let (home, provider) = (&home, &provider);
    // What the refresh brings lives until it is read, on a busy machine too.
    provider.set_ttl(20);
    die_at(home, point);

    let (last, all) = until_settled(home, &old);
    let came = Fixed {
        lost: last.code() == Some(75),
        refreshes: provider.refreshes(),
    };
    assert_eq!(came, fixed(point, replay), "{point}: {}", last.stderr);
    assert_eq!(
        said(&all, "uncertain"),
        u64::from(point == "reply_received"),
        "{point}: who waits is told of it, as of one incident"
    );
    if came.lost {
        assert_loss_is_said(home, provider, &last);
    } else {
        assert_lives_on(home, provider, point);
    }
    assert_no_leaks(home, provider);
}

/// A connection of which the next `token` refreshes, and what it printed before. A machine that is busy may let a short token
/// end before it is read: then there is a newer one, and it begins again with a longer one.
fn ready_to_refresh(
    start: impl Fn(&Home) -> Provider,
    config: impl Fn(&Provider) -> String,
) -> (Home, Provider, String) {
    let attempt = |seconds: u64| {
        let home = Home::new();
        let provider = start(&home);
        home.write_config(&config(&provider));
        // Where a refresh token ends with its access token, it has to be early.
        let living = matches!(&provider, Provider::Sandbox(sandbox) if sandbox.profile() == "dies-with-access-token");
        provider.set_ttl(if living { 10 + seconds } else { seconds });
        provider.connect(&home, "api");
        let old = token(&home, "api").run();
        if provider.refreshes().sent() > 0 {
            return None;
        }
        if living {
            assert!(wait_until(SOON, || seconds_left(&home, "api") < 9));
        } else {
            until_expired(&home, "api");
        }
        Some((home, provider, old.stdout))
    };
    [2, 8, 30].into_iter().find_map(attempt).unwrap()
}

/// More than is left of a token that lives, and what any new one has.
const WANTED: [&str; 2] = ["--min-ttl", "10s"];

fn ask(home: &Home) -> e2e::home::Invocation<'_> {
    let words = [["token", "api"].as_slice(), &WANTED].concat();
    home.authkeeper(&words).env("BROWSER", "false")
}

fn die_at(home: &Home, point: &str) {
    let output = ask(home)
        .env("AUTHKEEPER_FAULT", point)
        .run()
        .expect_killed();
    assert_eq!(output.stdout, "", "{point}: nothing is handed out");
}

/// Asks until there is a new token, or none without a person. The last answer, and all of them.
fn until_settled(home: &Home, old: &str) -> (Output, Vec<String>) {
    let mut all = Vec::new();
    let mut last = None;
    let settled = wait_until(SOON, || {
        let output = ask(home).run();
        all.push(output.stderr.clone());
        let settled = match output.code() {
            Some(0) => output.stdout != old,
            Some(69) => false,
            _ => true,
        };
        last = Some(output);
        settled
    });
    assert!(settled, "{} answers, the last {:?}", all.len(), all.last());
    let last = last.unwrap();
    assert!(matches!(last.code(), Some(0 | 75)), "{last:?}");
    (last, all)
}

/// In how many different incidents this was said.
fn said(all: &[String], event: &str) -> u64 {
    let records = all.iter().flat_map(|stderr| stderr.lines());
    let records = records.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut traces: Vec<String> = records
        .filter(|record| record["event"] == event)
        .map(|record| record["trace_id"].to_string())
        .collect();
    traces.sort();
    traces.dedup();
    traces.len() as u64
}

fn assert_loss_is_said(home: &Home, provider: &Provider, last: &Output) {
    let records = records_of(last, "reauthorization_required");
    assert_eq!(records.len(), 1, "{}", last.stderr);
    assert_eq!(records[0]["reason"], "unknown_outcome");
    assert_eq!(records[0]["action"], "authkeeper reauthorize api");
    assert_eq!(status(home, "api")["state"], "reauthorization_required");
    let before = provider.refreshes();
    let _ = ask(home).run().expect_code(75);
    assert_eq!(provider.refreshes(), before, "no third attempt");
    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    let _ = token(home, "api").run().expect_code(0);
}

fn assert_lives_on(home: &Home, provider: &Provider, point: &str) {
    let now = status(home, "api");
    assert_eq!(
        (&now["state"], &now["uncertain"], &now["generation"]),
        (&"active".into(), &false.into(), &2.into()),
        "{point}"
    );
    let journals = std::fs::read_dir(home.store_dir().join("spill"));
    if point != "committed" {
        assert_eq!(journals.unwrap().count(), 0, "{point}: no journal is left");
    }
    let before = provider.refreshes();
    assert!(
        wait_until(SOON, || {
            let more = home.authkeeper(&["token", "api", "--min-ttl", "18s"]).run();
            pause(std::time::Duration::from_millis(200));
            more.code() == Some(0) && status(home, "api")["generation"] == 3
        }),
        "{point}: it can be refreshed again"
    );
    assert_eq!(provider.refreshes().accepted, before.accepted + 1);
    assert_eq!(provider.refreshes().refused, before.refused);
    assert_eq!(provider.sign_ins(), 1, "{point}: no person was needed");
}

fn assert_no_leaks(home: &Home, provider: &Provider) {
    assert_none_of(home, &provider.secrets());
}

/// With the quiet period as installed, which is longer than this waits: the answer was lost with its process, and it is
/// asked for again within two seconds by authkeeper's own word.
fn soon(start: impl Fn(&Home) -> Provider, section: impl Fn(&Provider) -> String, replay: Replay) {
    let (home, provider, old) = ready_to_refresh(start, section);
    die_at(&home, "reply_received");
    provider.set_ttl(20);

    let first = ask(&home).run().expect_code(69);
    assert_eq!(records_of(&first, "uncertain").len(), 1);
    assert_eq!(provider.refreshes().sent(), 1, "not at once");
    let again = status(&home, "api")["asked_again_in_seconds"].as_u64();
    assert!(again.is_some_and(|seconds| seconds <= 2), "{again:?}");

    let (last, _) = until_settled(&home, &old);
    let came = Fixed {
        lost: last.code() == Some(75),
        refreshes: provider.refreshes(),
    };
    assert_eq!(came, fixed("reply_received", replay), "{}", last.stderr);
    assert_no_leaks(&home, &provider);
}

fn oidc_provider(home: &Home) -> Provider {
    Provider::Oidc(Server::oidc_provider(&home.outside(), &[]))
}

fn fastmcp(home: &Home) -> Provider {
    Provider::FastMcp(Server::fastmcp(&home.outside(), &[]))
}

fn django(home: &Home, settings: &[(&str, &str)]) -> Provider {
    Provider::Django(Server::django(&home.outside(), settings))
}

#[test]
fn oidc_provider_strict() {
    line(oidc_provider, "strict", Refused);
}

#[test]
fn django_within_its_grace() {
    line(
        |home| django(home, &[("GRACE", "60")]),
        "grace 6s",
        Answered,
    );
}

#[test]
fn django_within_its_grace_is_asked_again_soon() {
    let start = |home: &Home| django(home, &[("GRACE", "60")]);
    soon(start, |provider| provider.habits("grace 60s"), Answered);
}

/// As installed: no grace, and a replay harms nothing.
#[test]
fn django_that_only_refuses_a_replay_is_asked_again_soon() {
    let start = |home: &Home| django(home, &[("GRACE", "0"), ("REUSE", "0")]);
    soon(start, |provider| provider.habits("refused"), Refused);
}

#[test]
fn sandbox_two_generation_is_asked_again_soon() {
    let start = |_: &Home| Provider::sandbox(Profile::TwoGeneration);
    let section = |provider: &Provider| provider.habits("two-generations");
    soon(start, section, Answered);
}

/// The issuer in the configuration has a slash at its end that the stored one has not.
#[test]
fn sandbox_idempotent_replay_is_asked_again_soon_though_its_setting_has_a_slash() {
    let start = |_: &Home| Provider::sandbox(Profile::IdempotentReplay);
    let section = |provider: &Provider| {
        let section = provider.habits("harmless");
        section.replace(provider.issuer(), &format!("{}/", provider.issuer()))
    };
    soon(start, section, Answered);
}

#[test]
fn django_without_grace() {
    let settings = [("GRACE", "0"), ("REUSE", "1")];
    line(|home| django(home, &settings), "strict", Refused);
}

#[test]
fn fastmcp_unknown() {
    line(fastmcp, "unknown", Refused);
}

#[test]
fn sandbox_strict() {
    line(|_| Provider::sandbox(Profile::Strict), "unknown", Refused);
}

#[test]
fn sandbox_single_use() {
    line(
        |_| Provider::sandbox(Profile::SingleUse),
        "unknown",
        Refused,
    );
}

#[test]
fn sandbox_grace() {
    line(|_| Provider::sandbox(Profile::Grace), "grace 6s", Answered);
}

#[test]
fn sandbox_idempotent_replay() {
    let start = |_: &Home| Provider::sandbox(Profile::IdempotentReplay);
    line(start, "harmless", Answered);
}

#[test]
fn sandbox_two_generation() {
    let start = |_: &Home| Provider::sandbox(Profile::TwoGeneration);
    line(start, "two-generations", Answered);
}

#[test]
fn sandbox_dies_with_access_token() {
    let start = |_: &Home| Provider::sandbox(Profile::DiesWithAccessToken);
    line(start, "unknown", Refused);
}

fn burns_on_error(_: &Home) -> Provider {
    Provider::sandbox(Profile::BurnsOnError)
}

#[test]
fn sandbox_burns_on_error() {
    let all_but_the_loss = ["claimed", "reply_durable", "committed"];
    points(&all_but_the_loss, burns_on_error, "strict", Refused);
}

/// Its refusals have no code: `Suspect`, `settle_unsent` marks the claim unknown again, and the next two resends of the
/// spent token follow 60 s and 120 s later.
#[test]
fn sandbox_burns_on_error_says_its_loss() {
    points(&["reply_received"], burns_on_error, "strict", Refused);
}

#[test]
fn sandbox_no_rotation() {
    let start = |_: &Home| Provider::sandbox(Profile::NoRotation);
    line(start, "harmless", Answered);
}
