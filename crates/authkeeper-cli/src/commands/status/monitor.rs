//! What a monitor reads of `status`: an exit code, or one line in the format of monitoring plugins.

use std::collections::BTreeMap;

use authkeeper::model::{ConnectionName, Health, HealthState};

use crate::{
    commands::health::{next_step, what_of},
    exit::Exit,
    failure::Failure,
    output,
};

/// A connection, and how it stands.
type Named<'a> = (&'a ConnectionName, &'a Health);

/// What `--check` ends with: what `token` ends with for the worst connection. A grant that is over counts although its last
/// token still serves; what authkeeper is about to heal while calls work does not. A store without connections is most likely
/// not the one that was meant: cron has another `HOME`.
pub(super) fn verdict<'a>(all: impl Iterator<Item = Named<'a>>) -> Result<(), Failure> {
    let all: Vec<Named<'_>> = all.collect();
    if all.is_empty() {
        let next = "authkeeper connect NAME URL; if something is connected, run this as the user whose jobs use it, with that HOME";
        return Err(Failure::new(Exit::NotFound, "nothing is connected", next));
    }
    let failing = all
        .iter()
        .filter_map(|(name, health)| Some((*name, *health, Exit::of_health(health)?)));
    let failing: Vec<_> = failing.collect();
    let number = failing.len();
    let worst = failing
        .into_iter()
        .max_by_key(|(_, _, exit)| exit.gravity());
    let Some((name, health, exit)) = worst else {
        return Ok(());
    };
    let mut what = format!("{name}: {}", what_of(health));
    if all.len() > 1 {
        let of = output::count(all.len(), "connection");
        what = format!("{number} of {of} need attention; the worst: {what}");
    }
    Err(Failure::new(exit, what, next_step(name, health)))
}

/// The states of a monitoring plugin, with their exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PluginState {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl PluginState {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn of(health: &Health) -> Self {
        match health.state {
            HealthState::Ok => Self::Ok,
            HealthState::AtRisk if !health.needs_attention() => Self::Ok,
            HealthState::Notice | HealthState::AtRisk | HealthState::Off => Self::Warning,
            HealthState::Down => Self::Critical,
        }
    }
}

/// One line as monitoring plugins print it (Monitoring Plugins Development Guidelines), and its exit code.
pub(super) fn plugin_line<'a>(all: impl Iterator<Item = Named<'a>>) -> (u8, String) {
    let all: Vec<Named<'_>> = all.collect();
    let worst = all
        .iter()
        .max_by_key(|(_, health)| (PluginState::of(health), health.state));
    let Some((name, health)) = worst else {
        return line(PluginState::Unknown, "nothing is connected", "");
    };
    let state = PluginState::of(health);
    let said = match state {
        PluginState::Ok if all.len() == 1 => "1 connection works".to_owned(),
        PluginState::Ok => format!("{} work", output::count(all.len(), "connection")),
        _ => {
            let bad = all
                .iter()
                .filter(|(_, one)| PluginState::of(one) > PluginState::Ok);
            let of = output::count(all.len(), "connection");
            format!("{} of {of}; {name}: {}", bad.count(), what_of(health))
        }
    };
    line(state, &said, &counts(&all))
}

/// What `--nagios` says when nothing can be known: standard output and exit code 3, as plugins do.
pub(crate) fn unknown(failure: &Failure) -> (u8, String) {
    line(PluginState::Unknown, &failure.what, "")
}

