//! Why a token lives shorter than its caller asked for.

use std::fmt;
use std::time::Duration;

use super::serve::{Freshness, GrantView, young};
use crate::model::{GrantLifecycle, Moment};

/// Why a token lives shorter than its caller asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortfall {
    /// Its grant is over: no newer token comes before a person signs in again.
    GrantOver,
    /// Nothing refreshes it.
    NoRefresh,
    /// The provider gives no token that lives that long.
    NeverSoLong {
        /// So long at most.
        longest: Duration,
    },
    /// It was issued a moment ago: a new one would live hardly longer.
    JustIssued,
    /// The refresh that was to bring a new one did not.
    RefreshFailed {
        /// In the words of the error.
        why: String,
    },
}

impl Shortfall {
    /// The fixed word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::GrantOver => "grant_over",
            Self::NoRefresh => "no_refresh",
            Self::NeverSoLong { .. } => "never_so_long",
            Self::JustIssued => "just_issued",
            Self::RefreshFailed { .. } => "refresh_failed",
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GrantOver => f.write_str(
                "its grant is over, and no newer token comes before a person signs in again",
            ),
            Self::NoRefresh => {
                f.write_str("nothing refreshes it: a newer token needs a person who signs in again")
            }
            Self::NeverSoLong { longest } => {
                write!(
                    f,
                    "the provider gives no token for more than {} s",
                    longest.as_secs()
                )
            }
            Self::JustIssued => {
                f.write_str("it was issued a moment ago, and a new one would live hardly longer")
            }
            Self::RefreshFailed { why } => write!(f, "it could not be refreshed: {why}"),
        }
    }
}

/// Why the token that is handed out lives shorter than was asked for; none if it does not. A refresh that was tried for it and
/// failed is known to the caller alone.
pub fn shortfall(grant_view: GrantView<'_>, ask: Freshness, now: Moment) -> Option<Shortfall> {
    let (wanted, token) = (ask.min_ttl?, grant_view.access?);
    if token.left(now) >= wanted {
        return None;
    }
    let longest = token.usable_lifetime();
    Some(match grant_view.lifecycle {
        GrantLifecycle::Active if !grant_view.refreshable => Shortfall::NoRefresh,
        GrantLifecycle::Active if wanted > longest => Shortfall::NeverSoLong { longest },
        GrantLifecycle::Active if token.age(now) < young(token) => Shortfall::JustIssued,
        GrantLifecycle::Active => Shortfall::RefreshFailed {
            why: "no newer token came".to_owned(),
        },
        _ => Shortfall::GrantOver,
    })
}
