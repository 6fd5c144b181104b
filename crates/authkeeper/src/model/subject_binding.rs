//! On whose account and for what tokens were issued, as far as they show it. Compared at every refresh: what a person
//! agreed to at the sign-in does not change by itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::text::hex::hex;

/// An account, as one kind of token names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who vouches for it (`iss`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// A hash of its name (`sub`): enough to see that it is another, and nobody's address.
    pub subject: String,
}

impl Account {
    /// The account of this name.
    pub fn new(issuer: Option<&str>, subject: &str) -> Self {
        let digest = Sha256::digest(format!("authkeeper account {subject}").as_bytes());
        let subject = hex(digest.get(..8).unwrap_or_default());
        Self {
            issuer: issuer.map(str::to_owned),
            subject,
        }
    }
}

/// What can be seen of a grant: on whose account it is, and for what. What was never shown is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectBinding {
    /// As the ID token says it (`OpenID` Connect Core 1.0 §12.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<Account>,
    /// As an access token says it that happens to be a JWT (RFC 9068 §2.2). A server may name an account otherwise here
    /// than in an ID token, so each is compared with its like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Account>,
    /// Whom such an access token is for (`aud`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub audience: BTreeSet<String>,
    /// What was granted, in single words.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scope: BTreeSet<String>,
    /// The key that its tokens are bound to, by its thumbprint (RFC 9449 §6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<String>,
}

/// A difference between what was granted and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drift {
    /// The tokens are of another account.
    OtherAccount,
    /// Less is granted than before.
    ScopeNarrowed {
        /// What is missing.
        without: Vec<String>,
    },
    /// The tokens are not for all of those any more that they were for.
    AudienceChanged,
    /// Somebody else vouches for the same account.
    IssuerChanged,
}

impl Drift {
    /// The fixed word kept in records.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::OtherAccount => "other_account",
            Self::ScopeNarrowed { .. } => "scope_narrowed",
            Self::AudienceChanged => "audience_changed",
            Self::IssuerChanged => "issuer_changed",
        }
    }

    /// One sentence for a person.
    pub fn sentence(&self) -> String {
        match self {
            Self::OtherAccount => {
                "a refresh brought tokens of another account than the one that signed in".to_owned()
            }
            Self::ScopeNarrowed { without } => format!(
                "the provider grants less than at the sign-in: without {}",
                without.join(" ")
            ),
            Self::AudienceChanged => {
                "the provider's tokens are not for the same audience any more".to_owned()
            }
            Self::IssuerChanged => {
                "the provider's tokens name another issuer than at the sign-in".to_owned()
            }
        }
    }
}

impl SubjectBinding {
    /// A scope in single words. `offline_access` asks for a refresh token, and hardly any server lists it again.
    pub fn words(scope: &str) -> BTreeSet<String> {
        let words = scope.split([' ', ',']);
        words
            .filter(|word| !word.is_empty() && *word != "offline_access")
            .map(str::to_owned)
            .collect()
    }

