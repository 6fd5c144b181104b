//! Acceptance D: what a person does while a refresh is in flight, on real processes. The refresh is held at the provider;
//! meanwhile its process runs on, is stopped (SIGSTOP, SIGCONT) or is killed (SIGKILL). What comes of it is fixed
//! beforehand:
//!
//! | meanwhile                     | afterwards                                                                        |
//! | ----------------------------- | --------------------------------------------------------------------------------- |
//! | a sign-in, also a wider one   | it is in force, whatever the late answer says; it can be refreshed                |
//! | `disconnect`                  | never active again; what comes late is revoked at the provider                    |
//! | an import, not confirmed      | refused; after a `disconnect` suspended, and stays so                             |
//! | `rotate --client-secret-file` | the new secret is in use though the old one is refused late                       |
//! | `rotate --key-file`           | the new key is in use though the old one is refused late                          |
//! | `rotate-key`                  | what comes late is kept and readable; then, and not before, the old seal key goes |
//! | a backup of the store is back | the spent token is not sent: the answer is waited for, or taken from beside it    |
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Output, Running};
use e2e::http;
use e2e::recorder::{Subject, secret_of};
use e2e::sandbox;
use e2e::scenario::{
    SOON, assert_no_leaks, call_script, connect_api, early_refresh, newest, records_of, refreshes,
    status, token, until_expired, until_held,
};
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};
use rustix::process::Signal;
use serde_json::json;

/// What becomes of the refreshing process meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    RunsOn,
    Stopped,
    Killed,
}

const FATES: [Fate; 3] = [Fate::RunsOn, Fate::Stopped, Fate::Killed];

/// A connection whose token has ended; the next ones are long.
fn expired() -> (Home, Server) {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "2")]);
    home.write_config("[refresh]\nquiet_period = \"2s\"\n");
    connect_api(&home, &server, "api");
    until_expired(&home, "api");
    server.ctl("set?at=60");
    (home, server)
}

/// Does `meanwhile` while one refresh is held at the provider, and lets its answer go; what its process left.
fn race(
    (home, server): (&Home, &Server),
    (gate, fate): (&str, Fate),
    meanwhile: impl FnOnce(),
) -> Output {
    server.ctl(gate);
    let refreshing = token(home, "api").spawn();
    until_held(server, 1);
    match fate {
        Fate::RunsOn => {
            meanwhile();
            server.ctl("release");
            refreshing.finish(SOON)
        }
        Fate::Stopped => {
            refreshing.signal(Signal::STOP);
            meanwhile();
            server.ctl("release");
            pause(Duration::from_millis(300));
            refreshing.signal(Signal::CONT);
            refreshing.finish(SOON)
        }
        Fate::Killed => {
            let output = refreshing.kill_9();
            meanwhile();
            server.ctl("release");
            output
        }
    }
}

// ---- A sign-in --------------------------------------------------------------------------------

#[test]
fn a_completed_sign_in_survives_the_late_answer() {
    for fate in FATES {
        let (home, server) = expired();
        sign_in_during_a_refresh((&home, &server), fate, &["reauthorize", "api"]);
    }
}

/// A step-up: the same sign-in for more.
#[test]
fn a_wider_sign_in_survives_the_late_answer() {
    for fate in FATES {
        let (home, server) = expired();
        let url = server.url("/api");
        let wider = ["--client-id", "pub", "--scope", "api openid"];
        let words = [&["connect", "api", &url][..], &wider].concat();
        sign_in_during_a_refresh((&home, &server), fate, &words);
    }
}

fn sign_in_during_a_refresh((home, server): (&Home, &Server), fate: Fate, words: &[&str]) {
    let late = race((home, server), ("hold?mode=after", fate), || {
        let _ = home.run(words).expect_code(0);
    });
    let now = status(home, "api");
    assert_eq!(
        (&now["lineage"], &now["state"], &now["uncertain"]),
        (&2.into(), &"active".into(), &false.into()),
        "{fate:?}: {now}"
    );
    let current = token(home, "api").run().expect_code(0).stdout;
    let signed_in = newest(server, "access_token");
    assert_eq!(current.trim(), signed_in, "{fate:?}: the late one is older");
    if fate != Fate::Killed {
        assert_eq!(
            late.expect_code(0).stdout,
            current,
            "{fate:?}: a waiting call gets the token in force"
        );
    }
    assert_eq!(refreshes(server), 1);
    let _ = early_refresh(home, server, "api", 60).run().expect_code(0);
    assert_eq!(server.count("outcomes", "refresh_token 200"), 2, "{fate:?}");
    assert_no_leaks(home, &[server]);
}

