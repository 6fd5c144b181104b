//! In-process locks of step-up requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::ConnectionName;

/// One lock per connection: of the calls that are refused at the same time for lack of a scope, one asks for it.
#[derive(Default)]
pub(crate) struct StepUpLocks(Mutex<HashMap<ConnectionName, Arc<tokio::sync::Mutex<()>>>>);

impl StepUpLocks {
    pub(crate) fn of(&self, name: &ConnectionName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(name.clone()).or_default())
    }
}
