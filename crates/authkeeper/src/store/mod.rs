//! Where connections and grants are kept. Claims and generations move by compare-and-set only.
//!
//! [`Store`] is the seam; [`sqlite::SqliteStore`] is one machine's store. Every secret is sealed ([`crate::vault::seal`])
//! before it reaches a store's medium.

pub mod adoption;
mod aggregates;
mod changes;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod error;
mod incident;
pub(crate) mod location;
#[cfg(any(test, feature = "test-util"))]
pub mod memory;
mod remembered;
mod sign_in;
pub mod sqlite;

pub use crate::model::{
    Committed, GrantChange, GrantChanged, GrantRecord, NewKey, Refreshed, Spend,
};

pub use self::{
    aggregates::{Clients, Connections, Grants, Incidents, Observations, Store, Tasks},
    changes::{Epoch, Use},
    error::{Result, StoreError},
    incident::{CarriedCall, History, NewIncident},
    remembered::{FailingChange, Remembered, RememberedChange},
    sign_in::{Obtained, PendingSignIn, SignedIn},
};
pub(crate) use self::{error::unusable, sign_in::may_share};
