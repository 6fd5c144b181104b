//! The troubles of everything that is connected: the daemon tells of them all.

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, FailedCall, Trouble, TroubleId},
    runtime::Runtime,
    store::StoreError,
};

use crate::{commands::run::Troubles, hold::Inviting};

/// Those of all connections.
pub(crate) struct AllTroubles {
    pub(crate) runtime: Runtime,
    pub(crate) inviting: Inviting,
}

#[async_trait]
impl Troubles for AllTroubles {
    async fn open(&self) -> Result<Vec<Trouble>, StoreError> {
        let mut open = self.runtime.troubles().await?;
        for Trouble { record, .. } in &mut open {
            if let Ok(name) = ConnectionName::parse(&record.connection) {
                record.link = self.inviting.link(&name, record).await;
            }
        }
        Ok(open)
    }

    async fn claim_notification(&self, id: &TroubleId) -> bool {
        self.runtime.claim_notification(id).await.unwrap_or(false)
    }

    async fn is_open(&self, id: &TroubleId) -> bool {
        let open = self.runtime.troubles().await;
        open.map_or(true, |open| open.iter().any(|trouble| trouble.id == *id))
    }

    /// Whose calls they are, the daemon does not know.
    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        Ok(vec![])
    }
}
