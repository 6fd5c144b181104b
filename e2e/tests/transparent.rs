//! Nobody sees that authkeeper is in the middle: the official conformance suite gets the same answer to every check with it
//! as without it. docs/transparency.md has the counts; CONTRIBUTING.md, the command for all servers.

use std::collections::BTreeSet;

use e2e::home::Home;
use e2e::transparency::{Check, Seen, Transparent, Way};

/// What the suite says on each way; `least` must pass, or the comparison would be of failures alone.
fn compared(upstream: &str, least: usize) -> String {
    let home = Home::new();
    let ground = Transparent::start(&home, upstream);
    let [direct, serve] = ground.along([Way::Direct, Way::Serve]);
    assert_same(&direct, &serve, least);
    let mut cells = vec![upstream.to_owned(), cell(&direct), cell(&serve)];
    if ground.has(Way::Bridge) {
        let [stdio, bridge] = ground.along([Way::Stdio, Way::Bridge]);
        let own = assert_bridged(&direct, &stdio, &bridge);
        cells.extend([cell(&stdio), cell(&bridge), own.to_string()]);
    }
    format!("| {} |", cells.join(" | "))
}

fn cell(seen: &Seen) -> String {
    let (good, bad) = (seen.count("SUCCESS"), seen.count("FAILURE"));
    format!("{good} + {bad} of {}", seen.total())
}

/// How many checks may be lost to a busy machine.
const MOST_LATE: usize = 8;

/// A server that lets every `Host` in is protected by ours: the one thing that may be better with authkeeper than without.
const PROTECTED: &str = "dns-rebinding-protection";

/// Every check, its status and its message.
fn assert_same(direct: &Seen, serve: &Seen, least: usize) {
    let passed = direct.count("SUCCESS");
    assert!(passed >= least, "only {passed} checks pass at all");
    let late = [late(direct), late(serve)].concat();
    assert!(
        late.len() <= MOST_LATE,
        "this machine is too slow: {late:?}"
    );
    let mut differ = direct.differences(serve);
    let better = |(_, status, _): &Check| status == "SUCCESS";
    if serve.0[PROTECTED].iter().all(better) {
        differ.remove(PROTECTED);
    }
    let shown = |one: &Seen, other: &Seen| -> Vec<Check> {
        let beyond = differ.iter().flat_map(|name| one.beyond(other, name));
        beyond.filter(|(id, ..)| !late.contains(id)).collect()
    };
    let (without, with) = (shown(direct, serve), shown(serve, direct));
    assert!(
        without.is_empty() && with.is_empty(),
        "{differ:?}\nwithout authkeeper: {without:#?}\nwith it: {with:#?}"
    );
}

/// The suite gives some streams 0.8 s for their first event: on a busy machine that tells nothing, whichever way it went.
fn late(seen: &Seen) -> Vec<String> {
    let stateless = seen.0.get("server-stateless").into_iter().flatten();
    let late = stateless.filter(|(_, status, message)| {
        status == "FAILURE" && message.contains("frames") && !message.contains("Not testable")
    });
    late.map(|(id, ..)| id.clone()).collect()
}

/// Every check ends as without the bridge: as with the same server on stdio in its place, or as with the server itself
/// (whose instances share what they announce, which processes on stdio don't). How many end as on stdio alone: what the
/// adapter says of HTTP.
fn assert_bridged(direct: &Seen, stdio: &Seen, bridge: &Seen) -> usize {
    let scenarios: BTreeSet<&String> = direct.0.keys().collect();
    assert_eq!(scenarios, bridge.0.keys().collect());
    let mut own = 0;
    for scenario in scenarios {
        let mut alone = bridge.beyond(direct, scenario);
        let late = [late(bridge), late(direct), late(stdio)].concat();
        alone.retain(|(id, ..)| !late.contains(id));
        let (on_stdio, strange): (Vec<_>, Vec<_>) = alone
            .into_iter()
            .partition(|check| stdio.0[scenario].contains(check));
        own += on_stdio.len();
        assert!(
            strange.is_empty(),
            "{scenario}\nthrough the bridge: {strange:#?}\non stdio: {:#?}\ndirect: {:#?}",
            stdio.0[scenario],
            direct.0[scenario]
        );
    }
    own
}

#[test]
fn the_suite_of_2025_sees_no_difference() {
    compared("own-2025", 80);
}

#[test]
fn the_suite_of_2026_sees_no_difference() {
    compared("own-2026", 150);
}

#[test]
#[ignore = "the other servers: minutes, and the table of docs/transparency.md"]
#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn all_servers() {
    let least = [
        ("sdk-v1", 15),
        ("everything", 40),
        ("own-2025", 80),
        ("own-2026", 150),
    ];
    for (upstream, least) in least {
        println!("{}", compared(upstream, least));
    }
}
