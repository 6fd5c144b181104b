//! What was noticed, and what else is remembered.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, StoreRows};
use crate::{
    model::{Issuer, Observation, ProviderObservation},
    store::{Observations, Remembered, RememberedChange, Result},
};

#[async_trait]
impl Observations for MemoryStore {
    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.observation(observation, at)).await
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        self.read(|rows| rows.observed(issuer))
    }

    async fn remembered(&self, of: &Remembered) -> Result<Option<String>> {
        self.read(|rows| rows.remembered.get(of).cloned())
    }

    async fn remember(&self, change: RememberedChange) -> Result<bool> {
        self.decide(|rows| rows.remember(change)).await
    }
}

impl StoreRows {
    /// As [`Observations::observation`].
    pub fn observation(&mut self, observation: &ProviderObservation, at: Timestamp) {
        let (counted, gone) = observation.counted(&self.observed, at);
        self.observed.retain(|known| {
            known.observation != *observation && !gone.contains(&known.observation)
        });
        self.observed.push(counted);
    }

    /// As [`Observations::observed`].
    pub fn observed(&self, issuer: Option<&Issuer>) -> Vec<Observation> {
        let of =
            |known: &&Observation| issuer.is_none_or(|issuer| known.observation.issuer == *issuer);
        let mut all: Vec<Observation> = self.observed.iter().filter(of).cloned().collect();
        all.sort_by(|one, other| one.observation.issuer.cmp(&other.observation.issuer));
        all
    }

    /// As [`Observations::remember`].
    pub fn remember(&mut self, change: RememberedChange) -> bool {
        if self.remembered.get(&change.of) != change.seen.as_ref() {
            return false;
        }
        match change.new {
            Some(new) => self.remembered.insert(change.of, new),
            None => self.remembered.remove(&change.of),
        };
        if let Some(incident) = change.incident {
            self.keep_incident(incident);
        }
        true
    }
}
