//! The generation that a refresh is to replace.

use crate::model::{Generation, Grant, GrantId, Lineage};

/// Which generation a caller wants to see replaced.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) grant: GrantId,
    pub(crate) lineage: Lineage,
    pub(crate) generation: Generation,
}

impl Goal {
    pub(crate) fn of(grant: &Grant) -> Self {
        Self {
            grant: grant.id.clone(),
            lineage: grant.lineage,
            generation: grant.generation,
        }
    }

    pub(super) fn reached_by(&self, grant: &Grant) -> bool {
        grant.lineage != self.lineage || grant.generation > self.generation
    }
}
