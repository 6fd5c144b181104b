//! What a lost answer means for calls: whether the provider is asked again before the access token ends.

use crate::output::span;

/// How the next question and the end of the token lie. All times are seconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The provider is asked again after this time, and the token lives until then.
    Covered { left: u64, wait: u64 },
    /// The provider is asked again late in the life of the token, and before its end.
    Late { left: u64 },
    /// The token ends before the provider is asked again: calls fail in between.
    Gap { left: u64, wait: u64 },
    /// The token has ended; the provider is asked again after this time, if it is known.
    Ended { wait: Option<u64> },
}

impl Outlook {
    pub(super) fn of(left: u64, wait: Option<u64>) -> Self {
        match wait {
            wait if left == 0 => Self::Ended { wait },
            None => Self::Late { left },
            Some(wait) if wait < left => Self::Covered { left, wait },
            Some(wait) => Self::Gap { left, wait },
        }
    }

    /// What it means for calls.
    pub(super) fn meaning(self) -> String {
        match self {
            Self::Covered { left, .. } | Self::Late { left } => format!(
                "Calls still work: the token is good for {}, and whether the provider acted is found out before that.",
                span(left)
            ),
            Self::Gap { left, wait } => format!(
                "Calls still work for {}; then they fail until the provider is asked again, {} from now.",
                span(left),
                span(wait)
            ),
            Self::Ended { .. } => {
                "No token is left: calls fail until the provider has been asked again.".to_owned()
            }
        }
    }

    /// That nobody needs to do anything yet, and what comes next.
    pub(super) fn next(self) -> String {
        let next = match self {
            Self::Covered { wait: 0, .. } | Self::Ended { wait: Some(0) } => {
                "the provider is asked again at the next call".to_owned()
            }
            Self::Covered { wait, .. } => {
                format!("the provider is asked again in {}", span(wait))
            }
            Self::Late { .. } => "the provider is asked again late in the token's life".to_owned(),
            Self::Gap { left, wait } => format!(
                "the token ends in {}, and calls fail from then until the provider is asked again in {}",
                span(left),
                span(wait)
            ),
            Self::Ended { wait: Some(wait) } => {
                format!(
                    "calls fail until the provider is asked again in {}",
                    span(wait)
                )
            }
            Self::Ended { wait: None } => {
                "calls fail until the provider is asked again, at the next call".to_owned()
            }
        };
        format!("nobody needs to do anything yet: {next}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sentence_promises_what_comes_after_the_end_of_the_token() {
        let covered = |left, wait| Outlook::Covered { left, wait };
        let gap = |left, wait| Outlook::Gap { left, wait };
        for (left, wait, outlook, meaning, next) in [
            (
                600,
                Some(89),
                covered(600, 89),
                "before that",
                "asked again in 89 s",
            ),
            (
                600,
                Some(0),
                covered(600, 0),
                "before that",
                "at the next call",
            ),
            (
                90,
                Some(89),
                covered(90, 89),
                "before that",
                "asked again in 89 s",
            ),
            (
                4,
                Some(89),
                gap(4, 89),
                "Calls still work for 4 s; then they fail",
                "the token ends in 4 s, and calls fail from then",
            ),
            (
                89,
                Some(89),
                gap(89, 89),
                "then they fail",
                "calls fail from then",
            ),
            (
                600,
                None,
                Outlook::Late { left: 600 },
                "before that",
                "late in the token's life",
            ),
            (
                0,
                Some(30),
                Outlook::Ended { wait: Some(30) },
                "No token is left",
                "calls fail until the provider is asked again in 30 s",
            ),
            (
                0,
                Some(0),
                Outlook::Ended { wait: Some(0) },
                "No token is left",
                "at the next call",
            ),
            (
                0,
                None,
                Outlook::Ended { wait: None },
                "No token is left",
                "calls fail until",
            ),
        ] {
            let found = Outlook::of(left, wait);
            assert_eq!(found, outlook);
            assert!(found.meaning().contains(meaning), "{}", found.meaning());
            assert!(found.next().contains(next), "{}", found.next());
            let after_the_end = wait.is_some_and(|wait| wait >= left);
            let promised = found.meaning().contains("before that");
            assert!(!(after_the_end && promised), "{left} {wait:?}");
        }
    }
}
