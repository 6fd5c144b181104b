//! Runs schedules: `cargo run --release -p simulation -- --schedules 1000000 [--seed N] [--faults kill,stop] [--jobs N]`.
//! With `--trace` the one schedule of `--seed` is told step by step.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use simulation::{
    campaign::{self, Campaign},
    fault::Fault,
    schedule::{self, RunSettings},
};

/// How many schedules are run when nobody says.
const SCHEDULES: u64 = 10_000;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = io::stdout().lock();
    let Some(asked) = read(&arguments) else {
        writeln!(
            out,
            "usage: simulation [--schedules N] [--seed N] [--faults WORD,WORD] [--jobs N] [--trace]\nfaults: {}",
            Fault::ALL.map(Fault::word).join(",")
        )?;
        return Ok(ExitCode::from(2));
    };
    if asked.trace {
        let mut settings = RunSettings::of(asked.campaign.first);
        settings.faults.clone_from(&asked.campaign.faults);
        settings.trace = true;
        let outcome = schedule::run(&settings);
        writeln!(out, "{}", outcome.trace.join("\n"))?;
        return Ok(code(outcome.broken.is_none()));
    }
    let began = now();
    let found = campaign::run(&asked.campaign);
    let seconds = (now() - began).as_secs_f64();
    writeln!(out, "{}", found.report(&asked.campaign, seconds))?;
    Ok(code(found.broken.is_empty()))
}

fn code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Arguments {
    campaign: Campaign,
    trace: bool,
}

/// What the command line asks for; none if it can't be read.
fn read(arguments: &[String]) -> Option<Arguments> {
    let mut asked = Arguments {
        campaign: Campaign::of(SCHEDULES),
        trace: false,
    };
    let mut arguments = arguments.iter();
    while let Some(flag) = arguments.next() {
        let campaign = &mut asked.campaign;
        match flag.as_str() {
            "--trace" => asked.trace = true,
            "--schedules" => campaign.schedules = arguments.next()?.parse().ok()?,
            "--seed" => campaign.first = arguments.next()?.parse().ok()?,
            "--jobs" => campaign.jobs = arguments.next()?.parse().ok()?,
            "--faults" => {
                let words = arguments.next()?.split(',');
                campaign.faults = words.map(Fault::parse).collect::<Option<_>>()?;
            }
            _ => return None,
        }
    }
    Some(asked)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is measured, nothing is decided by it"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
