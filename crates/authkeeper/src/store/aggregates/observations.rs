//! What was seen of providers and connections, and is remembered.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    model::{
        ConnectionName, Failing, FailingOf, Issuer, Observation, ProviderObservation, StepUps,
        Validation,
    },
    store::{FailingChange, NewIncident, Remembered, RememberedChange, Result},
};

/// What was noticed of providers, what failed in a row, and what else is remembered of a connection. A store implements
/// the four methods without a body.
#[async_trait]
pub trait Observations: Send + Sync {
    /// Counts what was noticed of a provider. Of each kind the newest few are kept ([`ProviderObservation::counted`]).
    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()>;
    /// What was noticed of a provider, or of all, by issuer.
    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>>;
    /// What is remembered, as JSON text.
    async fn remembered(&self, of: &Remembered) -> Result<Option<String>>;
    /// Changes it, if it is still as it was seen; true if it was.
    async fn remember(&self, change: RememberedChange) -> Result<bool>;

    /// What failed in a row, if the last one did.
    async fn failing(&self, of: &FailingOf) -> Result<Option<Failing>> {
        let kept = self.remembered(&Remembered::Failing(of.clone())).await?;
        // What can't be read holds nobody up.
        Ok(read(kept))
    }
    /// Changes them, if they are still as they were seen; true if they were.
    async fn put_failing(&self, change: FailingChange) -> Result<bool> {
        let of = Remembered::Failing(change.of);
        let new = change.new.as_ref().map(write);
        let same = |kept| read(kept) == change.seen;
        swap(self, (of, new, change.incident), same).await
    }
    /// How a connection was validated last, if it ever was.
    async fn validation(&self, name: &ConnectionName) -> Result<Option<Validation>> {
        let kept = self
            .remembered(&Remembered::Validation(name.clone()))
            .await?;
        // What can't be read is proven again by the next check.
        Ok(read(kept))
    }
    /// Changes it, if it is still as it was seen; true if it was.
    async fn put_validation(
        &self,
        name: &ConnectionName,
        seen: Option<&Validation>,
        new: &Validation,
    ) -> Result<bool> {
        let of = Remembered::Validation(name.clone());
        let same = |kept| read(kept).as_ref() == seen;
        swap(self, (of, Some(write(new)), None), same).await
    }
    /// What calls of this connection were refused for lack of.
    async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps> {
        let kept = self.remembered(&Remembered::StepUps(name.clone())).await?;
        // What can't be read is asked for again by the next refusal.
        Ok(read(kept).unwrap_or_default())
    }
    /// Replaces them, if they are still as they were seen. A sign-in that is adopted changes it by [`StepUps::signed_in`],
    /// and a disconnection forgets it.
    async fn put_step_ups(
        &self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> Result<bool> {
        let of = Remembered::StepUps(name.clone());
        let new = (!new.is_empty()).then(|| write(new));
        let same = |kept| read::<StepUps>(kept).unwrap_or_default() == *seen;
        swap(self, (of, new, None), same).await
    }
    /// What was told of the open incidents. It is the notifier's to read.
    async fn alert_state(&self) -> Result<Option<String>> {
        self.remembered(&Remembered::Alerts).await
    }
    /// Replaces it, if it is still as it was seen; true if it was.
    async fn put_alert_state(&self, seen: Option<&str>, new: Option<&str>) -> Result<bool> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        self.remember(RememberedChange {
            of: Remembered::Alerts,
            seen: text(seen),
            new: text(new),
            incident: None,
        })
        .await
    }
}

/// Changes what is remembered if `same` says that its value is still the one that was seen, whatever its text: an older version
/// may have written it.
async fn swap<S: Observations + ?Sized>(
    store: &S,
    (of, new, incident): (Remembered, Option<String>, Option<NewIncident>),
    same: impl FnOnce(Option<String>) -> bool + Send,
) -> Result<bool> {
    let seen = store.remembered(&of).await?;
    if !same(seen.clone()) {
        return Ok(false);
    }
    let change = RememberedChange {
        of,
        seen,
        new,
        incident,
    };
    store.remember(change).await
}

fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: DeserializeOwned>(kept: Option<String>) -> Option<T> {
    serde_json::from_str(&kept?).ok()
}
