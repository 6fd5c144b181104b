//! `advise`: what was measured of each provider in the last 30 days, beside how long runs take, and what follows from it.

use std::{collections::BTreeMap, time::Duration};

use authkeeper::{
    model::ReplayRule,
    refresh::{decide::due_after, decision_log::PastDecision},
    runtime::inspect::Inspection,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    app::App,
    failure::Failure,
    output::{self, Paint, span},
};

/// An exchange may take as many times as long as the slowest that was seen.
const SLOWER: u32 = 3;
/// Where the text begins: after its label.
const MARGIN: usize = 12;
/// Below this many refreshes nothing is concluded from how often something happened.
const FEW: usize = 10;
/// Clocks that differ by more seconds than this are no property of the provider: one of them is wrong.
const CLOCKS_AGREE: u64 = 60;

/// What was measured of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Measured {
    connections: Vec<String>,
    /// The shortest access token's life among its connections.
    lifetime: Option<Duration>,
    refreshes: usize,
    /// Sorted, in milliseconds.
    latencies: Vec<u64>,
    /// The farthest that its clock was off, in seconds.
    skew: Option<i64>,
    /// How far it was off the last time, and when.
    last_skew: Option<(Timestamp, i64)>,
    /// Refreshes that a 401 forced before the token's end.
    early_401s: usize,
    uncertain: usize,
    refused: usize,
    replay_known: bool,
}

pub(crate) async fn advise(app: &App) -> Result<(), Failure> {
    let inspections = app.runtime.inspections().await?;
    let measured = measure(&inspections, &app.runtime.decisions());
    let longest = app.runtime.longest_run().await?;
    if app.output.json {
        let providers = measured
            .iter()
            .map(|(issuer, of)| json_of(issuer, of, longest));
        app.output.data_json(&json!({
            "longest_run_seconds": longest.map(|run| run.as_secs()), "providers": providers.collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    if measured.is_empty() {
        app.say_nothing_connected();
        return Ok(());
    }
    for (issuer, of) in &measured {
        app.output.data(&app.output.paint(Paint::Strong, issuer));
        app.output
            .data_hanging(&format!("  measured  {}", said(of)), MARGIN);
        for advice in advice(of, longest) {
            app.output
                .data_hanging(&format!("  advice    {advice}"), MARGIN);
        }
    }
    Ok(())
}

fn measure(inspections: &[Inspection], decisions: &[PastDecision]) -> BTreeMap<String, Measured> {
    let mut all: BTreeMap<String, Measured> = BTreeMap::new();
    let refreshes = || decisions.iter().filter(|line| line.decision == "refresh");
    for inspection in inspections {
        let connection = &inspection.status.connection;
        let of = all.entry(connection.issuer.to_string()).or_default();
        of.connections.push(connection.name.to_string());
        for line in refreshes().filter(|line| line.is_of(connection)) {
            count(of, line);
        }
        let life = inspection
            .access
            .filter(|_| inspection.status.expires_at.is_some());
        let lives = of
            .lifetime
            .into_iter()
            .chain(life.map(|access| access.lifetime));
        of.lifetime = lives.min();
        of.replay_known |= inspection.replay != ReplayRule::Unknown;
    }
    for of in all.values_mut() {
        of.latencies.sort_unstable();
    }
    all
}

fn count(of: &mut Measured, line: &PastDecision) {
    of.refreshes += 1;
    of.latencies.extend(line.latency_ms);
    let farther = |known: &i64, seen: &i64| seen.abs() > known.abs();
    if let Some(seen) = line.skew_s
        && of.skew.as_ref().is_none_or(|known| farther(known, &seen))
    {
        of.skew = Some(seen);
    }
    let newer = |seen: &Timestamp| of.last_skew.is_none_or(|(known, _)| *seen > known);
    if let Some(seen) = line.skew_s.filter(|_| newer(&line.ts)) {
        of.last_skew = Some((line.ts, seen));
    }
    of.early_401s += usize::from(line.why.as_deref() == Some("rejected_401"));
    of.uncertain += usize::from(line.outcome.as_deref() == Some("uncertain"));
    of.refused += usize::from(line.outcome.as_deref() == Some("refused"));
}

/// The value below which this share of them lies.
fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a list in memory"
    )]
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied()
}

/// How much of a token's life must be left when its refresh begins, so that the slowest exchange and the farthest clock
/// that were seen do no harm.
fn margin(of: &Measured) -> Duration {
    let slowest = Duration::from_millis(of.latencies.last().copied().unwrap_or_default());
    let skew = of.skew.map_or(0, i64::unsigned_abs);
    // A clock that was wrong is set right; no token can make up for it.
    let skew = Duration::from_secs(if skew > CLOCKS_AGREE { 0 } else { skew });
    Duration::from_secs(1) + slowest * SLOWER + skew
}

fn said(of: &Measured) -> String {
    let mut parts = vec![format!(
        "{} ({})",
        of.connections.join(", "),
        output::count(of.refreshes, "refresh")
    )];
    if let (Some(usual), Some(slowest)) = (quantile(&of.latencies, 0.5), of.latencies.last()) {
        parts.push(format!(
            "an exchange takes {usual} ms, at most {slowest} ms"
        ));
    }
    if let Some(skew) = of.skew {
        parts.push(format!("its clock is at most {} s off", skew.abs()));
    }
    if let Some(lifetime) = of.lifetime {
        parts.push(format!("tokens live {}", span(lifetime.as_secs())));
    }
    parts.join("; ")
}

/// What follows from the measurements, each with its reason.
fn advice(of: &Measured, longest_run: Option<Duration>) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(of_clock(of));
    if let Some(lifetime) = of.lifetime {
        all.push(of_margin(lifetime, margin(of)));
        all.extend(longest_run.and_then(|run| of_runs(lifetime, run)));
    }
    if of.refreshes >= FEW && of.early_401s * 20 > of.refreshes {
        all.push(format!(
            "{} of {} refreshes were forced by a 401: its tokens die before their time. Ask the provider why, or set \
             default_lifetime if it does not tell one",
            of.early_401s, of.refreshes
        ));
    }
    if of.uncertain > 0 && !of.replay_known {
        all.push(format!(
            "{} lost, and what it does with a refresh token that comes twice is not known: find out, and \
             set replay for it (docs/configuration.md)",
            output::count(of.uncertain, "answer")
        ));
    }
    if of.refused > 1 {
        all.push(format!(
            "{} sign-ins ended in 30 days: authkeeper why NAME says how; look for a second program that uses the same \
             grant, or an idle limit",
            of.refused
        ));
    }
    all
}

