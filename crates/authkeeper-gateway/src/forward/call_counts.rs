//! What became of the calls of this process, counted for each connection.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use authkeeper::model::ConnectionName;

use crate::wait::Waiting;

/// What became of the calls over one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// How many there were.
    pub calls: u64,
    /// How many of them waited before they were sent: for the provider, or for a person.
    pub waits: u64,
    /// How long these waited together.
    pub waited: Duration,
    /// How many failed, by the reason that was noted or told: a fixed word.
    pub failed: BTreeMap<String, u64>,
}

/// Why a call failed whose connection the run does not declare.
pub(crate) const UNDECLARED: &str = "connection_not_declared";

/// Of no more connections are calls counted.
const MOST_NAMES: usize = 1_000;

/// The counts of all connections.
#[derive(Debug, Default)]
pub(super) struct CallTally(Mutex<BTreeMap<ConnectionName, CallCounts>>);

/// One call under way. Its waits are counted when it ends, also if its caller leaves before.
pub(super) struct CountedCall<'a> {
    tally: &'a CallTally,
    connection: &'a ConnectionName,
    waiting: &'a Waiting,
    /// What was waited before this call.
    before: Duration,
}

impl CallTally {
    pub(super) fn begin<'a>(
        &'a self,
        connection: &'a ConnectionName,
        waiting: &'a Waiting,
    ) -> CountedCall<'a> {
        self.change(connection, |counts| counts.calls += 1);
        CountedCall {
            tally: self,
            connection,
            waiting,
            before: waiting.waited(),
        }
    }

    /// A call that was refused: the run does not declare the connection. A caller that invents names is counted up to a limit.
    pub(super) fn undeclared(&self, connection: &ConnectionName) {
        if self.all().len() >= MOST_NAMES {
            return;
        }
        self.change(connection, |counts| counts.calls += 1);
        self.failed(connection, UNDECLARED);
    }

    pub(super) fn names(&self) -> Vec<ConnectionName> {
        self.all().keys().cloned().collect()
    }

    pub(super) fn failed(&self, connection: &ConnectionName, reason: &str) {
        self.change(connection, |counts| {
            *counts.failed.entry(reason.to_owned()).or_default() += 1;
        });
    }

    pub(super) fn counts(&self, connection: &ConnectionName) -> CallCounts {
        self.all().get(connection).cloned().unwrap_or_default()
    }

    fn change(&self, connection: &ConnectionName, how: impl FnOnce(&mut CallCounts)) {
        let mut all = self.all();
        match all.get_mut(connection) {
            Some(counts) => how(counts),
            None => how(all.entry(connection.clone()).or_default()),
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ConnectionName, CallCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedCall<'_> {
    fn drop(&mut self) {
        let waited = self.waiting.waited().saturating_sub(self.before);
        if waited.is_zero() {
            return;
        }
        self.tally.change(self.connection, |counts| {
            counts.waits += 1;
            counts.waited += waited;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::notion;

    #[tokio::test(start_paused = true)]
    async fn waits_are_counted_once_a_call_whatever_they_were_for() {
        let (tally, name, waiting) = (CallTally::default(), notion(), Waiting::default());
        let call = tally.begin(&name, &waiting);
        for seconds in [2, 3] {
            let held = waiting.begin();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            drop(held);
        }
        drop(call);
        drop(tally.begin(&name, &waiting));
        tally.failed(&name, "provider_unavailable");
        tally.failed(&name, "provider_unavailable");
        let counts = tally.counts(&name);
        assert_eq!((counts.calls, counts.waits), (2, 1));
        assert_eq!(counts.waited, Duration::from_secs(5));
        assert_eq!(counts.failed["provider_unavailable"], 2);
    }
}
