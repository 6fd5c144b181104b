//! What a store remembers as text under a key.

use crate::{
    model::{ConnectionName, Failing, FailingOf},
    store::incident::NewIncident,
};

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remembered {
    /// What failed in a row.
    Failing(FailingOf),
    /// How a connection was validated last.
    Validation(ConnectionName),
    /// What calls of a connection were refused for lack of.
    StepUps(ConnectionName),
    /// What was told of the open incidents.
    Alerts,
}

/// A change of what is remembered.
#[derive(Clone, Debug)]
pub struct RememberedChange {
    /// Of what.
    pub of: Remembered,
    /// As it was seen.
    pub seen: Option<String>,
    /// As it shall be.
    pub new: Option<String>,
    /// An incident that is kept with the same step, if the change is.
    pub incident: Option<NewIncident>,
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