/// A clock that jumped: a machine that was suspended or restored, a virtual machine without NTP, a person who set it.
fn of_clock(of: &Measured) -> Option<String> {
    let farthest = of.skew.filter(|skew| skew.unsigned_abs() > CLOCKS_AGREE)?;
    let apart = span(farthest.unsigned_abs());
    let now = of
        .last_skew
        .map_or(farthest, |(_, skew)| skew)
        .unsigned_abs();
    let since = if now > CLOCKS_AGREE {
        format!("its clock and this machine's are {apart} apart")
    } else {
        format!("its clock and this machine's were {apart} apart, and agree now")
    };
    Some(format!(
        "{since}: keep this machine's clock right by NTP (timedatectl set-ntp true); doctor shows whether the clocks of \
         several providers are off alike"
    ))
}

fn of_margin(lifetime: Duration, needed: Duration) -> String {
    let left = lifetime.saturating_sub(due_after(lifetime, 0.0));
    if needed <= left {
        return format!(
            "leave the margin as it is: a refresh begins {} before the end, and {} is enough for what was seen",
            span(left.as_secs()),
            span(needed.as_secs().max(1))
        );
    }
    format!(
        "its tokens are too short for how slow it is: a refresh begins {} before the end, and {} is needed. Ask the \
         provider for tokens of at least {}",
        span(left.as_secs()),
        span(needed.as_secs()),
        span(needed.as_secs() * 4)
    )
}

fn of_runs(lifetime: Duration, run: Duration) -> Option<String> {
    let swaps = run.as_secs() / due_after(lifetime, 0.0).as_secs().max(1);
    (swaps > 0).then(|| {
        format!(
            "the longest run took {}, which is {} of its tokens: use run or mcp, not a token taken at the start",
            span(run.as_secs()),
            swaps + 1
        )
    })
}

