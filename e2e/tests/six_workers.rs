//! Six worker processes on one store, one connection, and faults at seeded random: no grant is lost that the provider's
//! rules leave recoverable. The controls are the same trial with a setting that must lose one, which shows that the
//! harness can see it.
//!
//! Longer, or again: `AUTHKEEPER_TRIAL_SECONDS=600 AUTHKEEPER_TRIAL_SEED=7 cargo nextest run -p e2e --test six_workers
//! --no-capture`. `AUTHKEEPER_TRIAL_STORE` is the store, where it is not `SQLite` in the home.

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::workers::{Report, Strike, Trial};

const SECONDS: u64 = 20;

#[expect(clippy::disallowed_methods, reason = "switches for a run by hand")]
fn switch(name: &str) -> Option<String> {
    std::env::var(format!("AUTHKEEPER_TRIAL_{name}")).ok()
}

fn number(name: &str, default: u64) -> u64 {
    let set = switch(name).and_then(|text| text.parse().ok());
    set.unwrap_or(default)
}

fn strict() -> Trial {
    Trial {
        profile: Profile::Strict,
        answers_replays: false,
        refresh: "quiet_period = \"3s\"\nreserve = \"30s\"",
        replay: "strict",
        late: Duration::from_millis(800),
        strikes: Strike::ALL.to_vec(),
        most_strikes: u64::MAX,
        lasts: Duration::from_secs(number("SECONDS", SECONDS)),
        seed: number("SEED", 1),
        store: switch("STORE"),
    }
}

fn run(trial: &Trial) -> Report {
    let report = trial.run();
    #[expect(
        clippy::print_stderr,
        reason = "the coverage, for a run with --no-capture"
    )]
    {
        eprintln!("{:?}, {}: {report}", trial.profile, trial.replay);
    }
    report
}

#[test]
fn on_a_strict_server_nothing_is_lost_but_with_an_answer() {
    let report = run(&strict());
    assert_eq!(report.avoidable(), 0, "{}", report.story());
    assert!(
        report.replays <= report.answers_lost + report.taken_over,
        "one resend for an answer that was lost, one try for one that lost a race: {}",
        report.story()
    );
    assert!(report.settled, "{}", report.story());
    assert!(report.strikes() >= 6, "{report}");
}

#[test]
fn on_a_server_of_two_generations_nothing_is_lost() {
    let report = run(&Trial {
        profile: Profile::TwoGeneration,
        answers_replays: true,
        replay: "two-generations",
        ..strict()
    });
    assert_eq!(report.losses.len(), 0, "{}", report.story());
    assert!(report.settled, "{}", report.story());
    assert!(report.strikes() >= 6, "{report}");
}

// ---- Controls: these must lose a grant, and the harness must see that it need not have been -----

fn control(trial: Trial) -> Report {
    run(&Trial {
        most_strikes: 1,
        lasts: Duration::from_secs(10),
        ..trial
    })
}

/// The sender is dead and its request still waits at the provider: a resend at once makes two of it.
#[test]
fn control_recovery_allowed_at_once() {
    let report = control(Trial {
        refresh: "quiet_period = \"0s\"",
        replay: "harmless",
        late: Duration::from_secs(4),
        strikes: vec![Strike::KillSender],
        ..strict()
    });
    assert!(report.avoidable() > 0, "{report}");
}

/// The same crash, recovered from by the rule: what is lost is lost with its answer.
#[test]
fn control_recovery_after_the_quiet_period() {
    for seed in 1.. {
        let report = control(Trial {
            seed,
            refresh: "quiet_period = \"6s\"",
            late: Duration::from_secs(4),
            strikes: vec![Strike::KillSender],
            ..strict()
        });
        assert_eq!(report.avoidable(), 0, "{report}");
        if report.losses.len() == 1 {
            return;
        }
        // On a busy machine the sender may be dead before it has written anything: then there was nothing to lose.
        assert!(seed < 5, "{report}");
    }
}

/// A late answer is not lost for a process that still listens.
#[test]
fn control_an_exchange_that_is_given_up() {
    let report = control(Trial {
        refresh: "exchange_limit = \"1s\"",
        late: Duration::from_secs(3),
        strikes: vec![Strike::DelayAnswer],
        ..strict()
    });
    assert!(report.avoidable() > 0, "{report}");
}
