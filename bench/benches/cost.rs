//! What a bridge costs: start, memory and latency, paired in one run with mcp-remote and with nobody in the middle.

use std::time::Duration;

use authkeeper_bench::{
    cost::{Bridge, Ground, Memory},
    report::{figure, percentile},
};

const STARTS: usize = 11;
const ROUNDS: usize = 10;
const CALLS: usize = 200;
const BRIDGES: usize = 10;
/// For what a start leaves behind to be given back.
const SETTLED: Duration = Duration::from_secs(2);

fn main() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tokio = builder
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let ground = tokio.block_on(Ground::start());
    starts(&ground);
    latency(&ground);
    together(&ground);
}

/// One after the other, in turns: what else this machine does strikes both.
fn starts(ground: &Ground) {
    let (mut ours, mut theirs) = (Taken::default(), Taken::default());
    for _ in 0..STARTS {
        ours.add(ground.bridge());
        if let Some(bridge) = ground.mcp_remote() {
            theirs.add(bridge);
        }
    }
    ours.print("authkeeper mcp");
    theirs.print("mcp-remote");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the processes that are measured run on the real clock"
)]
fn settle() {
    std::thread::sleep(SETTLED);
}

#[derive(Default)]
struct Taken {
    start: Vec<Duration>,
    resident: Vec<u64>,
    proportional: Vec<u64>,
}

impl Taken {
    fn add(&mut self, mut bridge: Bridge) {
        self.start.push(bridge.initialize());
        bridge.call();
        settle();
        let Memory {
            resident,
            proportional,
        } = bridge.memory();
        self.resident.push(resident);
        self.proportional.push(proportional);
    }

    fn print(mut self, who: &str) {
        self.start.sort_unstable();
        self.resident.sort_unstable();
        self.proportional.sort_unstable();
        let (half, last) = (percentile(&self.start, 0.5), percentile(&self.start, 1.0));
        let what = format!("{who}: start until initialize is answered");
        figure(&what, &format!("median {half:.1?}, worst {last:.1?}"));
        let middle =
            |sorted: &[u64]| mib(sorted.get(sorted.len() / 2).copied().unwrap_or_default());
        let value = format!(
            "{} resident, {} proportional",
            middle(&self.resident),
            middle(&self.proportional)
        );
        figure(&format!("{who}: memory"), &value);
    }
}

fn mib(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}

/// Rounds in turns, so that all ways see the same machine.
fn latency(ground: &Ground) {
    let daemon = ground.daemon();
    let (mut direct, mut served) = (ground.direct(), daemon.line());
    let mut bridge = ground.bridge();
    let mut remote = ground.mcp_remote();
    // A call after it: `initialized` has arrived then, and is not counted.
    bridge.initialize();
    bridge.call();
    if let Some(remote) = &mut remote {
        remote.initialize();
        remote.call();
    }
    let before = ground.calls();
    let mut waits: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        waits[0].extend((0..CALLS).map(|_| direct.call()));
        waits[1].extend((0..CALLS).map(|_| served.call()));
        waits[2].extend((0..CALLS).map(|_| bridge.call()));
        if let Some(remote) = &mut remote {
            waits[3].extend((0..CALLS).map(|_| remote.call()));
        }
    }
    let made: usize = waits.iter().map(Vec::len).sum();
    assert_eq!(
        ground.calls() - before,
        made as u64,
        "each call goes to the server"
    );
    let ways = ["direct", "serve, /mcp/NAME", "authkeeper mcp", "mcp-remote"];
    for (way, mut waits) in ways.into_iter().zip(waits) {
        waits.sort_unstable();
        let (half, p99) = (percentile(&waits, 0.5), percentile(&waits, 0.99));
        figure(
            &format!("a call, {way}: p50, p99"),
            &format!("{half:.0?}, {p99:.0?}"),
        );
    }
    let Memory {
        resident,
        proportional,
    } = daemon.memory();
    figure(
        "serve: memory",
        &format!(
            "{} resident, {} proportional",
            mib(resident),
            mib(proportional)
        ),
    );
}

fn together(ground: &Ground) {
    let mut all: Vec<Bridge> = (0..BRIDGES).map(|_| ground.bridge()).collect();
    for bridge in &mut all {
        bridge.initialize();
        bridge.call();
    }
    settle();
    let sum = |part: fn(Memory) -> u64| mib(all.iter().map(Bridge::memory).map(part).sum());
    let value = format!(
        "{} resident, {} proportional",
        sum(|memory| memory.resident),
        sum(|memory| memory.proportional)
    );
    figure(&format!("{BRIDGES} bridges together: memory"), &value);
}
