//! Prints what the model says: `cargo run -p model -- [--deep] [SCENARIO]`.

use std::io::{self, Write as _};

use model::{design::Design, explore, report, scenario};

/// No exploration goes on for ever.
const MOST_STATES: usize = 60_000_000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let only = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"));
    let mut out = io::stdout().lock();
    writeln!(out, "{}", report::HEADER)?;
    for scenario in scenario::all().into_iter().chain(scenario::limits()) {
        if only.is_some_and(|only| only != scenario.name) {
            continue;
        }
        let mut scenario = scenario.under(Design::WHOLE);
        if asked("--deep") {
            scenario = scenario.deeper();
        }
        let began = now();
        let found = explore::explore(&scenario, MOST_STATES);
        let seconds = (now() - began).as_secs_f64();
        writeln!(out, "{}", report::line(&scenario, &found, seconds))?;
        if let Some(trace) = &found.broken {
            write!(out, "{}", report::trace(&scenario, trace))?;
        }
        out.flush()?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long an exploration took is measured, nothing is decided by it"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
