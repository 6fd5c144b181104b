//! The right to spend a generation: from idle to spending, to unknown, and back.

use jiff::Timestamp;

use super::Spend;
use crate::model::{AttemptId, Claim, ClaimPhase, Grant, GrantLifecycle, Moment, UnknownKind};

impl Grant {
    pub(super) fn claim(&mut self, spend: &Spend, claim: &Claim) -> bool {
        self.lifecycle == GrantLifecycle::Active && self.take(spend, claim)
    }

    pub(super) fn claim_probe(&mut self, spend: &Spend, claim: &Claim, at: Timestamp) -> bool {
        let in_quarantine = matches!(
            self.lifecycle,
            GrantLifecycle::ReauthorizationRequired { .. }
        );
        let taken = in_quarantine && self.take(spend, claim);
        if taken {
            self.probed = Some(at);
        }
        taken
    }

    fn take(&mut self, spend: &Spend, claim: &Claim) -> bool {
        let spendable = self.refresh.is_some() || self.grant_type.is_issued_again();
        let may = self.is_current(spend) && self.claim.is_none() && spendable;
        if may {
            self.claim = Some(claim.clone());
        }
        may
    }

    pub(super) fn take_over(&mut self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> bool {
        let lost = self.claim.as_ref().is_some_and(|held| {
            held.attempt == *seen && matches!(held.phase, ClaimPhase::Unknown { .. })
        });
        let may = self.is_current(spend) && self.lifecycle == GrantLifecycle::Active && lost;
        if may {
            self.claim = Some(claim.clone());
        }
        may
    }

    pub(super) fn release(&mut self, attempt: &AttemptId) -> bool {
        let held = self.spending(attempt).is_some();
        if held {
            self.claim = None;
        }
        held
    }

    pub(super) fn mark_unknown(
        &mut self,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> bool {
        let held = self.spending(attempt);
        held.map(|claim| claim.phase = ClaimPhase::Unknown { kind, since })
            .is_some()
    }

    /// The claim under which this attempt is spending.
    fn spending(&mut self, attempt: &AttemptId) -> Option<&mut Claim> {
        let held = self.claim.as_mut();
        held.filter(|claim| claim.attempt == *attempt && claim.phase == ClaimPhase::Spending)
    }
}
