//! The sandbox answers as the real servers do: the same script is played against both, live, and
//! the answers are compared field by field.

use std::time::Duration;

use e2e::home::Home;
use e2e::recorder::{Deliberate, Recording, Subject, assert_equal, record};
use e2e::servers::Server;

const GRACE: Duration = Duration::from_secs(2);

/// Plays what the real one offers against both at once, and compares.
fn assert_same(real: &Subject<'_>, sandbox: &Subject<'_>, deliberate: &[Deliberate]) {
    let offered = |subject: &Subject<'_>| {
        record(subject, |case| {
            case.needs.is_none_or(|needs| real.offers(needs))
        })
    };
    let (real, sandbox) = std::thread::scope(|scope| {
        let other = scope.spawn(|| offered(sandbox));
        (offered(real), other.join().expect("the sandbox plays on"))
    });
    print(&real);
    assert_equal(&real, &sandbox, deliberate);
}

/// Shown when the test fails.
#[expect(clippy::print_stderr, reason = "a test's output")]
fn print(recording: &Recording) {
    eprintln!("{recording}");
}

#[test]
fn strict_is_oidc_provider() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let server2 = Server::oidc_provider(&home.outside(), &[]);
    assert_same(
        &Subject::oidc_provider(&server),
        &Subject::oidc_provider(&server2),
        &[],
    );
}

#[test]
fn grace_is_django_oauth_toolkit() {
    let home = Home::new();
    let grace = GRACE.as_secs().to_string();
    let server = Server::django(&home.outside(), &[("GRACE", &grace)]);
    let server2 = Server::django(&home.outside(), &[("GRACE", &grace)]);
    assert_same(
        &Subject::django(&server, GRACE),
        &Subject::django(&server2, GRACE),
        &[],
    );
}

#[test]
fn single_use_is_fastmcp() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    let server2 = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    assert_same(&Subject::fastmcp(&server), &Subject::fastmcp(&server2), &[]);
}
