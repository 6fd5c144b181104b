//! Every health on every surface: a connection is put into each state of the table in docs/health.md, and all that tells of it is
//! compared with the table and with each other.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::daemon::Daemon;
use e2e::home::{Home, Output};
use e2e::http;
use e2e::moved_clock::MovedClock;
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{SOON, notifications};
use e2e::wait::wait_until;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

/// Parts of a health that are the same wherever it is told.
const FIELDS: [&str; 6] = ["state", "cause", "detail", "since", "whose_move", "action"];

/// A row of the table, for a connection whose access token is good or has ended.
#[derive(Debug)]
struct Row {
    cause: String,
    state: String,
    whose_move: String,
    code: i32,
    plugin: i32,
    /// Of `/healthz`.
    probe: u16,
    /// The word of a call's error; none if calls work.
    call: Option<String>,
}

fn table(has_token: bool) -> Vec<Row> {
    let page = include_str!("../../docs/health.md");
    let (_, rows) = page.split_once("| `pending` |").unwrap();
    let rows = format!("| `pending` |{rows}");
    let mut rows: Vec<Row> = rows.lines().map(|line| row(line, has_token)).collect();
    // Its grant does not come back.
    rows.rotate_left(1);
    rows
}

fn row(line: &str, has_token: bool) -> Row {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    assert_eq!(cells.len(), 10, "{line}");
    let [cause, with, without, whose_move] = [cells[1], cells[2], cells[3], cells[4]];
    let [code, plugin, probe, call] = [cells[5], cells[6], cells[7], cells[8]];
    // `(69)`: without a token alone; `1, 2`: with and without.
    let of_two = |cell: &str, with: &str| match cell.strip_prefix('(') {
        Some(_) if has_token => with.to_owned(),
        Some(inner) => inner.trim_end_matches(')').to_owned(),
        None => match cell.split_once(", ") {
            Some((with, _)) if has_token => with.to_owned(),
            Some((_, without)) => without.to_owned(),
            None => cell.to_owned(),
        },
    };
    let call = of_two(call, "");
    Row {
        cause: cause.trim_matches('`').to_owned(),
        state: if has_token { with } else { without }.to_owned(),
        whose_move: whose_move.to_owned(),
        code: of_two(code, "0").parse().unwrap(),
        plugin: of_two(plugin, "0").parse().unwrap(),
        probe: of_two(probe, "200").parse().unwrap(),
        call: (!call.is_empty()).then(|| call.trim_matches('`').to_owned()),
    }
}

/// How the store says that this cause holds. The record of an incident has its event and reason; the lifecycle of a grant has
/// its word.
struct Stored {
    event: &'static str,
    lifecycle: &'static str,
}

fn stored(cause: &str) -> Stored {
    let (event, lifecycle) = match cause {
        "pending" => ("", "none"),
        "revoked" => ("", "revoked"),
        "manual" | "second_copy" | "other_account" | "token_type" => {
            ("authority_lost", "suspended")
        }
        "client_refused" | "request_refused" | "token_rejected" => ("authority_lost", "active"),
        "provider_unavailable" => ("provider_failing", "active"),
        "token_endpoint_moved" => ("token_endpoint_moved", "active"),
        "uncertain" => ("uncertain", "active"),
        "scope_required" => ("scope_required", "active"),
        "authority_narrowed" => ("authority_narrowed", "active"),
        "rotation_failed" => ("rotation_failed", "active"),
        "rotation_due" => ("rotation_due", "active"),
        _ => ("reauthorization_required", "reauthorization_required"),
    };
    Stored { event, lifecycle }
}

/// The store of the one connection, whose rows the test writes.
struct Store(Connection);

impl Store {
    fn open(home: &Home) -> Self {
        let sql = Connection::open(home.store_dir().join("store.db")).unwrap();
        sql.busy_timeout(Duration::from_secs(10)).unwrap();
        Self(sql)
    }

