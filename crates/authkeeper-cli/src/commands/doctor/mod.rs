//! `doctor`: everything that is wrong or soon will be, each finding with its fix.
//!
//! ```text
//! places, inspections, providers (thin: they look) ─▶ facts ─▶ findings (pure: they judge) ─▶ printed, exit code
//! ```

mod connections;
mod environment;
mod facts;
mod finding;
mod limits;
mod observations;
mod permissions;
mod profile;
mod providers;
mod repair;
mod unread;

use authkeeper::{
    error::TokenError,
    model::ConnectionName,
    platform::process_lease::Owners,
    runtime::inspect::Inspection,
    store::sqlite::{Salvaged, examine},
};
use serde_json::json;

use self::{
    facts::{ConnectionFacts, Validated},
    finding::{Finding, Severity, count, lines, worst},
};
use crate::{
    app::App,
    args::DoctorArgs,
    exit::Exit,
    failure::Failure,
    output::{self, CommandOutput, Paint},
    settings::{CliSettings, Environment},
};

pub(crate) async fn doctor(
    environment: Environment,
    output: CommandOutput,
    args: DoctorArgs,
) -> Result<u8, Failure> {
    let settings = match CliSettings::load(&environment) {
        Ok(settings) => settings,
        Err(failure) => return Err(told(failure, "config", (vec![], None), output)),
    };
    let mut saved = None;
    if args.repair {
        let now = authkeeper::platform::clock::Seams::system()
            .clock
            .now()
            .wall;
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        saved = match repair::repair(&settings, output, &stamp) {
            Ok(saved) => saved,
            Err(failure) => {
                let early = before_opening(&environment, &settings);
                return Err(told(failure, "store", (early, None), output));
            }
        };
    }
    let early = before_opening(&environment, &settings);
    if !settings.runtime.store.exists() {
        return without_store(&settings, &args, early, output);
    }
    let opened = match open(environment, settings, output).await {
        Ok(opened) => opened,
        Err(failure) => return Err(told(failure, "store", (early, saved.as_ref()), output)),
    };
    let OpenedStore { app, inspections } = opened;
    if args.adopt {
        adopt(&app).await?;
    }
    if let Some(name) = &args.reread {
        return unread::reread(&app, name).await;
    }
    if let Some(code) = compared(&app.settings, &inspections, &args, output)? {
        return Ok(code);
    }
    let mut findings = early;
    findings.push(permissions::home(app.runtime.store_is_copy()));
    findings.push(permissions::key(app.runtime.seal_key_is_changing()));
    findings.extend(look(&app, &inspections, args.offline).await);
    let report = DoctorReport {
        findings,
        connections: inspections.len(),
        saved,
    };
    Ok(report.print(&app.settings, &args, output))
}

/// Looking makes no store.
fn without_store(
    settings: &CliSettings,
    args: &DoctorArgs,
    early: Vec<Finding>,
    output: CommandOutput,
) -> Result<u8, Failure> {
    if args.adopt {
        output.say("Nothing to adopt: there is no store yet.");
    }
    if let Some(name) = &args.reread {
        let name = ConnectionName::parse(name)?;
        return Err(TokenError::NoSuchConnection { name }.into());
    }
    if let Some(code) = compared(settings, &[], args, output)? {
        return Ok(code);
    }
    let report = DoctorReport {
        findings: nothing_yet(early),
        connections: 0,
        saved: None,
    };
    Ok(report.print(settings, args, output))
}

/// What was asked of this installation and another one; none if nothing was.
fn compared(
    settings: &CliSettings,
    inspections: &[Inspection],
    args: &DoctorArgs,
    output: CommandOutput,
) -> Result<Option<u8>, Failure> {
    if !args.snapshot && args.against.is_none() {
        return Ok(None);
    }
    let here = profile::snapshot(&settings.listed, inspections);
    if let Some(profile) = &args.against {
        return profile::compare(&here, profile, &settings.file.0, output).map(Some);
    }
    output.data_json(&here);
    Ok(Some(0))
}

