//! Where connections and grants are kept. Claims and generations move by compare-and-set only.
//!
//! [`Store`] is the seam; [`sqlite::SqliteStore`] is one machine's store. Every secret is sealed ([`crate::vault::seal`])
//! before it reaches a store's medium.

mod changes;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod error;
mod incident;
pub(crate) mod location;
mod refresh;
mod sign_in;
pub mod sqlite;
mod store_trait;

pub use self::{
    changes::{Epoch, Use},
    error::{Result, StoreError},
    incident::{CarriedCall, History, NewIncident},
    refresh::{Committed, FailingChange, Refreshed, Spend},
    sign_in::{NewKey, Obtained, PendingSignIn, SignedIn},
    store_trait::Store,
};
pub(crate) use self::{error::unusable, sign_in::may_share};
