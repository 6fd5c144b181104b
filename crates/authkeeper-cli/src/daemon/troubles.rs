//! The troubles of everything that is connected: the daemon tells of them all.

use async_trait::async_trait;
use authkeeper::{
    model::{FailedCall, Trouble, TroubleId},
    runtime::Runtime,
    store::StoreError,
};

use crate::commands::run::Troubles;

/// Those of all connections.
pub(crate) struct AllTroubles(pub(crate) Runtime);

#[async_trait]
impl Troubles for AllTroubles {
    async fn open(&self) -> Result<Vec<Trouble>, StoreError> {
        self.0.troubles().await
    }

    async fn claim_notification(&self, id: &TroubleId) -> bool {
        self.0.claim_notification(id).await.unwrap_or(false)
    }

    /// Whose calls they are, the daemon does not know.
    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        Ok(vec![])
    }
}
