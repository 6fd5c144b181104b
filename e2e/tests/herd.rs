//! Nobody is woken for nothing (rule 11). Acceptance E: a herd of processes at the moment at which a token has ended costs
//! one refresh and notifies nobody. Nor does a first fault that the next resend heals.
//!
//! A process that has just committed its refresh and exited must not look like one that died over it. `AUTHKEEPER_TRIALS=200
//! cargo nextest run -p e2e --all-features --test herd --no-capture` makes more trials and prints their figures.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::home::Home;
use e2e::sandbox;
use e2e::scenario::{SOON, refreshes, seconds_left, status, until_expired};
use e2e::servers::Server;
use e2e::wait::wait_until;
use serde_json::{Value, json};

const PROCESSES: usize = 20;
/// Connections that are made together, so that their tokens end together.
const BATCH: usize = 10;

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

/// All at once: a shell starts them without a look at any of them.
const HERD: &str = r#"for _ in $(seq "$2"); do authkeeper token "$1" || echo failed & done; wait"#;

/// What one trial cost.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    refreshes: u64,
    /// Refresh tokens that came twice: oidc-provider refuses them and ends the grant.
    refused: u64,
    hook_calls: u64,
    /// Incidents that were ever recorded.
    incidents: u64,
}

const ONE_REFRESH: Cost = Cost {
    refreshes: 1,
    refused: 0,
    hook_calls: 0,
    incidents: 0,
};

#[test]
fn a_herd_at_expiry_costs_one_refresh_and_wakes_nobody() {
    let trials = trials();
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[]);
    let mut costs = Vec::new();
    while costs.len() < trials {
        let names: Vec<String> = (0..BATCH.min(trials - costs.len()))
            .map(|number| format!("api{number}"))
            .collect();
        connect_all(&home, &server, &names);
        costs.extend(names.iter().map(|name| trial(&home, &server, name)));
    }
    print_figures(&costs);
    let odd: Vec<_> = costs.iter().filter(|cost| **cost != ONE_REFRESH).collect();
    assert!(odd.is_empty(), "{} of {trials}: {odd:?}", odd.len());
}

#[expect(clippy::disallowed_methods, reason = "the switch for a run by hand")]
fn trials() -> usize {
    let wanted = std::env::var("AUTHKEEPER_TRIALS").ok();
    wanted.map_or(BATCH, |trials| trials.parse().expect("a number of trials"))
}

/// Signs in to each, with a token that ends soon; the next ones outlive the test.
fn connect_all(home: &Home, server: &Server, names: &[String]) {
    server.ctl("set?at=2");
    let url = server.url("/api");
    for name in names {
        let connect = ["connect", name, &url, "--client-id", "pub"];
        let _ = home.run(&connect).expect_code(0);
    }
    for name in names {
        until_expired(home, name);
    }
    server.ctl("set?at=3600");
}

fn trial(home: &Home, server: &Server, name: &str) -> Cost {
    let before = cost_so_far(home, server);
    let number = PROCESSES.to_string();
    let herd = home.program("sh", &["-c", HERD, "herd", name, &number]);
    let output = herd.prints_tokens().run().expect_code(0);
    let printed: Vec<&str> = output.stdout.lines().collect();
    let distinct: BTreeSet<&str> = printed.iter().copied().collect();
    assert_eq!(
        (printed.len(), distinct.len()),
        (PROCESSES, 1),
        "{name}: {}",
        output.stderr
    );
    let after = cost_so_far(home, server);
    Cost {
        refreshes: after.refreshes - before.refreshes,
        refused: after.refused - before.refused,
        hook_calls: after.hook_calls - before.hook_calls,
        incidents: after.incidents - before.incidents,
    }
}

fn cost_so_far(home: &Home, server: &Server) -> Cost {
    Cost {
        refreshes: refreshes(server),
        refused: server.count("outcomes", "refresh_token 400"),
        hook_calls: hook_calls(home),
        incidents: incidents(home),
    }
}

fn hook_calls(home: &Home) -> u64 {
    let told = fs::read_to_string(home.path().join("hook.log")).unwrap_or_default();
    told.lines().count() as u64
}

/// How many incidents were ever recorded.
fn incidents(home: &Home) -> u64 {
    let store = rusqlite::Connection::open(home.store_dir().join("store.db"));
    let count = "SELECT count(*) FROM trouble";
    let kept = store.and_then(|sql| sql.query_row(count, [], |row| row.get::<_, u32>(0)));
    kept.expect("there is a store").into()
}

#[expect(clippy::print_stdout, reason = "the figures, shown with --no-capture")]
fn print_figures(costs: &[Cost]) {
    let sum = |of: fn(&Cost) -> u64| costs.iter().map(of).sum::<u64>();
    println!(
        "{} trials of {PROCESSES} processes: {} refreshes, {} refused, {} hook calls, {} incidents; {} trials with anything but one refresh",
        costs.len(),
        sum(|cost| cost.refreshes),
        sum(|cost| cost.refused),
        sum(|cost| cost.hook_calls),
        sum(|cost| cost.incidents),
        costs.iter().filter(|cost| **cost != ONE_REFRESH).count(),
    );
}

/// A job that refreshes while its token lives, meets the fault, and goes on until the refresh has come.
const JOB: &str = r#"
authkeeper token api --min-ttl 58s >/dev/null
authkeeper status api --json | grep -q '"uncertain": *true' && echo recorded
until authkeeper status api --json | grep -q '"generation": *2'; do
    authkeeper token api >/dev/null
    sleep 0.2
done"#;

#[test]
fn a_first_fault_while_the_token_lives_wakes_nobody() {
    let faults = ["status=503", "status=502", "cut"];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || heals(fault));
        }
    });
}

/// Outside a run, and in one, whose record on standard error is a notification too.
fn heals(fault: &str) {
    for outside in [
        &["sh", "-c"][..],
        &["authkeeper", "run", "--with", "api", "--", "sh", "-c"],
    ] {
        let home = Home::new();
        home.write_config(HOOK);
        let server = sandbox::Running::start(Profile::Strict, Duration::ZERO);
        let url = format!("{}/api", server.url());
        let _ = home.run(&["connect", "api", &url]).expect_code(0);
        assert!(wait_until(SOON, || seconds_left(&home, "api") < 55));
        server.fault(&format!("{fault},times=1,at=refresh"));
        let (program, words) = outside.split_first().expect("a program");
        let job = home.program(program, &[words, &[JOB]].concat());
        let output = job.run().expect_code(0);
        assert_eq!(output.stdout, "recorded\n", "{fault}: {}", output.stderr);
        if *program == "authkeeper" {
            assert_eq!(output.records(), Vec::<Value>::new(), "{fault}");
        }
        assert_eq!((hook_calls(&home), incidents(&home)), (0, 1), "{fault}");
        let now = status(&home, "api");
        assert_eq!(now["incidents"], json!([]), "{fault}: {now}");
    }
}
