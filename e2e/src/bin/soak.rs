//! Five bridges at work while faults strike: `cargo run -p e2e --bin soak -- [MINUTES] [SEED]`. Exits with 1 if a call failed
//! that need not have, or a bridge grew. The binary `authkeeper` must be built.

use std::process::ExitCode;
use std::time::Duration;

use e2e::soak::{Plan, run};

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let number = |given: Option<Result<u64, _>>, usual| given.map_or(Some(usual), Result::ok);
    let minutes = number(given.next(), 60);
    let seed = number(given.next(), 1);
    let (Some(minutes), Some(seed)) = (minutes, seed) else {
        say("usage: soak [MINUTES] [SEED]");
        return ExitCode::from(64);
    };
    let time = Duration::from_mins(minutes);
    let report = run(Plan { time, seed }, say);
    say(&report.to_string());
    if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::print_stderr, reason = "it is watched")]
fn say(line: &str) {
    eprintln!("{line}");
}
