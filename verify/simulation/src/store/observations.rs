//! What was noticed of providers.

use authkeeper::model::{Issuer, Observation, ObservationKind, ProviderObservation};
use jiff::Timestamp;

use super::rows::StoreRows;

/// So many things of one kind are kept of one provider, those that were noticed last; of what is counted by connection, of one.
const MOST: usize = 16;
/// So many of what is counted by connection are kept of one provider.
const MOST_OF_ALL: usize = 128;

impl StoreRows {
    pub(super) fn observation(&mut self, observation: &ProviderObservation, at: Timestamp) {
        let known = self
            .observed
            .iter()
            .position(|known| known.observation == *observation);
        let before = known.map(|place| self.observed.remove(place));
        // The one that was noticed last comes first.
        let now = Observation {
            observation: observation.clone(),
            times: before.as_ref().map_or(0, |before| before.times) + 1,
            first: before.map_or(at, |before| before.first),
            last: at,
        };
        self.observed.insert(0, now);
        let (mut same, mut all) = (0, 0);
        self.observed.retain(|known| {
            let counts = known.observation.issuer == observation.issuer
                && known.observation.kind == observation.kind;
            let same_whose = counts && whose(&known.observation) == whose(observation);
            same += usize::from(same_whose);
            all += usize::from(counts);
            !counts || ((!same_whose || same <= MOST) && all <= MOST_OF_ALL)
        });
    }

    pub(super) fn noticed_of(&self, issuer: Option<&Issuer>) -> Vec<Observation> {
        let of = self.observed.iter();
        let of = of.filter(|known| issuer.is_none_or(|issuer| known.observation.issuer == *issuer));
        let mut all: Vec<Observation> = of.cloned().collect();
        all.sort_by(|one, other| one.observation.issuer.cmp(&other.observation.issuer));
        all
    }
}

/// The connection of what is counted by connection.
fn whose(observation: &ProviderObservation) -> Option<&str> {
    let word = observation.detail.split(' ').next();
    word.filter(|_| observation.kind == ObservationKind::EndedEarly)
}
