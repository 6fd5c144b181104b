//! The rules of the transaction as switches. Some are thrown for the negative controls; some are what the model asks for
//! and the code does not do yet (docs/decisions/009).

/// Which rules hold. Everything that is `true` makes the transaction safer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one rule, on or off, independent of the others"
)]
pub struct Design {
    /// A durable claim, and not a lock that is gone with its holder.
    pub claim: bool,
    /// A journal beside the store.
    pub journal: bool,
    /// A commit compares the generation.
    pub generation_compared: bool,
    /// A resend after a crash waits until the request can't be queued any more.
    pub quiet_period: bool,
    /// A token is released only when it is durable.
    pub durable_first: bool,
    /// A sign-in compares the lineage and not the generation.
    pub sign_in_by_lineage: bool,
    /// The quiet period begins when the sender's death is noticed, and not when it claimed.
    pub quiet_from_notice: bool,
    /// An answer that lost a race is tried only if it is not older than what the store holds.
    pub newer_candidates: bool,
    /// A journal that the store knows nothing of counts: its answer, or that something was sent.
    pub orphans: bool,
    /// A sign-in takes a lineage that was never used, whatever the store forgot.
    pub fresh_lineage: bool,
    /// A late answer of a dead process is revoked too, when somebody looks at what was disconnected.
    pub leaves_nothing: bool,
    /// A refusal that can't be committed gives the claim back.
    pub refusal_settles: bool,
    /// The kept answer is never replaced by an older one.
    pub keeps_newest: bool,
    /// Tokens that can be read are a success, whatever stands beside them.
    pub tokens_win: bool,
    /// Tokens that can't be read have spent the refresh token all the same.
    pub unread_spends: bool,
    /// An answer that can be read by now is not adopted while a resend is under way.
    pub rereads_alone: bool,
    /// After its claim a sender looks whether the token was replaced within its generation.
    pub looks_again: bool,
}

impl Design {
    /// All rules.
    pub const WHOLE: Self = Self {
        claim: true,
        journal: true,
        generation_compared: true,
        quiet_period: true,
        durable_first: true,
        sign_in_by_lineage: true,
        quiet_from_notice: true,
        newer_candidates: true,
        orphans: true,
        fresh_lineage: true,
        leaves_nothing: true,
        refusal_settles: true,
        keeps_newest: true,
        tokens_win: true,
        unread_spends: true,
        rereads_alone: true,
        looks_again: true,
    };
}
