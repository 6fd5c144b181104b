//! Checks of a provider: reachability, clock, and metadata changed since the sign-in.

use std::{collections::BTreeMap, time::Duration};

use authkeeper::{
    model::{Connection, ConnectionState, ServerMetadata},
    oauth::discovery::DiscoveryError,
    refresh::decision_log::PastDecision,
    runtime::{Runtime, inspect::Inspection},
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{facts::ConnectionFacts, finding::Finding};
use crate::exit::Exit;

/// A provider that takes longer counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(8);

/// A clock may be this much off before it is worth a word; a token's last second is never trusted anyway.
const SKEW_NOTED: u64 = 5;
const SKEW_WARNED: u64 = 60;

/// The answer to a metadata request.
#[derive(Debug)]
pub(super) enum MetadataAnswer {
    Came {
        metadata: Box<ServerMetadata>,
        skew_s: Option<i64>,
    },
    /// It publishes none at the usual places.
    None,
    /// No answer.
    Unreachable(String),
    /// An answer that is not its metadata.
    Wrong(String),
}

/// One provider, and the connections that depend on it.
#[derive(Debug)]
pub(super) struct CheckedProvider {
    pub(super) issuer: String,
    pub(super) names: Vec<String>,
    /// Those whose next call needs it: their tokens have ended.
    pub(super) waiting: Vec<String>,
    pub(super) stored: Option<ServerMetadata>,
    pub(super) answer: MetadataAnswer,
    /// Its clock's offset at the last refresh, in seconds.
    pub(super) logged_skew_s: Option<i64>,
}

/// Asks every provider once, all at the same time.
pub(super) async fn ask(
    runtime: &Runtime,
    inspections: &[Inspection],
    log: &[PastDecision],
) -> Vec<CheckedProvider> {
    let mut providers: BTreeMap<String, CheckedProvider> = BTreeMap::new();
    let mut asked = JoinSet::new();
    for one in inspections.iter().filter(|one| may_publish(one)) {
        let connection = &one.status.connection;
        let issuer = connection.issuer.as_str().to_owned();
        let provider = providers.entry(issuer.clone()).or_insert_with(|| {
            asked.spawn(answer(runtime.clone(), connection.clone()));
            CheckedProvider::of(issuer, one.metadata.clone())
        });
        provider.serve(one);
    }
    while let Some(done) = asked.join_next().await {
        if let Ok((issuer, answer)) = done
            && let Some(provider) = providers.get_mut(&issuer)
        {
            provider.answer = answer;
        }
    }
    let mut providers: Vec<CheckedProvider> = providers.into_values().collect();
    for provider in &mut providers {
        let connections = inspections.iter().map(|one| &one.status.connection);
        let own = connections.filter(|one| one.issuer.as_str() == provider.issuer);
        provider.logged_skew_s = last_skew(log, &own.collect::<Vec<_>>());
    }
    providers
}

/// One that the catalogue knows to publish nothing is not asked.
fn may_publish(one: &Inspection) -> bool {
    let entry = ConnectionFacts::from(one).entry;
    one.metadata.is_some() && entry.is_none_or(|entry| entry.endpoints.discovery.is_some())
}

async fn answer(runtime: Runtime, connection: Connection) -> (String, MetadataAnswer) {
    let fetched = runtime.refetch_metadata(&connection);
    let answer = match tokio::time::timeout(PATIENCE, fetched).await {
        Err(_elapsed) => {
            MetadataAnswer::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))
        }
        Ok(Ok(came)) => MetadataAnswer::Came {
            metadata: Box::new(came.metadata),
            skew_s: came.skew_s,
        },
        Ok(Err(error)) => refused(error),
    };
    (connection.issuer.as_str().to_owned(), answer)
}

fn last_skew(log: &[PastDecision], connections: &[&Connection]) -> Option<i64> {
    let own = |line: &&PastDecision| connections.iter().any(|one| line.is_of(one));
    log.iter().rev().filter(own).find_map(|line| line.skew_s)
}

impl CheckedProvider {
    fn of(issuer: String, stored: Option<ServerMetadata>) -> Self {
        Self {
            issuer,
            names: vec![],
            waiting: vec![],
            stored,
            answer: MetadataAnswer::None,
            logged_skew_s: None,
        }
    }

    fn serve(&mut self, one: &Inspection) {
        let (status, name) = (&one.status, one.status.connection.name.to_string());
        let active = status.state == ConnectionState::Active;
        if active && status.left.is_zero() && status.refreshable {
            self.waiting.push(name.clone());
        }
        self.names.push(name);
    }
}