/// This copy of the store is the one that goes on.
async fn adopt(app: &App) -> Result<(), Failure> {
    if !app.runtime.store_is_copy() {
        app.output
            .say("Nothing to adopt: the store is where it was, and no copy.");
        return Ok(());
    }
    app.runtime.settle_here().await?;
    app.output
        .say("Adopted: this store refreshes again. Keep the other copy out of use for good.");
    Ok(())
}

/// What can be seen without the store, and what opening it would change.
fn before_opening(environment: &Environment, settings: &CliSettings) -> Vec<Finding> {
    let (file, there) = &settings.file;
    let config = if *there {
        format!("{} is read; config show lists every value", file.display())
    } else {
        format!(
            "there is no {}: every setting has its default",
            file.display()
        )
    };
    let places = permissions::look(settings);
    let mut findings = vec![Finding::ok("config", config)];
    findings.extend(environment::old_settings(&settings.old_settings, file));
    findings.extend(permissions::permissions(
        &places,
        rustix::process::geteuid().as_raw(),
    ));
    findings.extend(permissions::together(&places));
    findings.extend(permissions::file_system(&settings.runtime.store));
    let notify = &settings.notify;
    let command = notify.on_incident.as_deref();
    let program = command.and_then(environment::program_of);
    let starts = program.map(|program| (program, environment::can_start(program, environment)));
    findings.extend(environment::webhook(notify.webhook.as_ref()));
    findings.extend(notify.others.iter().map(environment::route));
    let others = notify.webhook.is_some() || !notify.others.is_empty();
    if command.is_some() || !others {
        findings.push(environment::hook(command, starts, file));
    }
    findings.push(environment::environment(environment));
    let network = settings.network();
    findings.extend(environment::proxies(&settings.network, network.proxies()));
    findings.push(environment::boundary());
    findings
}

fn nothing_yet(mut findings: Vec<Finding>) -> Vec<Finding> {
    let what = "there is no store yet";
    let fix = "authkeeper connect NAME URL makes it with the first connection";
    findings.push(Finding::warning("store", what, fix));
    findings
}

struct OpenedStore {
    app: App,
    inspections: Vec<Inspection>,
}

/// Reads the whole file: that it opens says little of its last page.
async fn open(
    environment: Environment,
    settings: CliSettings,
    output: CommandOutput,
) -> Result<OpenedStore, Failure> {
    let app = App::open(environment, settings, output)?;
    examine(&app.settings.runtime.store)?;
    let inspections = app.runtime.inspections().await?;
    Ok(OpenedStore { app, inspections })
}

async fn look(app: &App, inspections: &[Inspection], offline: bool) -> Vec<Finding> {
    let (data, now) = (&app.settings.runtime.data, app.runtime.now());
    let store = app.settings.runtime.store.display();
    let sound = format!(
        "{store} is sound and opens with its key; {} can be read",
        output::count(inspections.len(), "connection")
    );
    let mut findings = vec![Finding::ok("store", sound)];
    let log = app.runtime.decisions();
    // Looked at again after the log was read: another process may have refreshed in between.
    let mut known = Vec::new();
    for one in inspections {
        let Ok(status) = app.runtime.status(&one.status.connection.name).await else {
            continue;
        };
        known.push(permissions::StoredGrant {
            name: status.connection.name.to_string(),
            since: one.signed_in_at,
            lineage: status.lineage,
            generation: status.generation,
        });
    }
    findings.extend(permissions::rolled_back(&log, &known));
    let claims = inspections
        .iter()
        .filter_map(|one| one.status.claim.as_ref());
    let claims: Vec<String> = claims.map(|claim| claim.attempt.to_string()).collect();
    findings.extend(permissions::leftovers(
        &permissions::journals(data, now),
        &claims,
    ));
    for one in inspections {
        let name = &one.status.connection.name;
        let validation = app.runtime.validation(name).await.unwrap_or_default();
        let every = app.settings.validate_every;
        let facts = ConnectionFacts {
            validated: Validated::of(validation.as_ref(), every),
            ..ConnectionFacts::from(one)
        };
        findings.extend(connections::findings(&facts, now));
        let unread = app.runtime.unread_answers(name).await;
        findings.extend(unread::findings(name, &unread.unwrap_or_default()));
    }
    if !offline {
        let providers = providers::ask(&app.runtime, inspections, &log).await;
        findings.extend(providers.iter().flat_map(providers::findings));
    }
    match app.runtime.observed().await {
        Ok(observed) => findings.extend(observations::findings(&observed)),
        Err(error) => tracing::warn!(%error, "what was noticed of providers can't be read"),
    }
    let owners = Owners::new(data.join("owners"));
    findings.extend(environment::processes(owners.census()));
    findings
}

