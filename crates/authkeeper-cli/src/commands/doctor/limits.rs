//! What ends on a day that is known: warned of two weeks ahead.

use std::time::Duration;

use authkeeper::{catalogue::Limit, model::GrantType};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{facts::ConnectionFacts, finding::Finding};
use crate::{
    exit::Exit,
    output::{minute, span},
};

/// So long ahead a person is told.
const AHEAD: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) fn findings(facts: &ConnectionFacts, now: Timestamp) -> Vec<Finding> {
    let own = [
        refresh_token(facts, now),
        rotation(facts, now),
        retired(facts, now),
    ];
    let mut findings: Vec<Finding> = own.into_iter().flatten().collect();
    findings.extend(secrets(facts, now));
    if was_given_by_a_person(facts) {
        findings.extend(absolute(facts, now));
        findings.extend(idle(facts, now));
        let others = facts.entry.map(|entry| entry.lifetimes.others.as_slice());
        let note =
            |other: &String| Finding::note("limits", format!("the provider's rule: {other}"));
        findings.extend(others.unwrap_or_default().iter().map(note));
    }
    findings
}

/// The catalogue's limits are those of such grants: keys and a client's own tokens have none of them.
fn was_given_by_a_person(facts: &ConnectionFacts) -> bool {
    facts.grant_type.is_some_and(GrantType::is_interactive)
}

/// What a limit means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    Far,
    Soon,
    Past,
}

fn near(ends: Timestamp, now: Timestamp) -> Near {
    match ends.duration_since(now) {
        left if left.is_negative() => Near::Past,
        left if left <= AHEAD => Near::Soon,
        _ => Near::Far,
    }
}

/// An end that each refresh puts off is no reason to wake anybody, as long as something refreshes.
fn refresh_token(facts: &ConnectionFacts, now: Timestamp) -> Option<Finding> {
    let ends = facts.refresh_expires_at?;
    let began = facts.issued_at.unwrap_or(facts.signed_in_at);
    let short = ends.duration_since(began) <= AHEAD;
    let again = format!("authkeeper reauthorize {}", facts.name);
    match near(ends, now) {
        Near::Far => None,
        Near::Past => {
            let what = format!("its refresh token ended at {}", minute(ends));
            Some(Finding::error("limits", Exit::Person, what, again))
        }
        Near::Soon if short => {
            let what = format!(
                "its refresh token ends at {}: it must be refreshed before that",
                minute(ends)
            );
            let fix = "a run, an mcp or a cron job that asks for a token keeps it alive";
            Some(Finding::note("limits", what).with_fix(fix))
        }
        Near::Soon => {
            let what = format!("its refresh token ends at {}", minute(ends));
            Some(Finding::warning(
                "limits",
                what,
                format!("before that: {again}"),
            ))
        }
    }
}

fn rotation(facts: &ConnectionFacts, now: Timestamp) -> Option<Finding> {
    let by = facts.rotate_by?;
    let fix = format!("authkeeper rotate {} --key-file NEW", facts.name);
    let what = format!("its API key should be replaced by {}", minute(by));
    match near(by, now) {
        Near::Far => None,
        Near::Soon => Some(Finding::warning("limits", what, fix)),
        Near::Past => Some(Finding::error("limits", Exit::Person, what, fix)),
    }
}

/// A token endpoint of an older catalogue that its vendor switches off. A sign-in takes the one of today.
fn retired(facts: &ConnectionFacts, now: Timestamp) -> Option<Finding> {
    let entry = facts.entry?;
    let in_use = facts.token_endpoint.as_ref()?;
    let mut all = entry.endpoints.retired.iter();
    let retired = all.find(|retired| retired.url == *in_use)?;
    let again = format!("authkeeper reauthorize {}", facts.name);
    let (title, ends) = (&entry.title, retired.ends);
    if now.to_zoned(TimeZone::UTC).date() >= ends {
        let what = format!("{title} has switched off its token endpoint {in_use} on {ends}");
        return Some(Finding::error("limits", Exit::Person, what, again));
    }
    let what = format!("{title} switches off its token endpoint {in_use} on {ends}");
    let fix = format!("before that, for the new one: {again}");
    Some(Finding::warning("limits", what, fix))
}

