//! Records of a refresh.

use jiff::Timestamp;

use crate::{
    model::{
        AccessToken, Failing, FailingOf, Generation, GrantId, Lineage, RefreshToken,
        SubjectBinding, SuspendReason,
    },
    store::incident::NewIncident,
};

/// Exactly which token an attempt wants to spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Of which grant.
    pub grant: GrantId,
    /// Of which sign-in.
    pub lineage: Lineage,
    /// Which generation.
    pub generation: Generation,
}

/// One accepted refresh, to be committed in one step.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// What was spent.
    pub spend: Spend,
    /// The new access token; its generation is the spent one's successor.
    pub access: AccessToken,
    /// The new refresh token; none keeps the old one (RFC 6749 §6).
    pub refresh: Option<RefreshToken>,
    /// What is known now of whose grant it is, and for what.
    pub subject_binding: SubjectBinding,
    /// Why its tokens must not be handed out, and since when: kept, and suspended with the same step.
    pub hold: Option<(SuspendReason, Timestamp)>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is the current generation now.
    Yes,
    /// Another generation or lineage is current; nothing was overwritten.
    Superseded,
    /// The grant was disconnected meanwhile: what came must be revoked, never adopted.
    Revoked,
}

/// What becomes of the failures that are kept of a client's or a grant's token requests.
#[derive(Clone, Debug)]
pub struct FailingChange {
    /// Whose.
    pub of: FailingOf,
    /// As they were seen.
    pub seen: Option<Failing>,
    /// As they shall be; none once a request was answered.
    pub new: Option<Failing>,
    /// An incident that is kept with the same step.
    pub incident: Option<NewIncident>,
}
