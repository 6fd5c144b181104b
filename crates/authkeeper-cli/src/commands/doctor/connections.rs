//! What can be said of each connection without asking anybody: its state, its scopes, how soon a revocation would be
//! noticed.

use std::collections::BTreeSet;

use authkeeper::model::{GrantType, Health, HealthCause, HealthState};
use jiff::Timestamp;

use super::{
    facts::{ConnectionFacts, Validated},
    finding::Finding,
    limits,
};
use crate::{
    commands::{
        client_certificate::{self, Standing},
        connect::ask_for_refresh,
        health::{effect_of, next_step},
    },
    exit::Exit,
    output::{self, span},
};

/// Everything about one connection.
pub(super) fn findings(facts: &ConnectionFacts, now: Timestamp) -> Vec<Finding> {
    let mut findings = state(facts);
    if !is_over(&facts.health) {
        findings.extend(scopes(facts));
        findings.extend(limits::findings(facts, now));
        findings.push(detection(facts));
    }
    findings.extend(certificate(facts, now));
    let named = findings.into_iter().map(|finding| finding.of(&facts.name));
    named.collect()
}

/// What its health says. One that needs nobody may have incidents all the same.
fn state(facts: &ConnectionFacts) -> Vec<Finding> {
    let health = &facts.health;
    let what = health.detail.as_deref().unwrap_or(health.state.as_str());
    let fix = next_step(&facts.name, health);
    let finding = match Exit::of_health(health) {
        Some(exit) => Finding::error("state", exit, what, fix),
        None if health.state == HealthState::AtRisk => Finding::warning("state", what, fix),
        None => return good(facts),
    };
    vec![finding.since(health.since).with_effect(effect_of(health))]
}

/// Whether it has no grant that could be used: then nothing else matters until somebody has signed in again.
fn is_over(health: &Health) -> bool {
    let over = matches!(
        health.cause,
        Some(
            HealthCause::Pending
                | HealthCause::Revoked
                | HealthCause::Suspended(_)
                | HealthCause::GrantOver(_)
        )
    );
    over && health.needs_attention()
}

/// A usable one; it may have incidents all the same.
fn good(facts: &ConnectionFacts) -> Vec<Finding> {
    let is_key = facts.grant_type.is_some_and(GrantType::is_key);
    let rotation = |reason: &str| reason == "rotate_by";
    let incidents = facts
        .incidents
        .iter()
        .filter(|(reason, ..)| !rotation(reason));
    let mut findings: Vec<Finding> = incidents
        .map(|(_, detail, action)| Finding::warning("state", detail, action))
        .collect();
    if findings.is_empty() {
        let left = match (is_key, facts.left.as_secs()) {
            (true, _) => "active; its key does not end by itself".to_owned(),
            (_, 0) => "active; its token has ended and the next call refreshes it".to_owned(),
            (_, left) => format!("active; its token is good for {}", span(left)),
        };
        findings.push(Finding::ok("state", left));
    }
    if !facts.refreshable && !is_key {
        let what = format!(
            "the provider gave no refresh token: in {} a person must sign in again",
            span(facts.left.as_secs())
        );
        let fix = ask_for_refresh(&facts.name, facts.refresh_scope.as_deref());
        findings.push(Finding::warning("state", what, fix));
    }
    findings
}

/// Providers part scopes by spaces, some by commas.
fn words(scope: &str) -> BTreeSet<&str> {
    let words = scope.split([' ', ',']);
    words.filter(|word| !word.is_empty()).collect()
}