/// A code is good once: what was asked with it is finished, though nobody waits for it any more.
#[test]
fn a_sign_in_that_is_interrupted_while_its_code_is_exchanged_lands() {
    let home = Home::new();
    let server = sandbox::Running::start(Profile::Strict, Duration::ZERO);
    server.fault("slow=1500ms,times=1,at=token");
    let url = format!("{}/api", server.url());
    let connecting = home.authkeeper(&["connect", "api", &url]).spawn();
    assert!(wait_until(SOON, || server.counters().faults_struck == 1));
    connecting.signal(Signal::INT);
    let _ = connecting.finish(SOON).expect_code(130);
    assert_eq!(status(&home, "api")["state"], "active");
    let _ = token(&home, "api").run().expect_code(0);
}

// ---- Disconnecting ----------------------------------------------------------------------------

#[test]
fn disconnected_is_never_active_again_and_the_late_answer_is_revoked() {
    for fate in FATES {
        let (home, server) = expired();
        let mut asked = 0;
        let late = race((&home, &server), ("hold?mode=after", fate), || {
            let _ = home.run(&["disconnect", "api"]).expect_code(0);
            asked = revocations(&server);
        });
        assert!(asked > 0, "what is known is revoked at once");
        if fate != Fate::Killed {
            assert!(
                revocations(&server) > asked,
                "{fate:?}: what comes late too"
            );
            assert_eq!(late.stdout, "", "{fate:?}: it is not handed out");
            assert_ne!(late.code(), Some(0));
        }
        let _ = token(&home, "api").run().expect_code(66);
        let listed = home.run(&["status", "--json"]).expect_code(0).json();
        assert_eq!(listed, json!([]), "{fate:?}");
        assert_eq!(refreshes(&server), 1, "{fate:?}");
        assert_no_leaks(&home, &[&server]);
    }
}

fn revocations(server: &Server) -> u64 {
    server.count("requests", "POST /token/revocation")
}

/// `FastMCP` forgets a spent refresh token: revoking it ends nothing.
#[test]
fn an_answer_in_the_journal_is_revoked_by_a_disconnect() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "3")]);
    let subject = Subject::fastmcp(&server);
    let (id, uri) = (subject.public.id.clone(), subject.callback.uri());
    drop(subject);
    let url = server.url("/mcp");
    let client = ["--client-id", &id, "--redirect-uri", &uri];
    let _ = home
        .run(&[&["connect", "api", &url][..], &client].concat())
        .expect_code(0);
    until_expired(&home, "api");
    server.ctl("set?at=60");
    let died = token(&home, "api").env("AUTHKEEPER_FAULT", "reply_durable");
    let _ = died.run().expect_killed();
    let _ = home.run(&["disconnect", "api"]).expect_code(0);

    let newest = newest(&server, "refresh_token");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", newest.as_str()),
        ("client_id", id.as_str()),
    ];
    let answer = http::post_form(server.port(), "/token", &form).unwrap();
    assert_ne!(answer.status, 200, "it still buys tokens");
}

// ---- Suspending -------------------------------------------------------------------------------

/// Another copy of some refresh token, as `import` takes it.
fn import(home: &Home, server: &Server) -> Output {
    let subject = Subject::oidc_provider(server);
    let tokens = subject.sign_in(&subject.public, &subject.access);
    let refresh = format!("{}\n", tokens["refresh_token"].as_str().unwrap());
    let (url, token_url) = (server.url("/api"), server.url("/token"));
    let whose = [
        "--issuer",
        server.issuer(),
        "--client-id",
        "pub",
        "--resource",
        &url,
    ];
    let token = ["--token-url", &token_url, "--refresh-token-stdin"];
    let words = [&["import", "api", &url][..], &whose, &token].concat();
    home.authkeeper(&words).stdin(&refresh).run()
}

