//! `rotate-key` on real processes: everything stays readable while they work and wherever it is killed, and the old key goes
//! once nothing and nobody needs it. A refresh in flight meanwhile is in `races.rs`.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use e2e::ground::{EARLIER, Ground};
use e2e::home::{Home, Output};
use e2e::scenario::{
    SOON, assert_no_leaks, connect_api, early_refresh, refreshes, status, token, until_expired,
};
use e2e::servers::Server;
use e2e::wait::wait_until;

const UNFINISHED: &str = "a rotation of the key is not over";

fn key(home: &Home) -> PathBuf {
    home.store_dir().join("key")
}

fn keys(home: &Home) -> usize {
    fs::read_to_string(key(home)).unwrap().lines().count()
}

fn rotate(home: &Home) -> Output {
    home.run(&["rotate-key", "--json"])
}

/// The new key is the only one, and nothing of the rotation is left.
fn assert_over(home: &Home) {
    assert_eq!(keys(home), 1);
    let entries = fs::read_dir(home.store_dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names
        .filter(|name| name.starts_with("key.") || name == "resealing")
        .filter(|name| name != "key.turn")
        // Who still holds it is asked by the next rotation; there is no key in it.
        .filter(|name| {
            name != "key.before" || fs::read(home.store_dir().join(name)).unwrap() != b""
        })
        .collect();
    assert_eq!(left, [] as [&str; 0]);
    let doctor = home.run(&["doctor", "--offline"]).stdout;
    assert!(!doctor.contains(UNFINISHED), "{doctor}");
}

/// A store that nobody works on just now would lose everything with the old key.
#[test]
fn a_key_that_other_stores_may_use_is_not_taken_from_them() {
    let ground = Ground::new();
    let home = &ground.home;
    let _ = ground.token(EARLIER);
    let apart = home.outside().join("key");
    fs::rename(key(home), &apart).unwrap();
    let run = |words: &[&str]| {
        let invocation = home.authkeeper(words);
        invocation.env("AUTHKEEPER_KEY_FILE", &apart).run()
    };
    let refused = run(&["rotate-key"]);
    refused.expect_failure(64, &["another store", "--no-other-store"]);
    let _ = run(&["rotate-key", "--no-other-store"]).expect_code(0);
    let _ = run(&["status"]).expect_code(0);
}

#[test]
fn the_new_key_opens_everything_and_the_old_one_nothing() {
    let ground = Ground::new();
    let home = &ground.home;
    let before = ground.token(EARLIER);
    let old = fs::read(key(home)).unwrap();
    let done = rotate(home).expect_code(0).json();
    assert_eq!(
        (&done["retired"], &done["resumed"]),
        (&true.into(), &false.into())
    );
    // The check of the key, the key for marks, the refresh token and the access token.
    assert_eq!(done["rows"]["resealed"], 4, "{done}");
    assert_over(home);
    assert_eq!(ground.token(EARLIER), before);

    let new = fs::read(key(home)).unwrap();
    assert_ne!(new, old);
    fs::write(key(home), &old).unwrap();
    let words = ["is not the one that", "put back the key"];
    home.run(&["token", EARLIER]).expect_failure(78, &words);
    fs::write(key(home), &new).unwrap();
    let said = home.run(&["rotate-key"]).expect_code(0);
    assert_eq!(said.stdout, "");
    for words in ["Resealed: 4 values in the store", "old key is retired"] {
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
    ground.expect_unharmed();
}

#[test]
fn a_key_file_that_is_no_good_is_said_and_harms_nothing() {
    let ground = Ground::new();
    let home = &ground.home;
    let good = fs::read_to_string(key(home)).unwrap();
    for (content, why) in [
        (format!("{good}garbage\n"), "it is not base64"),
        (good.repeat(3), "more than two keys"),
        ("garbage\n".to_owned(), "it is not base64"),
    ] {
        fs::write(key(home), content).unwrap();
        for command in [&["rotate-key"][..], &["token", EARLIER]] {
            home.run(command)
                .expect_failure(78, &[why, "correct or restore"]);
        }
    }
    fs::write(key(home), good).unwrap();
    let turn = File::create(home.store_dir().join("key.turn")).unwrap();
    turn.lock().unwrap();
    home.run(&["rotate-key"])
        .expect_failure(74, &["another process", "try again"]);
    drop(turn);
    assert_eq!(keys(home), 1);
    ground.expect_unharmed();
}

/// Whatever it was doing.
#[test]
fn killed_at_any_step_it_harms_nothing_and_is_gone_on_with() {
    let ground = Ground::new();
    let home = &ground.home;
    let before = ground.token(EARLIER);
    for (point, on_disk) in [
        ("key_linked", 1),
        ("key_added", 2),
        ("rows_resealed", 2),
        ("files_resealed", 2),
        ("key_retired", 1),
    ] {
        let died = home
            .authkeeper(&["rotate-key"])
            .env("AUTHKEEPER_FAULT", point);
        let _ = died.run().expect_killed();
        assert_eq!(keys(home), on_disk, "{point}");
        assert_eq!(ground.token(EARLIER), before, "{point}");
        let doctor = home.run(&["doctor", "--offline"]).expect_code(0).stdout;
        assert_eq!(doctor.contains(UNFINISHED), on_disk == 2, "{doctor}");
        let done = rotate(home).expect_code(0).json();
        assert_eq!(done["retired"], true, "{point}: {done}");
        assert_eq!(done["resumed"], on_disk == 2, "{point}: {done}");
        assert_over(home);
        assert_eq!(ground.token(EARLIER), before, "{point}");
    }
    ground.expect_unharmed();
}

/// An answer that is only in a journal, as a process left it that died before its commit, is taken from there with the new
/// key, wherever the rotation was killed.
#[test]
fn an_answer_in_a_journal_outlives_its_key() {
    for point in ["key_added", "rows_resealed", "files_resealed", "none"] {
        let home = Home::new();
        let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "2")]);
        connect_api(&home, &server, "api");
        until_expired(&home, "api");
        server.ctl("set?at=60");
        let died = token(&home, "api").env("AUTHKEEPER_FAULT", "reply_durable");
        let _ = died.run().expect_killed();
        let killed = home
            .authkeeper(&["rotate-key"])
            .env("AUTHKEEPER_FAULT", point)
            .run();
        if point != "none" {
            let _ = killed.expect_killed();
            let done = rotate(&home).expect_code(0).json();
            assert_eq!(done["retired"], true, "{point}: {done}");
        }
        assert_over(&home);
        let _ = token(&home, "api").run().expect_code(0);
        assert_eq!(refreshes(&server), 1, "{point}: it was not asked for again");
        let _ = early_refresh(&home, &server, "api", 60)
            .run()
            .expect_code(0);
        assert_no_leaks(&home, &[&server]);
    }
}

