//! Rate limit of the requests for a resource's metadata.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::model::{ConnectionName, Moment};

/// The shortest time between two requests for one resource's metadata.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The last time at which each connection's resource was asked for its authorization servers.
#[derive(Default)]
pub(crate) struct IssuerChecks(Mutex<HashMap<ConnectionName, Moment>>);

impl IssuerChecks {
    /// Records a check unless the last one is too recent. Returns whether to check now.
    pub(crate) fn may_check(&self, name: &ConnectionName, now: Moment) -> bool {
        let mut checked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = checked.get(name);
        if last.is_some_and(|last| now.since(*last) < CHECK_INTERVAL) {
            return false;
        }
        checked.insert(name.clone(), now);
        true
    }
}