    /// Nothing but this cause holds from here on; since when, in seconds since 1970.
    fn put(&mut self, row: &Row, at: i64) {
        let Stored { event, lifecycle } = stored(&row.cause);
        let change = self.0.transaction().unwrap();
        let exec = |sql: &str| change.execute_batch(sql).unwrap();
        exec("DELETE FROM trouble; DELETE FROM meta WHERE key = 'alerts' OR key LIKE 'failing%'");
        exec(
            "UPDATE grant_family SET lifecycle = 'active', reason = NULL, lifecycle_since = NULL,
                claim_attempt = NULL, claim_number = NULL, claim_owner = NULL, claim_since = NULL,
                claim_unknown = NULL, claim_unknown_since = NULL",
        );
        match lifecycle {
            "active" => {}
            "none" => exec(
                "UPDATE connection SET grant_id = NULL; DELETE FROM access_token; DELETE FROM grant_family",
            ),
            lifecycle => {
                let reason = (lifecycle != "revoked").then_some(&row.cause);
                let set =
                    "UPDATE grant_family SET lifecycle = ?1, reason = ?2, lifecycle_since = ?3";
                change
                    .execute(set, params![lifecycle, reason, at * 1_000])
                    .unwrap();
            }
        }
        if row.cause == "uncertain" {
            exec(
                "UPDATE grant_family SET claim_attempt = 'a1', claim_number = 1, claim_owner = 'nobody',
                    claim_since = (SELECT issued FROM access_token LIMIT 1), claim_unknown = 'connection_lost',
                    claim_unknown_since = (SELECT issued FROM access_token LIMIT 1)",
            );
        }
        if !event.is_empty() {
            let since = "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?1, 'unixepoch')";
            let since: String = change.query_row(since, [at], |row| row.get(0)).unwrap();
            let record = record(row, event, &since);
            let keep = "INSERT INTO trouble (id, connection, lineage, event, reason, record)
                SELECT 'i1', 'api', lineage, ?1, ?2, ?3 FROM grant_family";
            let values = params![event, record["reason"].as_str(), record.to_string()];
            change.execute(keep, values).unwrap();
        }
        change.commit().unwrap();
    }
}

fn record(row: &Row, event: &str, since: &str) -> Value {
    let reason = match row.cause.as_str() {
        "request_refused" => "invalid_scope",
        "token_rejected" => "rejected",
        "provider_unavailable" => "token_requests_fail",
        cause => cause,
    };
    json!({
        "event": event, "connection": "api", "principal": "local", "reason": reason,
        "detail": format!("what is known of {reason}"), "since": since,
        "action": "authkeeper reauthorize api", "trace_id": "t1", "ts": since,
    })
}

/// The health as `status` tells it, after a look at its exit codes and the table.
fn told_by_status(home: &Home, row: &Row) -> Value {
    let status = home.run(&["status", "api", "--json"]).expect_code(0).json();
    let health = status[0]["health"].clone();
    let columns = json!({"state": row.state, "cause": row.cause, "whose_move": row.whose_move});
    for field in ["state", "cause", "whose_move"] {
        assert_eq!(
            health[field], columns[field],
            "{field} of {row:?}: {health}"
        );
    }
    let checked = home.run(&["status", "--check"]).expect_code(row.code);
    let plugin = home.run(&["status", "--nagios"]).expect_code(row.plugin);
    // To it, a grant that the test took away is a store that was put back.
    let doctor = if row.cause == "pending" { 74 } else { row.code };
    let doctor = home.run(&["doctor", "--offline"]).expect_code(doctor);
    let detail = health["detail"].as_str().unwrap();
    let shown = unwrapped(&checked.stdout);
    assert!(shown.contains(detail), "{detail}: {shown}");
    if row.plugin > 0 {
        assert!(
            plugin.stdout.contains(detail),
            "{detail}: {}",
            plugin.stdout
        );
    }
    if row.code > 0 {
        let shown = unwrapped(&doctor.stdout);
        assert!(shown.contains(detail), "{detail}: {shown}");
    }
    health
}

/// What was wrapped at words is one line again.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_same(surface: &str, told: &Value, health: &Value) {
    for field in FIELDS {
        assert_eq!(told[field], health[field], "{surface}, {field}: {told}");
    }
}

fn assert_healthz(daemon: &Daemon<'_>, row: &Row, health: &Value) {
    let handle = format!("Bearer {}", daemon.handle);
    let headers = [("authorization", handle.as_str())];
    let told = http::request(daemon.port, "GET", "/healthz", &headers, "").unwrap();
    assert_eq!(told.status, row.probe, "{row:?}: {}", told.body);
    assert_same("/healthz", &told.json()["health"]["api"], health);
}

