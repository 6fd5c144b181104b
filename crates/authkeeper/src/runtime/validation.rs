//! Validation: a call that has succeeded before is made again while nobody calls, so that a dead credential is found out.

use std::time::Duration;

use crate::{
    error::TokenError,
    model::{ConnectionName, GrantLifecycle, ProvenCall, Validation},
    runtime::Runtime,
};

impl Runtime {
    /// Notes that a connection's server has answered this call.
    ///
    /// # Errors
    ///
    /// The connection is not known, or the store can't be used.
    pub async fn proven(&self, name: &ConnectionName, call: ProvenCall) -> Result<(), TokenError> {
        let (_, grant) = self.find(name).await?;
        let seen = self.context.store.validation(name).await?;
        let new = Validation {
            call,
            grant: grant.id,
            begun: self.context.seams.clock.now(),
        };
        // Who was faster has proven it too.
        let store = &self.context.store;
        store.put_validation(name, seen.as_ref(), &new).await?;
        Ok(())
    }

    /// How a connection was validated last; none if its server has not answered a check yet.
    ///
    /// # Errors
    ///
    /// The connection is not known, or the store can't be used.
    pub async fn validation(
        &self,
        name: &ConnectionName,
    ) -> Result<Option<Validation>, TokenError> {
        let (_, grant) = self.find(name).await?;
        let found = self.context.store.validation(name).await?;
        Ok(found.filter(|validation| validation.grant == grant.id))
    }

    /// The call to make now, if the last one is `every` ago and no other process has taken it. Only for a grant in use.
    ///
    /// # Errors
    ///
    /// The connection is not known, or the store can't be used.
    pub async fn take_validation(
        &self,
        name: &ConnectionName,
        every: Duration,
    ) -> Result<Option<ProvenCall>, TokenError> {
        let (_, grant) = self.find(name).await?;
        let store = &self.context.store;
        let now = self.context.seams.clock.now();
        let seen = store.validation(name).await?;
        let due = seen.filter(|seen| seen.is_due(&grant.id, every, now));
        let Some(due) = due.filter(|_| grant.lifecycle == GrantLifecycle::Active) else {
            return Ok(None);
        };
        let taken = Validation {
            begun: now,
            ..due.clone()
        };
        let is_ours = store.put_validation(name, Some(&due), &taken).await?;
        Ok(is_ours.then_some(due.call))
    }
}