/// Nothing takes the place of a connection that works, also while it is refreshed.
#[test]
fn an_import_over_a_connection_that_is_being_refreshed_is_refused() {
    let (home, server) = expired();
    let late = race((&home, &server), ("hold?mode=after", Fate::Stopped), || {
        let _ = import(&home, &server).expect_code(64);
    });
    let _ = late.expect_code(0);
    let now = status(&home, "api");
    assert_eq!(
        (&now["state"], &now["lineage"], &now["generation"]),
        (&"active".into(), &1.into(), &2.into())
    );
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn an_unconfirmed_import_stays_suspended_whatever_comes_late() {
    for fate in FATES {
        let (home, server) = expired();
        let late = race((&home, &server), ("hold?mode=after", fate), || {
            let _ = home.run(&["disconnect", "api"]).expect_code(0);
            let _ = import(&home, &server).expect_code(0);
        });
        assert_eq!(late.stdout, "", "{fate:?}: {}", late.stderr);
        let now = status(&home, "api");
        assert_eq!(
            (&now["state"], &now["reason"]),
            (&json!("suspended"), &json!("second_copy")),
            "{fate:?}"
        );
        let _ = token(&home, "api").run().expect_code(75);
        assert_eq!(refreshes(&server), 1, "{fate:?}: it is not spent");
        let confirmed = home.run(&["import", "api", "--other-copy-retired"]);
        let _ = confirmed.expect_code(0);
        let _ = token(&home, "api").run().expect_code(0);
        assert_no_leaks(&home, &[&server]);
    }
}

// ---- Rotating a secret ------------------------------------------------------------------------

/// A connection as the client with a secret, whose token has ended.
fn with_secret() -> (Home, Server) {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "2")]);
    home.write_config("[refresh]\nquiet_period = \"2s\"\n");
    let old = home.secret_file("old", &secret_of(&server, "conf"));
    let url = server.url("/api");
    let client = ["--client-id", "conf", "--client-secret-file"];
    let words = [&["connect", "api", &url][..], &client].concat();
    let words = [&words[..], &[old.to_str().unwrap()]].concat();
    let _ = home.run(&words).expect_code(0);
    until_expired(&home, "api");
    server.ctl("set?at=60");
    (home, server)
}

fn rotate_secret_during_a_refresh(fate: Fate) -> (Home, Server, Output) {
    let (home, server) = with_secret();
    let late = race((&home, &server), ("hold", fate), || {
        let secret = server.ctl("rotate-secret?id=conf");
        let new = secret["client_secret"].as_str().unwrap().to_owned();
        let new = home.secret_file("new", &new);
        let words = ["rotate", "api", "--client-secret-file"];
        let words = [&words[..], &[new.to_str().unwrap()]].concat();
        let _ = home.run(&words).expect_code(0);
    });
    (home, server, late)
}

