//! What to do, decided in pure functions: no async, no input or output, no clock, no store.
//!
//! Every rule of the life cycle that is a decision is here; everything else in [`crate::refresh`] carries decisions out.

mod backoff;
mod learn;
mod recovery;
mod refused;
mod serve;
mod shortfall;

pub use self::{
    backoff::{BREAKER_AFTER, CALLS_FAIL_AFTER, Outage, backoff, incident_of},
    learn::{disproves, ended_early, learned, learned_lifetime},
    recovery::{
        COMMIT_PATIENCE, Investigation, JournalState, Orphan, RecoveryRules, asked_again_in,
        between_resends, investigate, is_contested, is_given_up, is_unread, notify_after, orphan,
        takes_over,
    },
    refused::{
        CLIENT_BACKOFF, MAX_SUSPECTED_REFUSALS, SUSPECTED_FOR, client_backs_off,
        is_lasting_refusal, may_be_forgotten, probe_due,
    },
    serve::{
        BELIEVED_FOR, FORCED_COOLDOWN, Freshness, GrantView, MAX_JITTER, Refusal, ServeDecision,
        Why, due_after, let_others_first, repeats_for, serve, until_due,
    },
    shortfall::{Shortfall, shortfall},
};

#[cfg(test)]
mod tests;
