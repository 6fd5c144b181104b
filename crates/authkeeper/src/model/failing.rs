//! What fails in a row: token requests, refusals of a client, sign-ins that nobody finished. It is kept in the store, so that
//! every process knows of it before it sends the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AttemptId, ClientId, Event, GrantId, IncidentId, Issuer, Lineage, Moment};

/// What fails, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailingOf {
    /// The token requests of one client of ours at one issuer, whatever the grant.
    Client(Issuer, ClientId),
    /// The token requests of one grant.
    Grant(GrantId),
    /// The refusals of one client of ours, with what the provider said, until it is accepted again.
    Refusals(Issuer, ClientId),
    /// The sign-ins with one client of ours that nobody finished, until one is.
    SignIns(Issuer, ClientId),
}

/// What the last failure was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Said {
    /// The provider could not be asked, or wants to be asked later.
    Unavailable(String),
    /// Nothing answered at the token endpoint. Once that may be a proxy's doing.
    Gone(String),
    /// The token endpoint has moved, and the issuer names no other.
    Moved(String),
    /// What we asked for was refused.
    Refused {
        /// The error code.
        code: String,
        /// The provider's words for a person.
        description: Option<String>,
    },
}

impl Said {
    /// The provider's words.
    pub fn words(&self) -> &str {
        match self {
            Self::Unavailable(why) | Self::Gone(why) | Self::Moved(why) => why,
            Self::Refused { code, description } => description.as_deref().unwrap_or(code),
        }
    }
}

/// What failed in a row, until one of them does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The first of them.
    #[serde(with = "as_text")]
    pub since: Moment,
    /// How many failed.
    pub times: u32,
    /// How many of them surely did nothing at the provider.
    pub failures: u32,
    /// What the last one was.
    pub said: Said,
    /// Until when nothing is sent.
    pub rest: Option<Rest>,
    /// For a grant: the sign-in that it stems from. Another one starts afresh.
    pub lineage: Option<Lineage>,
    /// The incidents that tell of it.
    pub told: Vec<(Event, IncidentId)>,
}

/// A time in which nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Its start.
    #[serde(with = "as_text")]
    pub since: Moment,
    /// Its length.
    pub lasts: Duration,
    /// The one attempt that is let through to see whether the provider answers again: the others wait for its outcome.
    pub trial: Option<AttemptId>,
}

/// The longest rest that is believed, whatever a provider or a stored moment says.
pub const LONGEST_REST: Duration = Duration::from_hours(1);

impl Rest {
    /// How much of it is left. A leap of the wall clock changes nothing within a boot; between two boots a clock that
    /// went back ends it.
    pub fn left(&self, now: Moment) -> Duration {
        let gone = now.boot_since(self.since);
        let by_wall = || Duration::try_from(now.wall.duration_since(self.since.wall)).ok();
        let left = |gone| self.lasts.min(LONGEST_REST).saturating_sub(gone);
        gone.or_else(by_wall).map(left).unwrap_or_default()
    }
}

/// A moment as the store keeps it.
pub(super) mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::model::Moment;

    pub(in crate::model) fn serialize<S: Serializer>(
        moment: &Moment,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(moment)
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Moment, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{BootId, BootStamp};

    fn at(wall: i64, boot: u128, since: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(wall).unwrap(),
            boot: BootStamp {
                id: BootId(boot),
                since: Duration::from_secs(since),
            },
        }
    }

    fn rest(lasts: u64) -> Rest {
        Rest {
            since: at(1_000_000, 1, 100),
            lasts: Duration::from_secs(lasts),
            trial: None,
        }
    }

    #[test]
    fn no_leap_of_the_wall_clock_changes_a_rest_within_a_boot() {
        for wall in [5, 1_000_010, 9_000_000] {
            let left = rest(60).left(at(wall, 1, 110));
            assert_eq!(left, Duration::from_secs(50), "{wall}");
        }
        assert_eq!(rest(60).left(at(1_000_000, 1, 160)), Duration::ZERO);
    }

    #[test]
    fn after_a_boot_the_wall_clock_counts_and_one_that_went_back_ends_the_rest() {
        let left = |wall| rest(60).left(at(wall, 2, 5));
        assert_eq!(left(1_000_010), Duration::from_secs(50));
        assert_eq!(left(1_000_061), Duration::ZERO);
        assert_eq!(left(5), Duration::ZERO);
    }

    #[test]
    fn no_rest_is_believed_for_more_than_an_hour() {
        assert_eq!(rest(86_400).left(at(1_000_000, 1, 100)), LONGEST_REST);
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let failing = Failing {
            since: at(1_000_000, 1, 100),
            times: 3,
            failures: 2,
            said: Said::Unavailable("too many requests (429)".to_owned()),
            rest: Some(rest(60)),
            lineage: Some(Lineage(2)),
            told: vec![(Event::ProviderFailing, IncidentId::new("t"))],
        };
        let text = serde_json::to_string(&failing).unwrap();
        let read: Failing = serde_json::from_str(&text).unwrap();
        assert_eq!(read, failing);
    }
}
