//! Which requests have no answer yet. Each is answered once, and a cancelled one never: an answer is passed on only if its id
//! is taken from here.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::mcp::codec::message::{Id, IdKey};

/// The ids of the requests that have no answer yet.
#[derive(Debug, Default)]
pub(in crate::mcp) struct OpenRequests(Mutex<BTreeMap<IdKey, Id>>);

impl OpenRequests {
    pub(in crate::mcp) fn add(&self, ids: Vec<Id>) {
        let ids = ids.into_iter().map(|id| (id.key().clone(), id));
        self.open().extend(ids);
    }

    /// True: at least one of these had no answer. From now on they have one, or need none.
    pub(in crate::mcp) fn take(&self, answered: &[IdKey]) -> bool {
        let mut open = self.open();
        let taken = answered.iter().filter(|key| open.remove(key).is_some());
        taken.count() > 0
    }

    pub(in crate::mcp) fn ids(&self) -> Vec<Id> {
        self.open().values().cloned().collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<IdKey, Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn id(raw: &str) -> Id {
        Id::parse(&RawValue::from_string(raw.to_owned()).unwrap())
    }

    #[test]
    fn an_id_is_taken_once() {
        let open = OpenRequests::default();
        open.add(vec![id("1"), id("\"a\""), id("2")]);
        let key = |raw| id(raw).key().clone();
        assert!(open.take(&[key("1")]));
        assert!(!open.take(&[key("1")]));
        assert!(!open.take(&[key("\"1\"")]) && !open.take(&[]));
        assert!(open.take(&[key("1"), key("\"\\u0061\"")]));
        let left: Vec<_> = open.ids().iter().map(|id| id.raw().to_owned()).collect();
        assert_eq!(left, ["2"]);
    }
}