fn counts(all: &[Named<'_>]) -> String {
    let states = [
        HealthState::Ok,
        HealthState::Notice,
        HealthState::AtRisk,
        HealthState::Down,
        HealthState::Off,
    ];
    let mut counts: BTreeMap<HealthState, usize> = states.map(|state| (state, 0)).into();
    for (_, health) in all {
        *counts.entry(health.state).or_default() += 1;
    }
    let counts = counts.into_iter();
    let counts: Vec<String> = counts
        .map(|(state, number)| format!("{}={number}", state.as_str()))
        .collect();
    format!(" | {}", counts.join(" "))
}

/// A bar begins the numbers, and a line break ends the line: neither may come from a provider's words.
fn line(state: PluginState, said: &str, counts: &str) -> (u8, String) {
    let said = said.replace('|', "/").replace(['\n', '\r'], " ");
    (
        state as u8,
        format!("AUTHKEEPER {}: {said}{counts}", state.word()),
    )
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{HealthCause, ReauthorizeReason, WhoseMove};

    use authkeeper_gateway::error::CallErrorKind;

    use super::*;
    use crate::test_support::notion;

    fn health(state: HealthState, cause: HealthCause, whose_move: WhoseMove) -> Health {
        Health {
            state,
            cause: Some(cause),
            detail: Some("it | broke\nthere".to_owned()),
            action: Some("authkeeper act".to_owned()),
            whose_move,
            ..Health::OK
        }
    }

    fn over(state: HealthState) -> Health {
        let cause = HealthCause::GrantOver(ReauthorizeReason::RefreshRefused);
        health(state, cause, WhoseMove::Person)
    }

    fn outage(state: HealthState) -> Health {
        health(state, HealthCause::ProviderUnavailable, WhoseMove::Provider)
    }

    fn check(all: &[Health]) -> Option<(Exit, String, String)> {
        let name = notion();
        let failure = verdict(all.iter().map(|health| (&name, health))).err()?;
        Some((failure.exit, failure.what, failure.next))
    }

    fn plugin(all: &[Health]) -> (u8, String) {
        let name = notion();
        plugin_line(all.iter().map(|health| (&name, health)))
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_connection() {
        use HealthState::{AtRisk, Down, Notice};
        assert_eq!(check(&[Health::OK, over(Notice), outage(AtRisk)]), None);
        assert_eq!(check(&[]).unwrap().0, Exit::NotFound);
        let code = |all: &[Health]| check(all).unwrap().0;
        assert_eq!(code(&[outage(Down)]), Exit::Unavailable);
        assert_eq!(code(&[over(AtRisk)]), Exit::Person);
        assert_eq!(code(&[outage(Down), over(Down), Health::OK]), Exit::Person);
        let (_, what, next) = check(&[outage(Down), over(Down), Health::OK]).unwrap();
        assert!(what.starts_with("2 of 3 connections need attention; the worst: notion: it"));
        assert_eq!(next, "authkeeper act");
    }

    fn row(cause: HealthCause) -> String {
        let of = |has_token| health(cause.state(has_token), cause, cause.whose_move());
        let (with, without) = (of(true), of(false));
        let pair = |with: String, without: String| match with == without {
            true => with,
            false if with == "0" => format!("({without})"),
            false => format!("{with}, {without}"),
        };
        let code = |health| Exit::of_health(health).map_or(0, Exit::code).to_string();
        let plugin = |health| (PluginState::of(health) as u8).to_string();
        let probe = match (with.needs_attention(), without.needs_attention()) {
            (true, _) => "503",
            (false, true) => "(503)",
            (false, false) => "200",
        };
        let calls = CallErrorKind::of_cause(cause).map(|kind| format!("`{}`", kind.word()));
        let calls = match calls {
            Some(word) if with.state < HealthState::Down => format!("({word})"),
            other => other.unwrap_or_default(),
        };
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {probe} | {calls} |",
            cause.as_str(),
            with.state.as_str(),
            without.state.as_str(),
            cause.whose_move().as_str(),
            pair(code(&with), code(&without)),
            pair(plugin(&with), plugin(&without)),
        )
    }

    /// `UPDATE_DOCS=1` writes it.
    #[test]
    fn the_documented_table_is_the_one_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/health.md");
        let page = std::fs::read_to_string(path).unwrap();
        let rows: Vec<String> = HealthCause::all().into_iter().map(row).collect();
        let (before, _) = page
            .split_once("\n| `pending`")
            .unwrap_or((page.trim_end(), ""));
        let right = format!("{before}\n{}\n", rows.join("\n"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            return std::fs::write(path, &right).unwrap();
        }
        let stale =
            "docs/health.md is stale; run: UPDATE_DOCS=1 cargo test -p authkeeper-cli monitor";
        assert!(page == right, "{stale}");
    }

    #[test]
    fn a_plugin_says_one_line() {
        use HealthState::{AtRisk, Down};
        let ok = "AUTHKEEPER OK: 1 connection works | ok=1 notice=0 at_risk=0 down=0 off=0";
        let (code, line) = plugin(&[Health::OK]);
        assert_eq!((code, line.as_str()), (0, ok));
        assert_eq!(plugin(&[outage(AtRisk)]).0, 0);
        assert_eq!(plugin(&[over(AtRisk), Health::OK]).0, 1);
        let (code, line) = plugin(&[over(AtRisk), Health::OK, outage(Down)]);
        assert_eq!(code, 2);
        let counts = " | ok=1 notice=0 at_risk=1 down=1 off=0";
        assert_eq!(
            line,
            format!("AUTHKEEPER CRITICAL: 2 of 3 connections; notion: it / broke there{counts}")
        );
        assert_eq!(plugin(&[]).0, 3);
        let failure = Failure::new(Exit::Store, "the store can't be read", "doctor");
        assert_eq!(
            unknown(&failure),
            (3, "AUTHKEEPER UNKNOWN: the store can't be read".to_owned())
        );
    }
}