/// What fails says the same, and fails as the table says.
fn assert_calls_fail(home: &Home, daemon: &Daemon<'_>, (row, health): (&Row, &Value)) {
    for words in [
        &["token", "api", "--json"][..],
        &["check", "api", "--json"],
        &["run", "--json", "--with", "api", "--", "true"],
    ] {
        let failed = home.authkeeper(words).env("BROWSER", "false").run();
        let failed = failed.expect_code(row.code);
        assert_same(words[0], &failed_health(&failed), health);
    }
    let refused = daemon.greet("api", &daemon.handle).json();
    let error = &refused["error"]["data"];
    assert_eq!(error["error"].as_str(), row.call.as_deref(), "{refused}");
    if row.code != 66 {
        assert_same("daemon", &error["health"], health);
    }
}

fn failed_health(output: &Output) -> Value {
    let mut lines = output.records().into_iter();
    let failed = lines.find_map(|line| line.get("failed").cloned());
    failed.unwrap()["health"].clone()
}

/// The severity of the page about messages; none if nobody is told.
fn severity(row: &Row, has_token: bool) -> Option<String> {
    let page = include_str!("../../docs/notifications.md");
    let cause = format!("| `{}` |", row.cause);
    let line = page.lines().find(|line| line.starts_with(&cause))?;
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    Some(cells[if has_token { 2 } else { 3 }].to_owned())
}

/// The hook's message of this cause, told since it holds.
fn assert_message(home: &Home, (row, health): (&Row, &Value), severity: &str) {
    let mut message = Value::Null;
    let told = wait_until(SOON, || {
        let all = notifications(home).into_iter().rev();
        let mut all = all.filter(|one| one["cause"] == row.cause.as_str());
        let newest = all.find(|one| one["since"] == health["since"]);
        message = newest.unwrap_or_default();
        message != Value::Null
    });
    assert!(told, "{row:?}: {:#?}", notifications(home));
    assert_eq!(message["severity"], severity, "{message}");
    for field in ["cause", "detail", "since", "whose_move"] {
        assert_eq!(message[field], health[field], "message, {field}: {message}");
    }
}

#[test]
fn every_health_is_told_alike_on_every_surface() {
    let home = Home::new();
    home.write_config("on_incident = \"cat >> $HOME/hook.log\"\n");
    let hour = Duration::from_hours(1);
    let sandbox = Sandbox::with_ttl(Profile::TwoGeneration, Duration::ZERO, hour);
    let mut clock = MovedClock::start(&home, &sandbox, "12:00");
    let url = format!("{}/api", sandbox.url());
    let connect = ["connect", "api", &url, "--issuer", sandbox.url()];
    let connect = [&connect[..], &["--client-id", "public"]].concat();
    let _ = home.run(&connect).expect_code(0);
    // Nothing changes by itself: nobody is there to ask.
    sandbox.go_away();
    let mut store = Store::open(&home);
    let mut asked = 0;
    for has_token in [true, false] {
        if !has_token {
            clock.until("13:30");
        }
        let daemon = Daemon::start(&home, &[]);
        for (number, row) in table(has_token).into_iter().enumerate() {
            let lifecycle = stored(&row.cause).lifecycle;
            let outage = row.cause == "provider_unavailable";
            // What the provider is asked about is what it says by then.
            if !has_token && lifecycle == "active" && !outage || has_token && lifecycle == "none" {
                continue;
            }
            let seconds = i64::try_from(number).unwrap() + if has_token { 0 } else { 100 };
            store.put(&row, clock.now() - 600 + seconds);
            let health = told_by_status(&home, &row);
            let why = home.run(&["why", "api", "--json"]).expect_code(0);
            assert_same("why", &why.json()["health"], &health);
            assert_healthz(&daemon, &row, &health);
            // No token of this connection lives on beside these two.
            let has_none = ["key_refused", "authorization_server_changed"];
            let is_real = !has_token || !has_none.contains(&row.cause.as_str());
            let fails = is_real && (row.state == "down" || row.state == "off");
            if fails && (lifecycle != "active" || outage) {
                assert_calls_fail(&home, &daemon, (&row, &health));
                asked += 1;
            }
            // What may heal while the token lives is told later.
            let heals = has_token && (outage || row.cause == "uncertain");
            if let Some(severity) = severity(&row, has_token).filter(|_| !heals) {
                assert_message(&home, (&row, &health), &severity);
            }
        }
    }
    assert!(asked > 15, "{asked}");
}