#[test]
fn a_rotated_secret_is_in_use_after_its_sender_was_killed() {
    let (home, server, _) = rotate_secret_during_a_refresh(Fate::Killed);
    let got = || token(&home, "api").run().code() == Some(0);
    assert!(wait_until(SOON, got));
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_rotated_secret_is_in_use_though_the_old_one_is_refused_late() {
    for fate in [Fate::RunsOn, Fate::Stopped] {
        let (home, server, late) = rotate_secret_during_a_refresh(fate);
        assert_eq!(
            records_of(&late, "request_refused").len(),
            0,
            "{}",
            late.stderr
        );
        let got = || token(&home, "api").run().code() == Some(0);
        assert!(wait_until(SOON, got), "{fate:?}: {}", late.stderr);
        assert_no_leaks(&home, &[&server]);
    }
}

// ---- Rotating a key ---------------------------------------------------------------------------

#[test]
fn a_new_key_is_in_use_though_the_old_one_is_refused_late() {
    let home = Home::new();
    let server = sandbox::Running::start(Profile::Strict, Duration::ZERO);
    let key = |name: &str| {
        let key = server.control("keys", &json!({"name": name}))["key"].clone();
        home.secret_file(name, key.as_str().unwrap())
    };
    let (first, second) = (key("first"), key("second"));
    let url = format!("{}/api", server.url());
    let how = ["--grant", "api_key", "--header", "X-API-Key", "--key-file"];
    let words = [&["connect", "api", &url][..], &how].concat();
    let words = [&words[..], &[first.to_str().unwrap()]].concat();
    let _ = home.run(&words).expect_code(0);

    server.fault("slow=1500ms,times=1,at=api");
    let call = start_call(&home);
    let struck = || server.counters().faults_struck == 1;
    assert!(wait_until(SOON, struck));
    let words = ["rotate", "api", "--key-file", second.to_str().unwrap()];
    let _ = home.run(&words).expect_code(0);
    server.control("keys/1/retire", &json!({}));
    let called = call.finish(SOON).expect_code(0);
    assert_eq!(called.stdout, "200", "tried again with the new key");
    let told = token(&home, "api").run().expect_code(0);
    assert_eq!(told.records(), Vec::<serde_json::Value>::new());
    assert_eq!(told.stdout.trim(), fs::read_to_string(second).unwrap());
}

fn start_call(home: &Home) -> Running<'_> {
    let script = call_script("api/me");
    let words = ["run", "--with", "api", "--", "sh", "-c", &script];
    home.authkeeper(&words).spawn()
}

// ---- Rotating the seal key ----------------------------------------------------------------------

#[test]
fn a_refresh_in_flight_keeps_its_answer_though_the_seal_key_is_replaced() {
    for fate in FATES {
        let (home, server) = expired();
        let mut rotated = None;
        let late = race((&home, &server), ("hold?mode=after", fate), || {
            rotated = Some(home.run(&["rotate-key", "--wait", "1s", "--json"]));
        });
        let rotated = rotated.unwrap();
        let held = fate != Fate::Killed;
        assert_eq!(
            rotated.code(),
            Some(if held { 75 } else { 0 }),
            "{fate:?}: {}",
            rotated.stderr
        );
        let done = rotated.json();
        assert_eq!(
            (&done["retired"], &done["old_key_held"]),
            (&json!(!held), &json!(held)),
            "{fate:?}"
        );
        if held {
            let _ = late.expect_code(0);
            assert_eq!(status(&home, "api")["generation"], 2, "{fate:?}");
            let _ = token(&home, "api").run().expect_code(0);
        } else {
            // Its answer reached nobody, and is lost with any key; what the store holds is not.
            let now = status(&home, "api");
            assert_eq!(
                (&now["state"], &now["refreshable"]),
                (&json!("active"), &json!(true))
            );
            let _ = home.run(&["reauthorize", "api"]).expect_code(0);
        }
        let again = home.run(&["rotate-key", "--json"]).expect_code(0).json();
        assert_eq!(
            (&again["retired"], &again["resumed"]),
            (&json!(true), &json!(held)),
            "{fate:?}"
        );
        let _ = early_refresh(&home, &server, "api", 60)
            .run()
            .expect_code(0);
        assert_no_leaks(&home, &[&server]);
    }
}

// ---- Restoring a backup -----------------------------------------------------------------------

const FILES: [&str; 3] = ["store.db", "store.db-wal", "store.db-shm"];

/// A copy of the store, made while nothing runs.
struct Backup(Vec<(PathBuf, Vec<u8>)>);

impl Backup {
    fn of(home: &Home) -> Self {
        let folder = home.store_dir();
        let files = FILES.map(|name| folder.join(name)).into_iter();
        let read = |path: PathBuf| fs::read(&path).ok().map(|content| (path, content));
        Self(files.filter_map(read).collect())
    }