fn json_of(issuer: &str, of: &Measured, longest_run: Option<Duration>) -> Value {
    json!({
        "issuer": issuer,
        "connections": of.connections,
        "refreshes": of.refreshes,
        "latency_ms": {
            "p50": quantile(&of.latencies, 0.5), "p95": quantile(&of.latencies, 0.95), "max": of.latencies.last(),
        },
        "skew_seconds": of.skew,
        "last_skew_seconds": of.last_skew.map(|(_, skew)| skew),
        "lifetime_seconds": of.lifetime.map(|life| life.as_secs()),
        "early_401s": of.early_401s,
        "uncertain": of.uncertain,
        "refused": of.refused,
        "margin_seconds": margin(of).as_secs(),
        "advice": advice(of, longest_run),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        Measured {
            connections: vec!["notion".to_owned()],
            lifetime: Some(Duration::from_hours(1)),
            refreshes: 20,
            latencies: vec![80, 100, 120, 2_000],
            skew: Some(-3),
            replay_known: true,
            ..Measured::default()
        }
    }

    fn all(of: &Measured, run: Option<u64>) -> String {
        advice(of, run.map(Duration::from_secs)).join("\n")
    }

    #[test]
    fn the_margin_covers_the_slowest_exchange_and_the_farthest_clock() {
        let of = measured();
        assert_eq!(margin(&of), Duration::from_secs(1 + 6 + 3));
        assert!(all(&of, None).starts_with("leave the margin as it is"));
        let short = Measured {
            lifetime: Some(Duration::from_secs(20)),
            ..of
        };
        assert!(
            all(&short, None).contains("at least 40 s"),
            "{}",
            all(&short, None)
        );
    }

    #[test]
    fn a_clock_that_jumped_is_a_matter_of_ntp_and_not_of_the_tokens() {
        let day = Timestamp::UNIX_EPOCH;
        let jumped = |last: i64| Measured {
            skew: Some(-3_600),
            last_skew: Some((day, last)),
            ..measured()
        };
        for (last, words) in [
            (-3_600, "are 60 min apart"),
            (1, "were 60 min apart, and agree now"),
        ] {
            let said = all(&jumped(last), None);
            assert!(said.contains(words) && said.contains("NTP"), "{said}");
            assert!(!said.contains("Ask the provider for tokens"), "{said}");
        }
        assert!(
            !all(&measured(), None).contains("NTP"),
            "three seconds are no jump"
        );
    }

    #[test]
    fn the_last_measurement_of_the_clock_is_kept_beside_the_farthest() {
        let mut of = Measured::default();
        for (second, skew) in [(2, 2), (1, -900)] {
            let ts = Timestamp::from_second(second).unwrap();
            let line = json!({"ts": ts, "connection": "x", "lineage": 1, "generation": 1, "decision": "refresh",
                "skew_s": skew});
            count(&mut of, &serde_json::from_value(line).unwrap());
        }
        assert_eq!(of.skew, Some(-900));
        assert_eq!(of.last_skew.map(|(_, skew)| skew), Some(2));
    }

    #[test]
    fn each_problem_is_named_with_its_count_and_nothing_is_made_up() {
        let mut of = measured();
        assert_eq!(all(&of, Some(60)).lines().count(), 1);
        assert!(all(&of, Some(7_200)).contains("is 3 of its tokens"));
        of.early_401s = 2;
        assert!(all(&of, None).contains("2 of 20 refreshes"));
        of.refreshes = 5;
        assert!(!all(&of, None).contains("401"), "too few to tell");
        of.uncertain = 1;
        assert!(!all(&of, None).contains("replay"), "it is known");
        of.replay_known = false;
        assert!(all(&of, None).contains("set replay"));
        assert!(advice(&Measured::default(), None).is_empty());
    }

    #[test]
    fn quantiles_of_few_and_of_none() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7], 0.95), Some(7));
        assert_eq!(quantile(&[1, 2, 3, 4, 5], 0.5), Some(3));
    }
}
