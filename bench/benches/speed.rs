//! What is called again and again: a token that is good, and a refresh committed to the store.

use std::{hint::black_box, sync::Arc, time::Duration};

use authkeeper_bench::{
    ALLOCATOR,
    machine::Machine,
    report::{Watch, figure},
    store::Ledger,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stats_alloc::Region;
use tokio::{runtime::Runtime, task::JoinSet};

const CALLERS: [u64; 3] = [1, 2, 64];

fn tokio() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().expect("a runtime")
}

/// So many callers at once, each as often; how long that took.
async fn callers(machine: &Arc<Machine>, callers: u64, times: u64) -> Duration {
    let mut all = JoinSet::new();
    let watch = Watch::start();
    for _ in 0..callers {
        let machine = Arc::clone(machine);
        all.spawn(async move {
            for _ in 0..times {
                black_box(machine.ask("c").await.expect("it is good"));
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.expect("no panic");
    }
    watch.elapsed()
}

fn cached(criterion: &mut Criterion) {
    let tokio = tokio();
    let machine = Arc::new(tokio.block_on(Machine::connected(Duration::ZERO)));
    let region = Region::new(ALLOCATOR);
    tokio.block_on(callers(&machine, 1, 1_000));
    let change = region.change();
    figure(
        "allocations a cached call (Rust alone)",
        &format!("{}", change.allocations / 1_000),
    );
    figure(
        "bytes a cached call (Rust alone)",
        &format!("{}", change.bytes_allocated / 1_000),
    );
    let mut group = criterion.benchmark_group("cached token, time a caller waits for one");
    for count in CALLERS {
        group.bench_with_input(
            BenchmarkId::from_parameter(count),
            &count,
            |bencher, count| {
                bencher.iter_custom(|times| tokio.block_on(callers(&machine, *count, times)));
            },
        );
    }
    group.finish();
}

fn commits(criterion: &mut Criterion) {
    let tokio = tokio();
    let mut group = criterion.benchmark_group("claim and commit");
    for grants in [1, 64] {
        let ledger = tokio.block_on(Ledger::new(grants));
        group.throughput(Throughput::Elements(grants));
        group.bench_function(BenchmarkId::from_parameter(grants), |bencher| {
            bencher.iter_custom(|times| tokio.block_on(ledger.rounds(times)));
        });
    }
    group.finish();
}

criterion_group! {
    name = speed;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    targets = cached, commits
}
criterion_main!(speed);