/// What was found, and about how much.
struct DoctorReport {
    findings: Vec<Finding>,
    connections: usize,
    saved: Option<Salvaged>,
}

impl DoctorReport {
    /// Prints it all, and gives the exit code.
    fn print(&self, settings: &CliSettings, args: &DoctorArgs, output: CommandOutput) -> u8 {
        let exit = worst(&self.findings);
        let store = &settings.runtime.store;
        if output.json {
            output.data_json(&json!({
                "ok": exit.is_none(),
                "exit": exit.map_or(0, Exit::code),
                "store": store.display().to_string(),
                "connections": self.connections,
                "repaired": self.saved.as_ref().map(repair::repaired_json),
                "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
            }));
        } else {
            for line in lines(&self.findings, args.verbose, output) {
                line.print(output);
            }
            output.data(&verdict(&self.findings, exit, output));
        }
        exit.map_or(0, Exit::code)
    }
}

fn verdict(findings: &[Finding], exit: Option<Exit>, output: CommandOutput) -> String {
    let number = |severity, word: &str| match count(findings, severity) {
        0 => None,
        some => Some(output::count(some, word)),
    };
    let counts = [
        number(Severity::Error, "error"),
        number(Severity::Warning, "warning"),
        number(Severity::Note, "note").map(|notes| format!("{notes} (--verbose shows them)")),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    let counts = counts.join(", ");
    if let Some(exit) = exit {
        let word = output.paint(Paint::Bad, "not ok:");
        return format!("{word} {counts}; exit code {}", exit.code());
    }
    let mut stores = findings.iter().filter(|finding| finding.check == "store");
    let store = stores.next().map(|finding| finding.what.as_str());
    let parts = [store.unwrap_or_default(), counts.as_str()];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    let word = output.paint(Paint::Good, "ok:");
    format!("{word} {}", parts.collect::<Vec<_>>().join("; "))
}

/// Where nothing more can be looked at, the failure says it all; a program gets what was found until then too.
fn told(
    failure: Failure,
    check: &'static str,
    (mut findings, saved): (Vec<Finding>, Option<&Salvaged>),
    output: CommandOutput,
) -> Failure {
    findings.push(Finding::error(
        check,
        failure.exit,
        &failure.what,
        &failure.next,
    ));
    if output.json {
        output.data_json(&json!({
            "ok": false,
            "exit": failure.exit.code(),
            "repaired": saved.map(repair::repaired_json),
            "findings": findings.iter().map(Finding::json).collect::<Vec<_>>(),
        }));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_one_line() {
        let plain = CommandOutput::new(false, true);
        let store = Finding::ok("store", "s is sound");
        let warning = Finding::warning("hook", "w", "m");
        let fine = [store.clone(), warning.clone(), warning.clone()];
        assert_eq!(verdict(&fine, None, plain), "ok: s is sound; 2 warnings");
        let error = Finding::error("state", Exit::Person, "e", "m");
        let bad = [store, warning, error];
        let said = verdict(&bad, worst(&bad), plain);
        assert_eq!(said, "not ok: 1 error, 1 warning; exit code 75");
    }
}