/// A run makes calls and refreshes all the while: it follows the key file, and the old key need not wait for its end.
#[test]
fn a_run_goes_on_through_rotations() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "4")]);
    home.write_config("[refresh]\nquiet_period = \"2s\"\n");
    connect_api(&home, &server, "api");
    let script = "while ! [ -e stop ]; do \
        printf 'X-Authkeeper-Task: %s' \"$AUTHKEEPER_TASK\" | \
        curl -s -o /dev/null -w '%{http_code}\\n' -H @- \"$AUTHKEEPER_URL/c/api/whoami\"; sleep 0.1; done";
    let words = ["run", "--with", "api", "--", "sh", "-c", script];
    let run = home.authkeeper(&words).env("BROWSER", "false").spawn();
    for round in 1..=3 {
        let asked = refreshes(&server);
        let again = || refreshes(&server) > asked;
        assert!(wait_until(SOON, again), "round {round}: it is refreshed");
        let done = home.run(&["rotate-key", "--wait", "30s", "--json"]);
        let done = done.expect_code(0).json();
        assert_eq!(done["retired"], true, "round {round}: {done}");
    }
    fs::write(home.path().join("stop"), "").unwrap();
    let output = run.finish(SOON).expect_code(0);
    let calls: Vec<&str> = output.stdout.lines().collect();
    assert!(calls.len() > 10, "{calls:?}");
    assert!(calls.iter().all(|status| *status == "200"), "{calls:?}");
    assert_over(&home);
    assert_eq!(status(&home, "api")["state"], "active");
    assert_eq!(server.ctl("stats")["grants_revoked"], 0);
    assert_no_leaks(&home, &[&server]);
}

/// The key may lie elsewhere, behind a link.
#[test]
fn a_key_elsewhere_is_replaced_where_it_lies() {
    let ground = Ground::new();
    let home = &ground.home;
    let elsewhere = home.path().join("vault");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(key(home), elsewhere.join("seal.key")).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("seal.key"), key(home)).unwrap();
    let before = fs::read(key(home)).unwrap();
    assert_eq!(rotate(home).expect_code(0).json()["retired"], true);
    assert!(fs::symlink_metadata(key(home)).unwrap().is_symlink());
    assert_ne!(fs::read(key(home)).unwrap(), before);
    ground.expect_unharmed();
}
