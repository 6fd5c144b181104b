//! What was noticed of a provider: counted, kept, and shown by `doctor`. What is learned makes us more careful and
//! never less.

use jiff::Timestamp;

use crate::model::Issuer;

/// What kind of thing was noticed. Fixed words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObservationKind {
    /// An answer of its token endpoint that fits nothing we know; the detail is its shape.
    OddAnswer,
    /// A refresh token that came twice was refused where its rule said that it would not be.
    ReplayRefused,
    /// An access token got a 401 long before the end that was believed; the detail is its connection, a space, and how old it
    /// was, in seconds.
    EndedEarly,
    /// A refresh that named no scope brought a refresh token and no access token: later ones name the granted scope.
    AccessTokenOmitted,
    /// It told our client that a living refresh token lives (RFC 7662): what it says of one that does not counts too.
    Introspects,
}

impl ObservationKind {
    const ALL: [Self; 5] = [
        Self::OddAnswer,
        Self::ReplayRefused,
        Self::EndedEarly,
        Self::AccessTokenOmitted,
        Self::Introspects,
    ];

    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OddAnswer => "odd_answer",
            Self::ReplayRefused => "replay_refused",
            Self::EndedEarly => "ended_early",
            Self::AccessTokenOmitted => "access_token_omitted",
            Self::Introspects => "introspects",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderObservation {
    /// Of which provider.
    pub issuer: Issuer,
    /// What.
    pub kind: ObservationKind,
    /// What exactly; empty where the kind says it all. No secrets.
    pub detail: String,
}

/// How often it was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What.
    pub observation: ProviderObservation,
    /// How often.
    pub times: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// So many things of one kind are kept of one provider, those that were noticed last; of what is counted for each connection
/// by itself so many of one connection, for others' must not push out what is being learned of it.
const MOST: usize = 16;
/// So many things of such a kind are kept of one provider in all: each refresh there reads them.
const MOST_OF_ALL: usize = 128;

impl ProviderObservation {
    /// Counts this once more, given all that is kept of its provider. Returns what is kept of it from now on, and what has to
    /// go for it.
    pub fn counted(&self, known: &[Observation], at: Timestamp) -> (Observation, Vec<Self>) {
        let before = known.iter().find(|known| known.observation == *self);
        let counted = Observation {
            observation: self.clone(),
            times: before.map_or(0, |before| before.times) + 1,
            first: before.map_or(at, |before| before.first),
            last: at,
        };
        let of_kind = |other: &&Observation| {
            let other = &other.observation;
            (&other.issuer, other.kind) == (&self.issuer, self.kind) && other != self
        };
        let mut others: Vec<&Observation> = known.iter().filter(of_kind).collect();
        others.sort_by_key(|observed| std::cmp::Reverse(observed.last));
        (counted, self.too_many(others))
    }

    /// Which of the others, the newest first, have to go for this one.
    fn too_many(&self, others: Vec<&Observation>) -> Vec<Self> {
        let (mut of_mine, mut of_all) = (1, 1);
        let (mine, most) = match self.connection() {
            Some(mine) => (Some(mine), MOST_OF_ALL),
            None => (None, MOST),
        };
        let goes = |other: &&Observation| {
            let of_it = mine.is_some() && other.observation.connection() == mine;
            if of_all == most || (of_it && of_mine == MOST) {
                return true;
            }
            of_all += 1;
            of_mine += usize::from(of_it);
            false
        };
        let gone = others.into_iter().filter(goes);
        gone.map(|other| other.observation.clone()).collect()
    }

    /// Of what is counted for each connection by itself: whose it is.
    fn connection(&self) -> Option<&str> {
        match self.kind {
            ObservationKind::EndedEarly => self.detail.split(' ').next(),
            ObservationKind::OddAnswer
            | ObservationKind::ReplayRefused
            | ObservationKind::AccessTokenOmitted
            | ObservationKind::Introspects => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_word() {
        let words = ObservationKind::ALL.map(ObservationKind::as_str);
        let expected = [
            "odd_answer",
            "replay_refused",
            "ended_early",
            "access_token_omitted",
            "introspects",
        ];
        assert_eq!(words, expected);
        for kind in ObservationKind::ALL {
            assert_eq!(ObservationKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ObservationKind::parse("other"), None);
    }
}
