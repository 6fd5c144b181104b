//! What can be said of each connection without asking anybody: its state, its scopes, how soon a revocation would be
//! noticed.

use std::collections::BTreeSet;

use authkeeper::model::{
    ConnectionState, GrantType, HealthCause, ReauthorizeReason, SuspendReason, restoring_command,
};
use jiff::Timestamp;

use super::{facts::ConnectionFacts, finding::Finding, limits};
use crate::{
    commands::{
        client_certificate::{self, Standing},
        connect::ask_for_refresh,
        health::{next_step, what_of},
    },
    exit::Exit,
    output::span,
};

/// Everything about one connection.
pub(super) fn findings(facts: &ConnectionFacts, now: Timestamp) -> Vec<Finding> {
    let mut findings = state(facts);
    // Of one that is over, nothing else matters until somebody has signed in again.
    let over = |finding: &Finding| finding.exit == Some(Exit::Person);
    if !findings.iter().any(over) {
        findings.extend(scopes(facts));
        findings.extend(limits::findings(facts, now));
        findings.push(detection(facts));
    }
    findings.extend(certificate(facts, now));
    let named = findings.into_iter().map(|finding| finding.of(&facts.name));
    named.collect()
}

fn state(facts: &ConnectionFacts) -> Vec<Finding> {
    let name = &facts.name;
    let again = restoring_command(name, facts.grant_type);
    let told = |reason: ReauthorizeReason| {
        let mut told = facts.incidents.iter();
        told.find(|(why, _, _)| why == reason.as_str())
    };
    let error = |what: String, fix: String| Finding::error("state", Exit::Person, what, fix);
    let found = match &facts.state {
        ConnectionState::ReauthorizationRequired { reason, since } => {
            // What is kept quotes the provider.
            let (why, fix) = match told(*reason) {
                Some((_, detail, action)) => (detail.as_str(), action.clone()),
                None => (reason.sentence(), again),
            };
            error(format!("{why} (since {since})"), fix)
        }
        ConnectionState::Suspended { reason, since } => {
            let fix = match reason {
                SuspendReason::SecondCopy => format!(
                    "once the other copy is retired: authkeeper import {name} --other-copy-retired"
                ),
                SuspendReason::Manual => "the person who suspended it can restore it".to_owned(),
                SuspendReason::OtherAccount | SuspendReason::TokenType => again,
            };
            error(format!("{} (since {since})", reason.sentence()), fix)
        }
        ConnectionState::Revoked => error(
            HealthCause::Revoked.sentence().to_owned(),
            format!("authkeeper disconnect {name}"),
        ),
        ConnectionState::Pending => error("its first sign-in is not done".to_owned(), again),
        ConnectionState::Active if facts.uncertain => {
            let what = "an answer of the provider was lost, and whether it acted is not known";
            let fix =
                format!("it is asked again as its rule allows; authkeeper why {name} says more");
            Finding::error("state", Exit::Unavailable, what, fix)
        }
        ConnectionState::Active if facts.left.is_zero() && !facts.refreshable => error(
            "its token has ended and nothing refreshes it".to_owned(),
            again,
        ),
        ConnectionState::Active => match Exit::of_health(&facts.health) {
            Some(exit) => failing(facts, exit),
            None => return good(facts),
        },
    };
    vec![found]
}

/// An active one over which calls fail, or will once its token has ended.
fn failing(facts: &ConnectionFacts, exit: Exit) -> Finding {
    let (what, fix) = (
        what_of(&facts.health),
        next_step(&facts.name, &facts.health),
    );
    Finding::error("state", exit, what, fix)
}

