//! authkeeper's token cache beside those of other crates, in one run on the same cores: a herd on an expired token, and
//! callers of a valid one. Prints a table for each. See `bench/README.md`.

mod measure;
mod peers;

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::{
    measure::{Herd, herd, lookup},
    peers::{Authkeeper, AwsSmithy, Channel, GoogleCloud, Huskarl, Moka, Peer},
};

const HERDS: [usize; 3] = [1, 1_000, 10_000];
const CALLERS: [u32; 4] = [1, 2, 8, 64];
/// Calls of all threads together.
const CALLS: u32 = 1_280_000;
/// In turns, so that what else this machine does strikes all of them.
const ROUNDS: usize = 7;

/// One line of both tables.
struct Row {
    name: &'static str,
    herd: fn(&Runtime, usize) -> Herd,
    lookup: fn(&Runtime, u32, u32) -> Duration,
}

impl Row {
    fn of<P: Peer>() -> Self {
        Self {
            name: P::NAME,
            herd: herd::<P>,
            lookup: lookup::<P>,
        }
    }
}

fn main() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tokio = builder.enable_all().build().expect("a runtime");
    let only = std::env::args().nth(1);
    let mut rows = vec![
        Row::of::<Channel>(),
        Row::of::<Authkeeper>(),
        Row::of::<Moka>(),
        Row::of::<GoogleCloud>(),
        Row::of::<AwsSmithy>(),
        Row::of::<Huskarl>(),
    ];
    rows.retain(|row| only.as_deref().is_none_or(|only| row.name.contains(only)));
    herds(&tokio, &rows);
    lookups(&tokio, &rows);
}

fn herds(tokio: &Runtime, rows: &[Row]) {
    let mut played: Vec<[Vec<Herd>; 3]> = rows.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for (row, played) in rows.iter().zip(&mut played) {
            for (callers, played) in HERDS.into_iter().zip(played) {
                played.push((row.herd)(tokio, callers));
            }
        }
    }
    println!("expired token, provider of 50 ms; medians of {ROUNDS} herds each");
    println!(
        "{:<24} {:>8}  {:>7} {:>7} {:>7} {:>8} {:>8}  {:>7} {:>7} {:>7} {:>8} {:>8}",
        "", "1", "1,000", "", "beyond", "core per", "", "10,000", "", "beyond", "core per", ""
    );
    println!(
        "{:<24} {:>8}  {:>7} {:>7} {:>7} {:>8} {:>8}  {:>7} {:>7} {:>7} {:>8} {:>8}",
        "",
        "p50",
        "p50",
        "p99",
        "one",
        "waiter",
        "requests",
        "p50",
        "p99",
        "one",
        "waiter",
        "requests"
    );
    for (row, [one, thousand, ten_thousand]) in rows.iter().zip(played) {
        let one = median(&one);
        let columns = |herds: &[Herd], callers: u32| {
            let herd = median(herds);
            format!(
                "{:>7} {:>7} {:>7} {:>8} {:>8}",
                millis(herd.p50),
                millis(herd.p99),
                millis(herd.p99.saturating_sub(one.p50)),
                format!("{:.1?}", herd.core.saturating_sub(one.core) / callers),
                herd.requests,
            )
        };
        println!(
            "{:<24} {:>8}  {}  {}",
            row.name,
            millis(one.p50),
            columns(&thousand, 1_000),
            columns(&ten_thousand, 10_000)
        );
    }
}

/// Each figure's median by itself; of the requests the most.
fn median(herds: &[Herd]) -> Herd {
    let middle = |part: fn(&Herd) -> Duration| {
        let mut sorted: Vec<Duration> = herds.iter().map(part).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    Herd {
        p50: middle(|herd| herd.p50),
        p99: middle(|herd| herd.p99),
        core: middle(|herd| herd.core),
        requests: herds
            .iter()
            .map(|herd| herd.requests)
            .max()
            .unwrap_or_default(),
    }
}

fn millis(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() * 1e3)
}

fn lookups(tokio: &Runtime, rows: &[Row]) {
    println!("\nvalid token: ns on a core for one call, by the number of threads that call");
    let heads: Vec<String> = CALLERS.iter().map(|count| format!("{count:>7}")).collect();
    println!("{:<24} {}", "", heads.join(" "));
    for row in rows {
        let columns: Vec<String> = CALLERS
            .into_iter()
            .map(|count| {
                let mut took: Vec<Duration> = (0..3)
                    .map(|_| (row.lookup)(tokio, count, CALLS / count))
                    .collect();
                took.sort_unstable();
                format!("{:>7}", took[1].as_nanos())
            })
            .collect();
        println!("{:<24} {}", row.name, columns.join(" "));
    }
}