fn refused(error: DiscoveryError) -> MetadataAnswer {
    match error {
        DiscoveryError::Wire(error) => MetadataAnswer::Unreachable(error.to_string()),
        DiscoveryError::Unavailable { .. } | DiscoveryError::PublishedUnreachable { .. } => {
            MetadataAnswer::Unreachable(error.to_string())
        }
        DiscoveryError::NoMetadata { .. } => MetadataAnswer::None,
        other => MetadataAnswer::Wrong(other.to_string()),
    }
}

pub(super) fn findings(provider: &CheckedProvider) -> Vec<Finding> {
    let mut findings = Vec::new();
    let issuer = &provider.issuer;
    let skew = match &provider.answer {
        MetadataAnswer::Came { metadata, skew_s } => {
            findings.push(Finding::ok("reach", format!("{issuer} answers")));
            findings.extend(changes(provider, metadata));
            skew_s.or(provider.logged_skew_s)
        }
        MetadataAnswer::None => {
            let what = format!("{issuer} publishes no metadata to compare with");
            findings.push(Finding::note("metadata", what));
            provider.logged_skew_s
        }
        MetadataAnswer::Unreachable(why) => {
            findings.push(unreachable(provider, why));
            provider.logged_skew_s
        }
        MetadataAnswer::Wrong(why) => {
            let fix = format!(
                "what was known of {issuer} goes on serving; if it moved, connect again with its new address"
            );
            findings.push(Finding::warning("metadata", why.clone(), fix));
            provider.logged_skew_s
        }
    };
    findings.extend(skew.map(|skew| clock(issuer, skew)));
    findings
}

/// One finding, however many connections wait for it.
fn unreachable(provider: &CheckedProvider, why: &str) -> Finding {
    let what = format!("{} does not answer: {why}", provider.issuer);
    let fix = "check the network, then the provider's status page; living tokens serve on, the grants are safe";
    match &provider.waiting[..] {
        [] => Finding::warning("reach", what, fix),
        [one] => Finding::error("reach", Exit::Unavailable, what, fix).of(one),
        several => {
            let what = format!("{what} (for {})", several.join(", "));
            Finding::error("reach", Exit::Unavailable, what, fix)
        }
    }
}

fn clock(issuer: &str, skew: i64) -> Finding {
    let off = skew.unsigned_abs();
    let side = if skew > 0 { "ahead of" } else { "behind" };
    let what = format!("the clock of {issuer} is {off} s {side} this machine's");
    let fix = "set this machine's clock by NTP (timedatectl); signed assertions and expiry times depend on it";
    match off {
        0..=SKEW_NOTED => Finding::ok(
            "clock",
            format!("the clock of {issuer} agrees with this machine's"),
        ),
        _ if off <= SKEW_WARNED => Finding::note("clock", what).with_fix(fix),
        _ => Finding::warning("clock", what, fix),
    }
}

/// What it says of itself now and did not say at the sign-in, field by field.
fn changes(provider: &CheckedProvider, found: &ServerMetadata) -> Vec<Finding> {
    let Some(stored) = &provider.stored else {
        return vec![];
    };
    let changed = diff(stored, found);
    if changed.is_empty() {
        let what = format!(
            "{} says of itself what it said at the sign-in",
            provider.issuer
        );
        return vec![Finding::ok("metadata", what)];
    }
    let finding = |(field, was, is): (String, String, String)| {
        let what = format!(
            "{}: {field} was {was} at the sign-in and is {is}",
            provider.issuer
        );
        if ["issuer", "token_endpoint"].contains(&field.as_str()) {
            let fix = provider
                .names
                .iter()
                .map(|name| format!("authkeeper reauthorize {name}"));
            let fix = fix.collect::<Vec<_>>().join(", ");
            let fix = format!(
                "the old one serves until it is switched off; if the change is announced: {fix}"
            );
            return Finding::warning("metadata", what, fix);
        }
        Finding::note("metadata", what)
    };
    changed.into_iter().map(finding).collect()
}

fn diff(was: &ServerMetadata, is: &ServerMetadata) -> Vec<(String, String, String)> {
    let object = |metadata: &ServerMetadata| match serde_json::to_value(metadata) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (was, is) = (object(was), object(is));
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    // What the catalogue adds is no server's word.
    names.retain(|name| *name != "quirks");
    let differing = names
        .into_iter()
        .filter(|name| sorted(was.get(*name)) != sorted(is.get(*name)));
    differing
        .map(|name| (name.clone(), shown(was.get(name)), shown(is.get(name))))
        .collect()
}