/// A usable one; it may have incidents all the same.
fn good(facts: &ConnectionFacts) -> Vec<Finding> {
    let rotation = |reason: &str| reason == "rotate_by";
    let incidents = facts
        .incidents
        .iter()
        .filter(|(reason, ..)| !rotation(reason));
    let mut findings: Vec<Finding> = incidents
        .map(|(_, detail, action)| Finding::warning("state", detail, action))
        .collect();
    if findings.is_empty() {
        let left = match (facts.grant_type, facts.left.as_secs()) {
            (Some(GrantType::ApiKey), _) => "active; its key does not end by itself".to_owned(),
            (_, 0) => "active; its token has ended and the next call refreshes it".to_owned(),
            (_, left) => format!("active; its token is good for {}", span(left)),
        };
        findings.push(Finding::ok("state", left));
    }
    if !facts.refreshable && facts.grant_type != Some(GrantType::ApiKey) {
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

/// Rule 10: no source says that authority ended, so it is noticed where the provider is next asked.
fn detection(facts: &ConnectionFacts) -> Finding {
    let what = match (facts.grant_type, facts.refreshable, facts.due_after) {
        (Some(GrantType::ApiKey), ..) => {
            "a revoked key is noticed at the next call only: nothing else asks about it".to_owned()
        }
        (_, true, Some(due)) => format!(
            "a revocation is noticed at the next refresh: up to {} late while something keeps it fresh, else at its next \
             use",
            span(due.as_secs())
        ),
        _ => "a revocation is noticed at the next call".to_owned(),
    };
    Finding::note("detection", what)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use authkeeper::model::{Health, HealthState, WhoseMove};

    use super::*;
    use crate::commands::doctor::finding::Severity;

    pub(in crate::commands::doctor) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    pub(in crate::commands::doctor) fn facts() -> ConnectionFacts {
        ConnectionFacts {
            name: "notion".to_owned(),
            state: ConnectionState::Active,
            health: Health::OK,
            uncertain: false,
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
        assert_eq!(worst.connection.as_deref(), Some("notion"));
    }

    #[test]
    fn what_needs_a_person_is_an_error_with_its_fix() {
        let since = at(0);
        let reason = ReauthorizeReason::RefreshRefused;
        let required = ConnectionState::ReauthorizationRequired { reason, since };
        let reason = SuspendReason::SecondCopy;
        let suspended = ConnectionState::Suspended { reason, since };
        let mut key = facts();
        (key.grant_type, key.state) = (Some(GrantType::ApiKey), required.clone());
        let mut ended = facts();
        (ended.left, ended.refreshable) = (Duration::ZERO, false);
        let in_state = |state| ConnectionFacts { state, ..facts() };
        for (facts, fix) in [
            (in_state(required), "authkeeper reauthorize notion"),
            (in_state(suspended), "--other-copy-retired"),
            (
                in_state(ConnectionState::Revoked),
                "authkeeper disconnect notion",
            ),
            (
                in_state(ConnectionState::Pending),
                "authkeeper reauthorize notion",
            ),
            (key, "authkeeper rotate notion"),
            (ended, "authkeeper reauthorize notion"),
        ] {
            let found = findings(&facts, at(10));
            assert_eq!(
                (found.len(), found[0].exit),
                (1, Some(Exit::Person)),
                "{found:?}"
            );
            assert!(found[0].fix.as_ref().unwrap().contains(fix), "{found:?}");
        }
    }

    #[test]
    fn a_lost_answer_passes_by_itself_or_ends_in_a_refusal() {
        let mut facts = facts();
        facts.uncertain = true;
        let found = worst(&facts);
        assert_eq!(found.exit, Some(Exit::Unavailable));
        assert!(found.fix.unwrap().contains("authkeeper why notion"));
        // What ends soon ends meanwhile, too.
        facts.rotate_by = Some(at(0));
        let checks = findings(&facts, at(10)).into_iter();
        let checks: Vec<_> = checks.map(|finding| finding.check).collect();
        assert_eq!(checks, ["state", "limits", "detection"]);
    }

    #[test]
    fn a_refused_client_is_a_matter_of_configuration_though_its_token_lives() {
        let mut facts = facts();
        let (detail, action) = ("as refuses our client", "check client c at the provider");
        facts.health = Health {
            state: HealthState::AtRisk,
            cause: Some(HealthCause::ClientRefused),
            detail: Some(detail.to_owned()),
            action: Some(action.to_owned()),
            whose_move: WhoseMove::Operator,
            ..Health::OK
        };
        let found = worst(&facts);
        assert_eq!(
            (found.exit, found.what.as_str(), found.fix.as_deref()),
            (Some(Exit::Config), detail, Some(action))
        );
        let checks = findings(&facts, at(10)).into_iter();
        let checks: Vec<_> = checks.map(|finding| finding.check).collect();
        assert_eq!(
            checks,
            ["state", "detection"],
            "what else there is is told too"
        );
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
        assert!(detection(&facts).what.contains("next call only"));
        (facts.grant_type, facts.refreshable) = (None, false);
        assert!(detection(&facts).what.ends_with("next call"));
    }
}
