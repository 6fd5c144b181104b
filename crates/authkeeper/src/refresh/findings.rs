//! What probing found out about attempts whose answer was lost.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    model::{AttemptId, ReplayRule},
    refresh::decide::{Investigation, RecoveryRules},
};

/// What is known of a lost request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    /// The provider has not acted on it: the token is as good as it was.
    NotActed,
    /// It has: the token is spent, and its successor was lost.
    Spent,
    /// Nothing can be told.
    Unclear,
}

impl ProbeOutcome {
    /// A provider of which nothing is known may answer a replay all the same; but if the token is spent, it is asked as
    /// late as one that is known to punish that.
    pub(super) fn applied_to(self, rules: RecoveryRules) -> RecoveryRules {
        match (self, rules.replay) {
            (Self::Spent, ReplayRule::Unknown) => RecoveryRules {
                replay: ReplayRule::Strict,
                ..rules
            },
            _ => rules,
        }
    }

    /// What is not acted upon need not wait.
    pub(super) fn hurries(self, seen: Investigation) -> Investigation {
        match (self, seen) {
            (Self::NotActed, Investigation::ResendAfter(_)) => Investigation::Resend,
            _ => seen,
        }
    }

    /// A spent token would be refused by a strict provider, and cost the living access token.
    pub(super) fn is_hopeless(self, replay: ReplayRule) -> bool {
        self == Self::Spent && replay == ReplayRule::Strict
    }
}

/// What was found out of attempts, so that each is asked about once.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<HashMap<AttemptId, ProbeOutcome>>);

/// More lost answers at once than this, and the oldest are asked about again.
const MOST_FINDINGS: usize = 1_024;

impl Findings {
    pub(super) fn of(&self, attempt: &AttemptId) -> Option<ProbeOutcome> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(attempt).copied()
    }

    pub(super) fn keep(&self, attempt: &AttemptId, became: ProbeOutcome) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MOST_FINDINGS {
            found.clear();
        }
        found.insert(attempt.clone(), became);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules(replay: ReplayRule) -> RecoveryRules {
        RecoveryRules {
            replay,
            quiet_period: Duration::from_secs(90),
            reserve: Duration::from_secs(30),
            exchange_limit: Duration::from_mins(2),
        }
    }
    #[test]
    fn what_is_known_changes_when_it_is_sent_again() {
        let later = Investigation::ResendAfter(Duration::from_secs(9));
        assert_eq!(ProbeOutcome::NotActed.hurries(later), Investigation::Resend);
        assert_eq!(ProbeOutcome::Spent.hurries(later), later);
        assert_eq!(ProbeOutcome::Unclear.hurries(later), later);
        let at_work = Investigation::OwnerAtWork;
        assert_eq!(ProbeOutcome::NotActed.hurries(at_work), at_work);
        let applied = |became: ProbeOutcome, replay| became.applied_to(rules(replay)).replay;
        assert_eq!(
            applied(ProbeOutcome::Spent, ReplayRule::Unknown),
            ReplayRule::Strict
        );
        assert_eq!(
            applied(ProbeOutcome::Unclear, ReplayRule::Unknown),
            ReplayRule::Unknown
        );
        assert!(ProbeOutcome::Spent.is_hopeless(ReplayRule::Strict));
        assert!(!ProbeOutcome::Spent.is_hopeless(ReplayRule::Unknown));
        assert!(!ProbeOutcome::Unclear.is_hopeless(ReplayRule::Strict));
    }

    #[test]
    fn what_was_found_of_one_attempt_stays_beside_another() {
        let findings = Findings::default();
        let attempt = |number: usize| AttemptId::new(format!("a{number}"));
        for number in 0..MOST_FINDINGS {
            findings.keep(&attempt(number), ProbeOutcome::Spent);
        }
        assert_eq!(findings.of(&attempt(0)), Some(ProbeOutcome::Spent));
        findings.keep(&attempt(MOST_FINDINGS), ProbeOutcome::NotActed);
        assert_eq!(findings.of(&attempt(0)), None, "asked about again");
        let last = findings.of(&attempt(MOST_FINDINGS));
        assert_eq!(last, Some(ProbeOutcome::NotActed));
    }
}