    /// As a person does it: other files take the place of those that are there, even while they are open.
    fn restore(&self, home: &Home) {
        let written = home.outside().join("restored");
        for (path, content) in &self.0 {
            fs::write(&written, content).unwrap();
            fs::rename(&written, path).unwrap();
        }
        for name in FILES {
            let path = home.store_dir().join(name);
            if self.0.iter().all(|(kept, _)| *kept != path) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// What is put back spends nothing until a person says that it is the one that goes on.
fn adopt(home: &Home) {
    let _ = home.run(&["doctor", "--adopt"]);
    let _ = token(home, "api").run().expect_code(0);
}

/// The grant lives, and this many refreshes have come.
fn assert_lives(home: &Home, server: &Server, in_all: u64) {
    let _ = token(home, "api").run().expect_code(0);
    assert_eq!(refreshes(server), in_all, "no spent token is sent");
    let _ = early_refresh(home, server, "api", 60).run().expect_code(0);
    assert_eq!(server.ctl("stats")["grants_revoked"], 0);
    assert_no_leaks(home, &[server]);
}

#[test]
fn a_store_that_was_put_back_goes_on_from_the_last_answer() {
    let (home, server) = expired();
    let backup = Backup::of(&home);
    let _ = token(&home, "api").run().expect_code(0);
    backup.restore(&home);
    // What is beside the store is no spending.
    let _ = token(&home, "api").run().expect_code(0);
    let _ = early_refresh(&home, &server, "api", 60).run();
    assert_eq!(refreshes(&server), 1, "it spends nothing yet");
    adopt(&home);
    assert_lives(&home, &server, 1);
}

#[test]
fn a_store_that_is_put_back_during_a_refresh_does_not_send_its_token_again() {
    for fate in [Fate::RunsOn, Fate::Stopped] {
        let (home, server) = expired();
        let backup = Backup::of(&home);
        let mut second = None;
        let _ = race((&home, &server), ("hold?mode=after", fate), || {
            backup.restore(&home);
            let _ = token(&home, "api").run().expect_code(78);
            let _ = home.run(&["doctor", "--adopt"]);
            second = Some(token(&home, "api").spawn());
            pause(Duration::from_secs(2));
            assert_eq!(refreshes(&server), 1, "{fate:?}: its token is in flight");
        });
        let _ = second.unwrap().finish(SOON).expect_code(0);
        assert_lives(&home, &server, 1);
    }
}

#[test]
fn a_store_that_is_put_back_finds_the_answer_in_the_journal() {
    let (home, server) = expired();
    let backup = Backup::of(&home);
    let died = token(&home, "api").env("AUTHKEEPER_FAULT", "reply_durable");
    let _ = died.run().expect_killed();
    assert_eq!(refreshes(&server), 1);
    backup.restore(&home);
    adopt(&home);
    assert_lives(&home, &server, 1);
}

// ---- A candidate --------------------------------------------------------------------------------

/// How it comes about, as the six workers showed: B reads the store, A commits and dies before its journal is gone, B
/// finds A dead with an answer, adopts it, is superseded, and puts the committed answer on the shelf as one that lost a
/// race. Whatever is refused later (here: an account that is disabled for a while) then makes it take over, and the
/// refresh token that is good is gone.
#[test]
fn an_account_that_is_disabled_for_a_while_keeps_its_newest_refresh_token() {
    let home = Home::new();
    let server = sandbox::Running::start(Profile::SingleUse, Duration::ZERO);
    server.control("set", &json!({"ttl": "2s"}));
    let url = format!("{}/api", server.url());
    let _ = home.run(&["connect", "api", &url]).expect_code(0);
    let next = || {
        until_expired(&home, "api");
        token(&home, "api").run()
    };
    let _ = next().expect_code(0);
    shelve_the_committed_answer(&home);
    let _ = next().expect_code(0);
    server.control("users/alice/disable", &json!({}));
    let _ = next().expect_code(75);
    let counters = server.counters();
    assert_eq!(counters.refreshes_replayed, 0, "a spent token was sent");
    assert_eq!(status(&home, "api")["generation"], 3);
}

/// What B does.
fn shelve_the_committed_answer(home: &Home) {
    let folder = home.store_dir().join("answers");
    let mut files = fs::read_dir(&folder).unwrap().flatten();
    let kept = files.next().unwrap().file_name().into_string().unwrap();
    let late = format!("{}.00", kept.replace("kept.", "late."));
    let _ = fs::copy(folder.join(kept), folder.join(late)).unwrap();
}