fn scopes(facts: &ConnectionFacts) -> Vec<Finding> {
    let (Some(asked), Some(granted)) = (&facts.asked, &facts.granted) else {
        return vec![];
    };
    let (asked, granted) = (words(asked), words(granted));
    let list = |some: Vec<&&str>| {
        let words: Vec<&str> = some.into_iter().copied().collect();
        words.join(" ")
    };
    // Asked for to get a refresh token; hardly any provider lists it among what it granted.
    let missing = asked
        .difference(&granted)
        .filter(|scope| **scope != "offline_access");
    let (missing, more) = (
        list(missing.collect()),
        list(granted.difference(&asked).collect()),
    );
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let what = format!("granted less than was asked for: without {missing}");
        let fix = format!(
            "calls that need it get 403; if it is needed, allow it at the provider and authkeeper reauthorize {}",
            facts.name
        );
        findings.push(Finding::warning("scope", what, fix));
    }
    if !more.is_empty() {
        findings.push(Finding::note(
            "scope",
            format!("granted more than was asked for: {more}"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("scope", "granted what was asked for"));
    }
    findings
}

/// The client certificate that its servers are shown.
fn certificate(facts: &ConnectionFacts, now: Timestamp) -> Option<Finding> {
    const CHECK: &str = "certificate";
    let certificate = facts.certificate.as_ref()?;
    let fix = || client_certificate::fix(certificate);
    Some(match Standing::of(certificate, now) {
        Standing::Good(what) => Finding::ok(CHECK, what),
        Standing::Soon(what) => Finding::warning(CHECK, what, fix()),
        Standing::Bad(what) => Finding::error(CHECK, Exit::Config, what, fix()),
    })
}

/// Rule 10: no source says that authority ended, so it is noticed where the server or the provider is next asked.
fn detection(facts: &ConnectionFacts) -> Finding {
    let is_key = facts.grant_type.is_some_and(GrantType::is_key);
    let asked = match facts.due_after {
        Some(due) if facts.refreshable && !is_key => format!(
            "at the next refresh: up to {} late while something keeps it fresh, else at its next use",
            span(due.as_secs())
        ),
        _ => "at the next call".to_owned(),
    };
    let what = match facts.validated {
        Validated::Every(call, every) => format!(
            "validated every {} while serve, run or mcp is up ({} each time): a revocation that its server knows of is \
             noticed then, else {asked}",
            span(every.as_secs()),
            output::count(call.requests() as usize, "request"),
        ),
        Validated::SwitchedOff => {
            format!("not validated (validate.every is 0): a revocation is noticed {asked}")
        }
        Validated::Unproven => format!(
            "not validated, since no call over it has worked yet (authkeeper check {} makes one): a revocation is \
             noticed {asked}",
            facts.name
        ),
    };
    Finding::note("detection", what)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use authkeeper::model::{ProvenCall, ReauthorizeReason, SuspendReason};

    use super::*;
    use crate::commands::doctor::finding::Severity;

    pub(in crate::commands::doctor) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    pub(in crate::commands::doctor) fn facts() -> ConnectionFacts {
        ConnectionFacts {
            name: "notion".to_owned(),
            health: Health::OK,
            left: Duration::from_mins(30),
            refreshable: true,
            grant_type: Some(GrantType::AuthorizationCode),
            asked: None,
            granted: None,
            signed_in_at: at(0),
            issued_at: Some(at(0)),
            due_after: Some(Duration::from_mins(45)),
            refresh_expires_at: None,
            rotate_by: None,
            secrets: vec![],
            entry: None,
            token_endpoint: None,
            refresh_scope: None,
            certificate: None,
            validated: Validated::Unproven,
            incidents: vec![],
        }
    }

    fn worst(facts: &ConnectionFacts) -> Finding {
        let all = findings(facts, at(10));
        all.into_iter()
            .max_by_key(|finding| finding.severity)
            .unwrap()
    }

    #[test]
    fn a_healthy_one_has_nothing_worse_than_a_note() {
        let worst = worst(&facts());
        assert_eq!(worst.severity, Severity::Note);
        assert_eq!(worst.check, "detection");
        assert!(worst.what.contains("up to 45 min late"), "{worst:?}");
        assert!(worst.what.contains("authkeeper check notion"), "{worst:?}");
        assert_eq!(worst.connection.as_deref(), Some("notion"));
    }

    /// The health for one cause, while the token lives or not.
    fn health(cause: HealthCause, has_token: bool) -> Health {
        Health {
            state: cause.state(has_token),
            cause: Some(cause),
            detail: Some("the provider said no".to_owned()),
            whose_move: cause.whose_move(),
            action: Some("authkeeper act".to_owned()),
            ..Health::OK
        }
    }

    fn checks(facts: &ConnectionFacts) -> Vec<&'static str> {
        let found = findings(facts, at(10)).into_iter();
        found.map(|finding| finding.check).collect()
    }

    #[test]
    fn what_needs_somebody_is_an_error_with_the_words_and_the_code_of_its_health() {
        use HealthCause::{ClientRefused, GrantOver, Pending, Suspended};
        let over = &["state"][..];
        let usable = &["state", "detection"][..];
        for (cause, has_token, exit, told) in [
            (Pending, false, Exit::NotFound, over),
            (
                Suspended(SuspendReason::SecondCopy),
                true,
                Exit::Person,
                over,
            ),
            (
                GrantOver(ReauthorizeReason::RefreshRefused),
                true,
                Exit::Person,
                over,
            ),
            (ClientRefused, true, Exit::Config, usable),
            (
                HealthCause::ProviderUnavailable,
                false,
                Exit::Unavailable,
                usable,
            ),
        ] {
            let mut facts = facts();
            facts.health = health(cause, has_token);
            let found = worst(&facts);
            assert_eq!(found.exit, Some(exit), "{cause:?}");
            assert_eq!(found.what, "the provider said no");
            assert_eq!(found.fix.as_deref(), Some("authkeeper act"));
            assert_eq!(checks(&facts), told, "{cause:?}");
        }
    }

    #[test]
    fn a_lost_answer_is_a_warning_while_the_token_lives_and_hides_nothing_else() {
        let mut facts = facts();
        facts.health = health(HealthCause::Uncertain, true);
        assert_eq!(worst(&facts).severity, Severity::Warning);
        facts.rotate_by = Some(at(0));
        assert_eq!(checks(&facts), ["state", "limits", "detection"]);
        (facts.health, facts.rotate_by) = (health(HealthCause::Uncertain, false), None);
        assert_eq!(worst(&facts).exit, Some(Exit::Unavailable));
    }

    #[test]
    fn a_token_that_nothing_refreshes_is_warned_of() {
        let mut facts = facts();
        facts.refreshable = false;
        let found = worst(&facts);
        assert_eq!(found.severity, Severity::Warning);
        let fix = found.fix.unwrap();
        assert!(!fix.contains("offline_access"), "{fix}");
        facts.refresh_scope = Some("offline_access".to_owned());
        let fix = worst(&facts).fix.unwrap();
        assert!(fix.contains("--scope '… offline_access'"), "{fix}");
    }

    #[test]
    fn scopes_that_drifted_are_told() {
        let found = |asked: &str, granted: &str| {
            let mut facts = facts();
            (facts.asked, facts.granted) = (Some(asked.to_owned()), Some(granted.to_owned()));
            let found = scopes(&facts).into_iter();
            found
                .map(|finding| (finding.severity, finding.what))
                .collect::<Vec<_>>()
        };
        assert_eq!(found("a b", "b,a")[0].0, Severity::Ok);
        assert_eq!(found("a offline_access", "a")[0].0, Severity::Ok);
        let narrower = found("a b c", "a");
        assert_eq!(
            narrower[0],
            (
                Severity::Warning,
                "granted less than was asked for: without b c".to_owned()
            )
        );
        assert_eq!(found("a", "a b")[0].0, Severity::Note);
        assert_eq!(found("a b", "a c").len(), 2);
    }

    #[test]
    fn how_late_a_revocation_is_noticed_depends_on_who_asks() {
        let mut facts = facts();
        facts.grant_type = Some(GrantType::ApiKey);
        assert!(detection(&facts).what.ends_with("at the next call"));
        (facts.grant_type, facts.refreshable) = (None, false);
        assert!(detection(&facts).what.ends_with("at the next call"));
        facts.validated = Validated::Every(ProvenCall::ListTools, Duration::from_mins(5));
        let what = detection(&facts).what;
        assert!(what.starts_with("validated every 5 min"), "{what}");
        assert!(what.contains("4 requests each time"), "{what}");
        facts.validated = Validated::of(None, Duration::ZERO);
        assert!(detection(&facts).what.contains("validate.every is 0"));
    }
}
