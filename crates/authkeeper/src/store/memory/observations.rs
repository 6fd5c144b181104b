//! What was noticed, and what else is remembered.

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::{
    model::{Issuer, Observation, ProviderObservation},
    store::{Observations, Remembered, RememberedChange, Result},
};

#[async_trait]
impl Observations for MemoryStore {
    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()> {
        self.note(|rows| {
            let (counted, gone) = observation.counted(&rows.observed, at);
            rows.observed.retain(|known| {
                known.observation != *observation && !gone.contains(&known.observation)
            });
            rows.observed.push(counted);
        })
        .await
    }

    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>> {
        self.read(|rows| {
            let all = rows.observed.iter();
            let of =
                all.filter(|known| issuer.is_none_or(|issuer| known.observation.issuer == *issuer));
            let mut of: Vec<Observation> = of.cloned().collect();
            of.sort_by(|one, other| one.observation.issuer.cmp(&other.observation.issuer));
            of
        })
    }

    async fn remembered(&self, of: &Remembered) -> Result<Option<String>> {
        self.read(|rows| rows.remembered.get(of).cloned())
    }

    async fn remember(&self, change: RememberedChange) -> Result<bool> {
        self.decide(|rows| {
            if rows.remembered.get(&change.of) != change.seen.as_ref() {
                return false;
            }
            match change.new {
                Some(new) => rows.remembered.insert(change.of, new),
                None => rows.remembered.remove(&change.of),
            };
            if let Some(incident) = change.incident {
                rows.keep_incident(incident);
            }
            true
        })
        .await
    }
}