/// A grant that ends so long after the sign-in, however much it is used.
fn absolute(facts: &ConnectionFacts, now: Timestamp) -> Option<Finding> {
    let lifetime = limit(facts.entry?.lifetimes.refresh)?;
    let ends = facts.signed_in_at.saturating_add(lifetime).ok()?;
    let title = &facts.entry?.title;
    let what = format!(
        "{title} ends a grant {} after the sign-in: this one at {}",
        span(lifetime.as_secs()),
        minute(ends)
    );
    let fix = format!("authkeeper reauthorize {}", facts.name);
    match near(ends, now) {
        Near::Far => None,
        // Its rule may have changed, or be set otherwise for this account: the grant still works.
        Near::Soon | Near::Past => Some(Finding::warning("limits", what, fix)),
    }
}

/// A grant that ends when it is not used for so long.
fn idle(facts: &ConnectionFacts, now: Timestamp) -> Option<Finding> {
    let lifetime = limit(facts.entry?.lifetimes.refresh_idle)?;
    let used = facts.issued_at.unwrap_or(facts.signed_in_at);
    let ends = used.saturating_add(lifetime).ok()?;
    let near = near(ends, now);
    if near == Near::Far {
        return None;
    }
    let what = format!(
        "{} ends a grant that is not refreshed for {}: this one at {}",
        facts.entry?.title,
        span(lifetime.as_secs()),
        minute(ends)
    );
    let fix = format!(
        "authkeeper check {} refreshes it if that is due",
        facts.name
    );
    // Where the limit is a short one, it is always near.
    let usual =
        near == Near::Soon && SignedDuration::try_from(lifetime).is_ok_and(|whole| whole <= AHEAD);
    Some(if usual {
        Finding::note("limits", what).with_fix(fix)
    } else {
        Finding::warning("limits", what, fix)
    })
}

fn limit(limit: Limit) -> Option<Duration> {
    match limit {
        Limit::Of(lifetime) => Some(lifetime),
        _ => None,
    }
}

fn secrets(facts: &ConnectionFacts, now: Timestamp) -> Vec<Finding> {
    let rotate = format!("authkeeper rotate {} --client-secret-file FILE", facts.name);
    let is_dead = |secret: &authkeeper::runtime::inspect::SecretFacts| {
        secret.refused.is_some() || secret.expires_at.is_some_and(|ends| ends <= now)
    };
    let mut findings = Vec::new();
    let count = facts.secrets.len();
    let dead = facts
        .secrets
        .iter()
        .filter(|secret| is_dead(secret))
        .count();
    if count > 0 && dead == count {
        let what = "every secret of its client was refused or has ended";
        return vec![Finding::error("limits", Exit::Config, what, rotate)];
    }
    if dead > 0 {
        let what = format!(
            "{dead} of the {count} secrets of its client were refused or have ended; another serves"
        );
        findings.push(Finding::note("limits", what));
    }
    let living = facts.secrets.iter().filter(|secret| !is_dead(secret));
    let last = living.filter_map(|secret| secret.expires_at).max();
    let endless = facts
        .secrets
        .iter()
        .any(|secret| !is_dead(secret) && secret.expires_at.is_none());
    if let Some(ends) = last.filter(|ends| !endless && near(*ends, now) == Near::Soon) {
        let what = format!("its client's secret ends at {}", minute(ends));
        findings.push(Finding::warning("limits", what, rotate));
    }
    findings
}

#[cfg(test)]
mod tests {
    use authkeeper::{catalogue, runtime::inspect::SecretFacts};

    use super::*;
    use crate::commands::doctor::{
        connections::tests::{at, facts},
        finding::Severity,
    };

    const DAY: i64 = 86_400;

    fn severities(facts: &ConnectionFacts, now: Timestamp) -> Vec<Severity> {
        findings(facts, now)
            .iter()
            .map(|finding| finding.severity)
            .collect()
    }

    #[test]
    fn a_day_is_far_then_near_then_past() {
        assert_eq!(near(at(15 * DAY), at(0)), Near::Far);
        assert_eq!(near(at(14 * DAY), at(0)), Near::Soon);
        assert_eq!(near(at(0), at(1)), Near::Past);
    }

