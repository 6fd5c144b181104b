//! What a run runs.

use std::ffi::OsString;

use authkeeper::{model::ConnectionName, secret::SecretString};

/// What is to be run.
pub(crate) struct RunPlan {
    pub(crate) declared: Vec<ConnectionName>,
    pub(crate) command: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) handle: SecretString,
    pub(crate) task_id: String,
}
