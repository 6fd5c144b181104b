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