    #[test]
    fn a_refresh_token_s_end_is_told_by_how_long_it_lives() {
        let mut facts = facts();
        facts.refresh_expires_at = Some(at(90 * DAY));
        assert_eq!(severities(&facts, at(DAY)), []);
        assert_eq!(severities(&facts, at(80 * DAY)), [Severity::Warning]);
        let past = findings(&facts, at(91 * DAY));
        assert_eq!(past[0].exit, Some(Exit::Person));
        facts.refresh_expires_at = Some(at(1800));
        assert_eq!(
            severities(&facts, at(60)),
            [Severity::Note],
            "each refresh puts it off"
        );
    }

    #[test]
    fn a_key_is_to_be_replaced_by_its_minute() {
        let mut facts = facts();
        facts.rotate_by = Some(at(20 * DAY));
        assert_eq!(severities(&facts, at(0)), []);
        assert_eq!(severities(&facts, at(10 * DAY)), [Severity::Warning]);
        assert_eq!(findings(&facts, at(21 * DAY))[0].exit, Some(Exit::Person));
    }

    #[test]
    fn a_token_endpoint_that_is_switched_off_is_told_ahead_and_then_a_person_is_asked() {
        let hubspot = catalogue::named("hubspot");
        let endpoints = &hubspot.unwrap().endpoints;
        let with = |url: &String| ConnectionFacts {
            entry: hubspot,
            grant_type: None,
            token_endpoint: Some(url.clone()),
            ..facts()
        };
        let old = with(&endpoints.retired[0].url);
        let day = |text: &str| text.parse::<Timestamp>().unwrap();
        let (before, after) = (day("2027-02-15T23:59:59Z"), day("2027-02-16T00:00:00Z"));
        let ahead = &findings(&old, before)[0];
        assert_eq!(ahead.severity, Severity::Warning);
        assert!(ahead.what.contains("2027-02-16"), "{ahead:?}");
        assert_eq!(findings(&old, after)[0].exit, Some(Exit::Person));
        let new = with(endpoints.token.as_ref().unwrap());
        assert_eq!(severities(&new, after), []);
    }

    #[test]
    fn a_client_s_secrets_are_judged_together() {
        let secret = |refused: Option<i64>, ends: Option<i64>| SecretFacts {
            refused: refused.map(at),
            expires_at: ends.map(at),
        };
        let with = |secrets: Vec<SecretFacts>| ConnectionFacts { secrets, ..facts() };
        let all_dead = with(vec![secret(Some(1), None), secret(None, Some(5))]);
        assert_eq!(findings(&all_dead, at(10))[0].exit, Some(Exit::Config));
        let one_serves = with(vec![secret(Some(1), None), secret(None, None)]);
        assert_eq!(severities(&one_serves, at(10)), [Severity::Note]);
        let ends_soon = with(vec![secret(None, Some(7 * DAY))]);
        assert_eq!(severities(&ends_soon, at(0)), [Severity::Warning]);
        let another_is_endless = with(vec![secret(None, Some(7 * DAY)), secret(None, None)]);
        assert_eq!(severities(&another_is_endless, at(0)), []);
    }

    #[test]
    fn the_catalogue_s_limits_count_from_the_sign_in_and_from_the_last_refresh() {
        let mut facts = facts();
        let of = |limit: fn(&catalogue::Lifetimes) -> Limit| {
            let mut all = catalogue::all().iter();
            all.find(|entry| matches!(limit(&entry.lifetimes), Limit::Of(_)))
        };
        let said = |facts: &ConnectionFacts, days: i64, words: &str| {
            let found = findings(facts, at(days * DAY));
            found.iter().any(|finding| {
                finding.severity == Severity::Warning && finding.what.contains(words)
            })
        };
        if let Some(entry) = of(|lifetimes| lifetimes.refresh) {
            facts.entry = Some(entry);
            assert!(said(&facts, 3000, "after the sign-in"), "{}", entry.name);
        }
        let entry =
            of(|lifetimes| lifetimes.refresh_idle).expect("some provider has an idle limit");
        facts.entry = Some(entry);
        assert!(said(&facts, 3000, "is not refreshed for"), "{}", entry.name);
        facts.grant_type = Some(GrantType::ApiKey);
        assert_eq!(
            severities(&facts, at(3000 * DAY)),
            [],
            "no key has such a limit"
        );
    }
}