    /// How what came differs from this. What either side does not show is no difference.
    pub fn drifts(&self, came: &Self) -> Vec<Drift> {
        let accounts = [
            (&self.id_token, &came.id_token),
            (&self.access_token, &came.access_token),
        ];
        let both = accounts
            .into_iter()
            .filter_map(|(was, is)| Some((was.as_ref()?, is.as_ref()?)));
        let both: Vec<(&Account, &Account)> = both.collect();
        // The ID token comes first: what an access token calls the account may be a login that changes.
        let mut deciding = both.iter().take(1);
        let other = deciding.any(|(was, is)| was.subject != is.subject);
        let issuer = both.iter().any(|(was, is)| {
            was.issuer.is_some() && is.issuer.is_some() && was.issuer != is.issuer
        });
        let missing = |was: &BTreeSet<String>, is: &BTreeSet<String>| {
            let missing = was.difference(is).filter(|_| !is.is_empty());
            missing.cloned().collect::<Vec<String>>()
        };
        let without = missing(&self.scope, &came.scope);
        let audience = missing(&self.audience, &came.audience);
        [
            other.then_some(Drift::OtherAccount),
            (!without.is_empty()).then_some(Drift::ScopeNarrowed { without }),
            (!audience.is_empty()).then_some(Drift::AudienceChanged),
            (issuer && !other).then_some(Drift::IssuerChanged),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether nothing shows that the other is of another account.
    pub fn is_same_account(&self, other: &Self) -> bool {
        let differs = |drift: &Drift| matches!(drift, Drift::OtherAccount | Drift::IssuerChanged);
        !self.drifts(other).iter().any(differs)
    }

    /// This, with what was never shown before filled in from what came.
    #[must_use]
    pub fn learned(self, came: &Self) -> Self {
        fn first(was: BTreeSet<String>, is: &BTreeSet<String>) -> BTreeSet<String> {
            if was.is_empty() { is.clone() } else { was }
        }
        Self {
            id_token: self.id_token.or_else(|| came.id_token.clone()),
            access_token: self.access_token.or_else(|| came.access_token.clone()),
            audience: first(self.audience, &came.audience),
            scope: first(self.scope, &came.scope),
            bound_to: self.bound_to.or_else(|| came.bound_to.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_binding(id: &str, access: &str, audience: &str, scope: &str) -> SubjectBinding {
        let account = |text: &str| {
            let (issuer, subject) = text.split_once(' ')?;
            Some(Account::new(Some(issuer), subject))
        };
        SubjectBinding {
            id_token: account(id),
            access_token: account(access),
            audience: SubjectBinding::words(audience),
            scope: SubjectBinding::words(scope),
            bound_to: None,
        }
    }

    #[test]
    fn each_difference_has_its_word() {
        let was = subject_binding("https://a alice", "https://a 7", "x y", "read write");
        let rows = [
            (was.clone(), vec![]),
            (SubjectBinding::default(), vec![]),
            (
                subject_binding("https://a bob", "", "", ""),
                vec!["other_account"],
            ),
            (
                subject_binding("", "https://a 8", "", ""),
                vec!["other_account"],
            ),
            (
                subject_binding("https://b alice", "", "", ""),
                vec!["issuer_changed"],
            ),
            (
                subject_binding("https://b bob", "", "", ""),
                vec!["other_account"],
            ),
            (subject_binding("", "", "", "read"), vec!["scope_narrowed"]),
            (subject_binding("", "", "", "write,read,more"), vec![]),
            (subject_binding("", "", "y x z", ""), vec![]),
            (
                subject_binding("", "", "z", "more"),
                vec!["scope_narrowed", "audience_changed"],
            ),
        ];
        for (came, expected) in rows {
            let drifts = was.drifts(&came);
            let words: Vec<&str> = drifts.iter().map(Drift::as_str).collect();
            assert_eq!(words, expected, "{came:?}");
        }
        assert!(SubjectBinding::default().drifts(&was).is_empty());
    }

    #[test]
    fn an_id_token_and_an_access_token_may_name_an_account_differently() {
        let was = subject_binding("https://a alice", "", "", "");
        assert!(
            was.drifts(&subject_binding("", "https://a 7", "", ""))
                .is_empty()
        );
    }

    #[test]
    fn what_was_shown_first_stays_the_measure() {
        let was = subject_binding("", "https://a 7", "", "read write");
        let learned = was.learned(&subject_binding(
            "https://a alice",
            "https://a 8",
            "x",
            "read",
        ));
        assert_eq!(
            learned,
            subject_binding("https://a alice", "https://a 7", "x", "read write")
        );
    }

    #[test]
    fn what_is_missing_is_named_and_a_name_is_not_kept() {
        let was = subject_binding("https://a alice@example.org", "", "", "b a offline_access");
        let drifts = was.drifts(&subject_binding("", "", "", "a"));
        assert!(drifts[0].sentence().ends_with("without b"), "{drifts:?}");
        let kept = serde_json::to_string(&was).unwrap();
        assert!(!kept.contains("alice"), "{kept}");
        assert_eq!(serde_json::from_str::<SubjectBinding>(&kept).unwrap(), was);
    }
}
