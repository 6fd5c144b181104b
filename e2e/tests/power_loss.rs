//! The power is cut in a refresh: whatever was written and not synced is gone. What comes of it is fixed beforehand, on a
//! strict provider:
//!
//! | it is cut                             | refreshes at the provider | the grant                    |
//! | ------------------------------------- | ------------------------- | ---------------------------- |
//! | after the claim, before the request   | 1                         | lives                        |
//! | answer in memory only                 | 2, the second refused     | lost, and that is said: 75   |
//! | answer durable in the journal         | 1                         | lives                        |
//! | store committed                       | 1                         | lives                        |

use std::time::Duration;

use e2e::home::{Home, Output};
use e2e::power::Disk;
use e2e::scenario::{
    SOON, assert_no_leaks, early_refresh, records_of, refreshes, strict, token, until_expired,
};
use e2e::servers::Server;
use e2e::wait::{pause, wait_until};

/// A connection on this disk whose token has ended.
fn expired(disk: impl Fn(&Home) -> Disk) -> (Home, Server, Disk) {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "2")]);
    home.write_config(&strict(&server));
    let disk = disk(&home);
    let url = server.url("/api");
    let connect = home.authkeeper(&["connect", "api", &url]);
    let _ = disk.under_it(connect).run().expect_code(0);
    until_expired(&home, "api");
    server.ctl("set?at=60");
    (home, server, disk)
}

/// The machine goes down in a refresh at this point, and comes up again.
fn cut_at(home: &Home, disk: &Disk, point: &str) {
    let asked = token(home, "api").env("AUTHKEEPER_FAULT", point);
    let _ = disk.under_it(asked).run().expect_killed();
    assert!(disk.cut() >= 2, "the store and its key are there");
}

/// Asks until there is a token or a person is needed.
fn until_settled(home: &Home) -> Output {
    let mut last = token(home, "api").run();
    let settled = |last: &Output| matches!(last.code(), Some(0 | 75));
    for _ in 0..60 {
        if settled(&last) {
            break;
        }
        pause(Duration::from_millis(500));
        last = token(home, "api").run();
    }
    last
}

#[test]
fn what_is_durable_survives_the_power() {
    for point in ["claimed", "reply_durable", "committed"] {
        let (home, server, disk) = expired(Disk::under);
        cut_at(&home, &disk, point);
        let after = until_settled(&home).expect_code(0);
        assert_eq!(refreshes(&server), 1, "{point}: {}", after.stderr);
        let _ = early_refresh(&home, &server, "api", 60)
            .run()
            .expect_code(0);
        assert_eq!(server.ctl("stats")["grants_revoked"], 0, "{point}");
        assert_no_leaks(&home, &[&server]);
    }
}

#[test]
fn an_answer_that_was_in_memory_alone_is_lost_and_that_is_said() {
    let (home, server, disk) = expired(Disk::under);
    cut_at(&home, &disk, "reply_received");
    let after = until_settled(&home).expect_code(75);
    assert_eq!(records_of(&after, "reauthorization_required").len(), 1);
    assert_eq!(refreshes(&server), 2);
    assert!(wait_until(SOON, || server.ctl("stats")["grants_revoked"] == 1));
    assert_no_leaks(&home, &[&server]);
}

/// The control: on a disk that forgets what was synced in the journal the answer is lost.
#[test]
fn control_a_journal_that_is_not_durable() {
    let (home, server, disk) = expired(|home| Disk::that_forgets(home, "/spill"));
    cut_at(&home, &disk, "reply_durable");
    let _ = until_settled(&home).expect_code(75);
    assert_eq!(refreshes(&server), 2);
}
