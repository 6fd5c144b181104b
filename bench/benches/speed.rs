//! What is called again and again: a token that is good, and a refresh committed to the store.

use std::{
    hint::black_box,
    sync::{Barrier, Mutex},
    time::Duration,
};

use authkeeper::runtime::{LiveToken, TokenRequest};
use authkeeper_bench::{
    machine::{Machine, name},
    report::CoreWatch,
    store::Ledger,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const CALLERS: [u32; 3] = [1, 2, 64];

fn tokio() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().expect("a runtime")
}

/// How a caller asks.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Each with a handle of its own.
    Live,
    /// By the connection's name.
    Named,
}

/// So many callers at once, each as often; how long a caller was on a core for it. Each is a thread of its own: what is
/// measured is the code, not a scheduler of tasks, nor what else this machine does.
fn callers(tokio: &Runtime, machine: &Machine, (way, callers): (Way, u32), times: u64) -> Duration {
    let request = TokenRequest::new(name("c"));
    let live = tokio.block_on(machine.live("c"));
    let start = Barrier::new(usize::try_from(callers).unwrap_or(1));
    let took = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                let mut live = live.clone();
                start.wait();
                let watch = CoreWatch::of_this_thread();
                match way {
                    Way::Live => by_handle(tokio, &mut live, times),
                    Way::Named => tokio.block_on(by_name(machine, &request, times)),
                }
                *took.lock().expect("no panic") += watch.elapsed();
            });
        }
    });
    took.into_inner().expect("no panic") / callers
}

/// As a caller does it: the handle, and when it must be looked, the runtime.
fn by_handle(tokio: &Runtime, live: &mut LiveToken, times: u64) {
    for _ in 0..times {
        if black_box(live.current()).is_none() {
            black_box(tokio.block_on(live.get()).expect("it is good"));
        }
    }
}

async fn by_name(machine: &Machine, request: &TokenRequest, times: u64) {
    for _ in 0..times {
        let token = machine.runtime.access_token(request).await;
        black_box(token.expect("it is good"));
    }
}

fn cached(criterion: &mut Criterion) {
    let tokio = tokio();
    let machine = tokio.block_on(Machine::connected(Duration::ZERO));
    for way in [Way::Live, Way::Named] {
        let mut group =
            criterion.benchmark_group(format!("good token, {way:?}: a call on its core"));
        for count in CALLERS {
            let of = BenchmarkId::from_parameter(count);
            group.bench_with_input(of, &count, |bencher, count| {
                bencher.iter_custom(|times| callers(&tokio, &machine, (way, *count), times));
            });
        }
        group.finish();
    }
}

/// What a call costs that must look at the store first, and one that must read the grant.
fn looked_up(criterion: &mut Criterion) {
    let tokio = tokio();
    let machine = tokio.block_on(Machine::connected(Duration::ZERO));
    let mut group = criterion.benchmark_group("good token, the long way");
    group.bench_function("one look, nothing written", |bencher| {
        bencher.iter(|| {
            machine.advance(Duration::from_millis(51));
            tokio.block_on(machine.ask("c")).expect("it is good")
        });
    });
    let mut once = 0_u32;
    group.bench_function("something was written", |bencher| {
        bencher.iter_batched(
            || {
                once += 1;
                tokio.block_on(machine.write_something(once));
            },
            |()| tokio.block_on(machine.ask("c")).expect("it is good"),
            BatchSize::PerIteration,
        );
    });
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
    targets = cached, looked_up, commits
}
criterion_main!(speed);
