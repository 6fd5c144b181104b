//! Scenes that are played once: herds, a dead endpoint, many connections, many processes. Prints what it measures.

use std::{sync::Arc, time::Duration};

use authkeeper_bench::{
    ALLOCATOR,
    machine::{ACCESS_TOKEN, LIFETIME, Machine, herd},
    processes::{Processes, Run},
    report::{Watch, figure, percentile},
};
use stats_alloc::Region;

const ROUND_TRIP: Duration = Duration::from_millis(50);
const CONNECTIONS: u32 = 10_000;
const PROCESSES: usize = 16;

fn main() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tokio = builder.enable_all().build().expect("a runtime");
    let processes_only = std::env::args().any(|argument| argument == "processes");
    tokio.block_on(async {
        if processes_only {
            return all_processes().await;
        }
        for callers in [50, 1_000, 10_000] {
            herds(callers).await;
        }
        dead_endpoint().await;
        memory().await;
        all_processes().await;
    });
}

async fn all_processes() {
    for lifetime in [Duration::from_hours(1), Duration::from_secs(2)] {
        processes(lifetime).await;
    }
}

async fn herds(callers: usize) {
    let machine = Arc::new(Machine::connected(ROUND_TRIP).await);
    machine.advance(LIFETIME);
    let waits = herd(&machine, callers).await;
    let requests = machine.provider.requests();
    assert_eq!(requests, 1);
    let beyond = percentile(&waits, 0.99).saturating_sub(ROUND_TRIP);
    let last = percentile(&waits, 1.0).saturating_sub(ROUND_TRIP);
    let what = format!("herd of {callers}: requests, p99 and longest beyond 50 ms");
    figure(&what, &format!("{requests}, {beyond:.1?}, {last:.1?}"));
}

async fn dead_endpoint() {
    let machine = Machine::connected(ROUND_TRIP).await;
    machine.provider.die();
    machine.advance(Duration::from_mins(50));
    let mut waits = vec![];
    let mut errors = 0;
    for _ in 0..10_000 {
        let watch = Watch::start();
        errors += u32::from(machine.ask("c").await.is_err());
        waits.push(watch.elapsed());
    }
    waits.sort_unstable();
    let (p99, last) = (percentile(&waits, 0.99), percentile(&waits, 1.0));
    let value = format!("{errors}, {p99:.1?}, {last:.1?}");
    figure(
        "dead endpoint, token good: errors of 10,000, p99, longest",
        &value,
    );
    assert_eq!(errors, 0);
}

async fn memory() {
    let machine = Machine::new(ROUND_TRIP);
    machine.connect("warm").await;
    machine.ask("warm").await.expect("it is good");
    let watch = Watch::start();
    for number in 0..CONNECTIONS {
        machine.connect(&format!("c{number}")).await;
    }
    let connecting = watch.elapsed() / CONNECTIONS;
    figure("one import, durable", &format!("{connecting:.1?}"));
    let region = Region::new(ALLOCATOR);
    for number in 0..CONNECTIONS {
        machine
            .ask(&format!("c{number}"))
            .await
            .expect("it is good");
    }
    let opened = kept(&region);
    let names =
        (0..CONNECTIONS).map(|number| authkeeper_bench::machine::name(&format!("c{number}")));
    let keeper = machine.runtime.keep_fresh(names.collect());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let fresh = kept(&region);
    drop(keeper);
    let tokens = ACCESS_TOKEN + "refresh-of-c9999".len();
    let value = format!("{opened} B opened, {fresh} B kept fresh (token texts: {tokens} B)");
    figure("memory a connection, of 10,000 (Rust alone)", &value);
    let disk = machine.bytes_on_disk() / u64::from(CONNECTIONS);
    figure("disk a connection", &format!("{disk} B"));
}

fn kept(region: &Region<'_, std::alloc::System>) -> isize {
    let change = region.change();
    let kept = change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed();
    kept / isize::try_from(CONNECTIONS).unwrap_or(1)
}

async fn processes(lifetime: Duration) {
    let all = Arc::new(Processes::start(PROCESSES, lifetime).await);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..PROCESSES {
        let all = Arc::clone(&all);
        asking.spawn_blocking(move || all.ask(&format!("p{number}"), Duration::from_secs(8)));
    }
    let mut runs: Vec<Run> = vec![];
    while let Some(done) = asking.join_next().await {
        runs.extend(done.expect("no panic"));
    }
    let bad = runs.iter().filter(|run| !run.good).count();
    let mut waits: Vec<Duration> = runs.iter().map(|run| run.took).collect();
    waits.sort_unstable();
    let (half, p99, last) = (
        percentile(&waits, 0.5),
        percentile(&waits, 0.99),
        percentile(&waits, 1.0),
    );
    let what = format!(
        "{PROCESSES} processes at once, tokens of {} s",
        lifetime.as_secs()
    );
    let value = format!(
        "{} calls, {bad} failed, median {half:.1?}, p99 {p99:.1?}, worst {last:.1?}",
        runs.len()
    );
    figure(&what, &value);
}