/// The order of a list says nothing.
fn sorted(value: Option<&Value>) -> Option<Value> {
    let mut value = value?.clone();
    if let Value::Array(all) = &mut value {
        all.sort_by_key(Value::to_string);
    }
    Some(value)
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) if all.is_empty() => "empty".to_owned(),
        Some(Value::Array(all)) => {
            let words = all.iter().map(|one| one.as_str().unwrap_or_default());
            words.collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Severity;

    fn metadata() -> ServerMetadata {
        ServerMetadata {
            issuer: "https://as.example".to_owned(),
            token_endpoint: Some("https://as.example/token".to_owned()),
            scopes_supported: vec!["a".to_owned(), "b".to_owned()],
            ..ServerMetadata::default()
        }
    }

    fn provider(answer: MetadataAnswer) -> CheckedProvider {
        CheckedProvider {
            names: vec!["notion".to_owned()],
            answer,
            ..CheckedProvider::of("https://as.example".to_owned(), Some(metadata()))
        }
    }

    fn came(metadata: ServerMetadata, skew_s: Option<i64>) -> CheckedProvider {
        provider(MetadataAnswer::Came {
            metadata: Box::new(metadata),
            skew_s,
        })
    }

    fn severities(provider: &CheckedProvider) -> Vec<(&'static str, Severity)> {
        let all = findings(provider);
        all.iter()
            .map(|finding| (finding.check, finding.severity))
            .collect()
    }

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        for (skew, severity) in [
            (0, Severity::Ok),
            (-5, Severity::Ok),
            (6, Severity::Note),
            (-60, Severity::Note),
            (61, Severity::Warning),
        ] {
            assert_eq!(clock("i", skew).severity, severity, "{skew}");
        }
        assert!(clock("i", -61).what.contains("61 s behind"));
    }

    #[test]
    fn what_changed_is_told_field_by_field() {
        let mut moved = metadata();
        moved.scopes_supported = vec!["b".to_owned(), "a".to_owned()];
        assert_eq!(
            severities(&came(moved.clone(), None))[1],
            ("metadata", Severity::Ok)
        );
        moved.token_endpoint = Some("https://new.example/token".to_owned());
        moved.revocation_endpoint = Some("https://new.example/revoke".to_owned());
        moved.scopes_supported.clear();
        let found = findings(&came(moved, None));
        let said: Vec<_> = found
            .iter()
            .map(|f| (f.severity, f.what.as_str()))
            .collect();
        assert_eq!(
            said[1..],
            [
                (
                    Severity::Note,
                    "https://as.example: revocation_endpoint was missing at the sign-in and is https://new.example/revoke"
                ),
                (
                    Severity::Note,
                    "https://as.example: scopes_supported was a b at the sign-in and is empty"
                ),
                (
                    Severity::Warning,
                    "https://as.example: token_endpoint was https://as.example/token at the sign-in and is \
                     https://new.example/token"
                ),
            ]
        );
    }

    #[test]
    fn one_that_does_not_answer_is_an_error_only_to_whom_it_keeps_waiting() {
        let away = || MetadataAnswer::Unreachable("timeout".to_owned());
        assert_eq!(
            severities(&provider(away())),
            [("reach", Severity::Warning)]
        );
        let mut needed = provider(away());
        needed.waiting = vec!["notion".to_owned()];
        let found = findings(&needed);
        assert_eq!(found[0].exit, Some(Exit::Unavailable));
        assert_eq!(found[0].connection.as_deref(), Some("notion"));
        needed.waiting.push("api".to_owned());
        let found = findings(&needed);
        assert_eq!(severities(&needed), [("reach", Severity::Error)]);
        assert!(
            found[0].what.ends_with("(for notion, api)"),
            "{}",
            found[0].what
        );
    }

    #[test]
    fn without_an_answer_the_log_tells_the_clock() {
        let mut silent = provider(MetadataAnswer::None);
        silent.logged_skew_s = Some(90);
        assert_eq!(
            severities(&silent),
            [("metadata", Severity::Note), ("clock", Severity::Warning)]
        );
        let mut wrong = provider(MetadataAnswer::Wrong("no metadata".to_owned()));
        wrong.logged_skew_s = None;
        assert_eq!(severities(&wrong), [("metadata", Severity::Warning)]);
        let mut came = came(metadata(), Some(0));
        came.logged_skew_s = Some(90);
        assert_eq!(
            severities(&came)[2],
            ("clock", Severity::Ok),
            "today's word counts"
        );
    }
}
