//! Scenes that are played once: herds, a dead endpoint, many connections, many processes. Prints what it measures.

use std::{sync::Arc, time::Duration};

use authkeeper_bench::{
    ALLOCATOR,
    machine::{ACCESS_TOKEN, LIFETIME, Machine, herd},
    processes::{Processes, Run},
    report::{CoreWatch, Watch, figure, percentile},
};
use stats_alloc::Region;

const ROUND_TRIP: Duration = Duration::from_millis(50);
const CONNECTIONS: u32 = 10_000;
/// The longest a background refresh at a dead endpoint takes.
const SETTLED: Duration = Duration::from_secs(20);
const PROCESSES: usize = 16;

fn main() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tokio = builder.enable_all().build().expect("a runtime");
    let processes_only = std::env::args().any(|argument| argument == "processes");
    tokio.block_on(async {
        if processes_only {
            return all_processes().await;
        }
        herds().await;
        dead_endpoint().await;
        Box::pin(memory()).await;
        all_processes().await;
    });
}

async fn all_processes() {
    for lifetime in [Duration::from_hours(1), Duration::from_secs(2)] {
        processes(lifetime).await;
    }
}

/// What a herd adds to what one caller waits: the round trip, and the disk, which is waited for six times.
async fn herds() {
    let mut alone = vec![];
    for _ in 0..9 {
        alone.extend(waits(1).await);
    }
    alone.sort_unstable();
    let alone = percentile(&alone, 0.5);
    figure(
        "one caller, the round trip of 50 ms and the disk",
        &format!("{alone:.1?}"),
    );
    for callers in [50, 1_000, 10_000] {
        let watch = CoreWatch::of_all_threads();
        let waits = waits(callers).await;
        let on_core = watch.elapsed();
        let of = |share| percentile(&waits, share);
        let what = format!("herd of {callers}: 1 request; half, p99 and longest beyond that");
        let beyond = [of(0.5), of(0.99), of(1.0)].map(|wait| wait.saturating_sub(alone));
        let value = format!(
            "{beyond:.2?}; p99 {:.1?}; {on_core:.1?} on a core",
            of(0.99)
        );
        figure(&what, &value);
    }
}

async fn waits(callers: usize) -> Vec<Duration> {
    let machine = Arc::new(Machine::connected(ROUND_TRIP).await);
    machine.advance(LIFETIME);
    let waits = herd(&machine, callers).await;
    assert_eq!(machine.provider.requests(), 1);
    waits
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
    // The refresh runs in the background. On a fast machine all callers are answered from memory before it reaches the
    // endpoint.
    let settled = machine.runtime.drain(SETTLED).await;
    assert!(settled, "a refresh is still under way");
    assert!(machine.provider.attempts() > 0, "no refresh was attempted");
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
