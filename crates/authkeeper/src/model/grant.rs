//! A grant: what the resource owner gave our client, one refresh-token family.

use jiff::{SignedDuration, Timestamp};

use super::{
    AccessToken, Claim, ClientId, Generation, GrantId, GrantMaterial, GrantType, Issuer, Lineage,
    RefreshToken, Renewal, SubjectBinding,
};
use crate::secret::SecretString;

/// One refresh-token family. Lineage, generation, lifecycle and claim are four things, never one state word.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which grant.
    pub id: GrantId,
    /// Who issued it.
    pub issuer: Issuer,
    /// The client it was issued to: a refresh token is spent by this client or by none.
    pub client_id: ClientId,
    /// How it was given, and so how it is renewed.
    pub grant_type: GrantType,
    /// Changed only by a sign-in.
    pub lineage: Lineage,
    /// Raised by one with each accepted refresh and each sign-in, never restarted.
    pub generation: Generation,
    /// Whether it may be used.
    pub lifecycle: GrantLifecycle,
    /// Who is spending its current generation.
    pub claim: Option<Claim>,
    /// The current refresh token, if the provider gave one.
    pub refresh: Option<RefreshToken>,
    /// The current access token.
    pub access: Option<AccessToken>,
    /// API keys: the key before this one, good until its overlap ends.
    pub standby: Option<StandbyKey>,
    /// When a person should replace what never ends by itself.
    pub rotate_by: Option<Timestamp>,
    /// When a refused refresh token was last tried again.
    pub probed: Option<Timestamp>,
    /// On whose account and for what it is, as far as its tokens showed it.
    pub subject_binding: SubjectBinding,
    /// What it needs beside its tokens.
    pub grant_material: GrantMaterial,
}

impl Grant {
    /// Whether new tokens can be had without a person.
    pub fn is_refreshable(&self) -> bool {
        match self.grant_type.renewal() {
            Renewal::RefreshToken => self.refresh.is_some(),
            Renewal::ClientItself | Renewal::AssertionFile | Renewal::IdentityProvider => true,
            Renewal::ByHand => false,
        }
    }

    /// Whether its tokens are good only with a proof of a key of ours (RFC 9449).
    pub fn is_bound(&self) -> bool {
        self.subject_binding.bound_to.is_some() || self.grant_material.proof_key.is_some()
    }

    /// Whether each request issues new tokens and uses nothing up.
    pub fn is_issued_again(&self) -> bool {
        self.grant_type.is_issued_again() && self.refresh.is_none()
    }
}

/// The API key that was replaced last. It serves again if its successor is refused before the overlap ends.
#[derive(Clone, Debug)]
pub struct StandbyKey {
    /// The key itself.
    pub secret: SecretString,
    /// Which generation it was.
    pub generation: Generation,
    /// Until when it may be used.
    pub until: Timestamp,
    /// When it was refused itself, if it is the new key that gave way: it may not have been known everywhere yet.
    pub refused: Option<Timestamp>,
}

/// How long a key that was refused is left alone before it is tried again.
const KEY_REST: SignedDuration = SignedDuration::from_mins(10);

impl StandbyKey {
    /// Whether it may take over from a key that is refused now.
    pub fn may_serve(&self, now: Timestamp) -> bool {
        let rested = |refused: Timestamp| now.duration_since(refused) >= KEY_REST;
        now < self.until && self.refused.is_none_or(rested)
    }
}

/// Whether a grant may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantLifecycle {
    /// Refresh it, hand out its tokens.
    Active,
    /// A person must sign in again.
    ReauthorizationRequired {
        /// Why.
        reason: ReauthorizeReason,
        /// Since when.
        since: Timestamp,
    },
    /// Authority is withdrawn for now; the tokens may be good, they are not handed out.
    Suspended {
        /// Why.
        reason: SuspendReason,
        /// Since when.
        since: Timestamp,
    },
    /// Disconnected. Never active again; a late answer is revoked, not adopted.
    Revoked {
        /// Since when.
        since: Timestamp,
    },
}

impl GrantLifecycle {
    /// The fixed word stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ReauthorizationRequired { .. } => "reauthorization_required",
            Self::Suspended { .. } => "suspended",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// Why a person must sign in again. Fixed words: they stand in records, audit and `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReauthorizeReason {
    /// The token endpoint said clearly that the refresh token is not good (`invalid_grant`).
    RefreshRefused,
    /// An answer was lost, and resending as the provider's rule allows was refused, or brought no answer for a day.
    UnknownOutcome,
    /// The access token ended and the provider never gave a refresh token.
    NoRefreshToken,
    /// The stored secret of this grant cannot be read any more (a damaged or repaired store).
    SecretLost,
    /// The refresh token was refused after the end that the provider had set for it.
    RefreshExpired,
    /// The API key was refused.
    KeyRefused,
    /// The token endpoint refused three times in a row and never said why.
    RefusedWithoutCode,
    /// The token endpoint has refused for hours, in words of its own that stayed the same.
    RefusedRepeatedly,
    /// The token endpoint answered with tokens that nobody can read, and a resend could only do harm.
    AnswerUnread,
    /// The resource takes tokens of another authorization server now.
    AuthorizationServerChanged,
}

impl ReauthorizeReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::RefreshRefused,
        Self::UnknownOutcome,
        Self::NoRefreshToken,
        Self::SecretLost,
        Self::RefreshExpired,
        Self::KeyRefused,
        Self::RefusedWithoutCode,
        Self::RefusedRepeatedly,
        Self::AnswerUnread,
        Self::AuthorizationServerChanged,
    ];

    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RefreshRefused => "refresh_refused",
            Self::UnknownOutcome => "unknown_outcome",
            Self::NoRefreshToken => "no_refresh_token",
            Self::SecretLost => "secret_lost",
            Self::RefreshExpired => "refresh_expired",
            Self::KeyRefused => "key_refused",
            Self::RefusedWithoutCode => "refused_without_code",
            Self::RefusedRepeatedly => "refused_repeatedly",
            Self::AnswerUnread => "answer_unread",
            Self::AuthorizationServerChanged => "authorization_server_changed",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::RefreshRefused => {
                "the provider refused the refresh token (expired, revoked or used elsewhere; it does not say which)"
            }
            Self::UnknownOutcome => {
                "an answer of the provider was lost, and resending the refresh token was refused or went unanswered for a day"
            }
            Self::NoRefreshToken => "the access token ended and the provider gave no refresh token",
            Self::SecretLost => "the stored refresh token can't be read any more",
            Self::RefreshExpired => {
                "the refresh token reached the end that the provider had set for it"
            }
            Self::KeyRefused => "the server refused the API key",
            Self::RefusedWithoutCode => {
                "the provider refused the refresh token three times in a row without saying why: the grant may be over, or \
                 the client's secret wrong"
            }
            Self::RefusedRepeatedly => {
                "the provider has refused the refresh for hours, always in the same words"
            }
            Self::AnswerUnread => {
                "the provider answered with tokens in a form that authkeeper can't read; the answer is kept, and the refresh token is spent"
            }
            Self::AuthorizationServerChanged => {
                "the server refuses the token, and names another authorization server than the one that issued it"
            }
        }
    }
}

/// Why a grant is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuspendReason {
    /// A person suspended the principal.
    Manual,
    /// It was imported, and nobody has confirmed yet that the other copy is not used any more.
    SecondCopy,
    /// A refresh brought tokens of another account.
    OtherAccount,
    /// A refresh brought tokens that can't be presented (RFC 6749 §7.1).
    TokenType,
}

impl SuspendReason {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Manual,
        Self::SecondCopy,
        Self::OtherAccount,
        Self::TokenType,
    ];

    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::SecondCopy => "second_copy",
            Self::OtherAccount => "other_account",
            Self::TokenType => "token_type",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Manual => "a person suspended it",
            Self::SecondCopy => {
                "it was imported, and nobody has confirmed that the other copy of its refresh token is retired"
            }
            Self::OtherAccount => {
                "a refresh brought tokens of another account than the one that signed in"
            }
            Self::TokenType => {
                "the provider's tokens are of a type that authkeeper can't present to a server"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_fixed() {
        let reasons = [
            "refresh_refused",
            "unknown_outcome",
            "no_refresh_token",
            "secret_lost",
            "refresh_expired",
            "key_refused",
            "refused_without_code",
            "refused_repeatedly",
            "answer_unread",
            "authorization_server_changed",
        ];
        let all = ReauthorizeReason::ALL;
        assert_eq!(all.map(ReauthorizeReason::as_str), reasons);
        assert_eq!(reasons.map(ReauthorizeReason::parse), all.map(Some));
        let both = [SuspendReason::Manual, SuspendReason::SecondCopy];
        let words = ["manual", "second_copy"];
        assert_eq!(both.map(SuspendReason::as_str), words);
        assert_eq!(words.map(SuspendReason::parse), both.map(Some));
        assert_eq!(ReauthorizeReason::parse("tired"), None);
        assert_eq!(SuspendReason::parse("tired"), None);
    }

    #[test]
    fn a_lifecycle_has_a_word() {
        let (since, reason) = (Timestamp::UNIX_EPOCH, ReauthorizeReason::KeyRefused);
        let suspended = GrantLifecycle::Suspended {
            reason: SuspendReason::Manual,
            since,
        };
        let words = [
            (GrantLifecycle::Active, "active"),
            (
                GrantLifecycle::ReauthorizationRequired { reason, since },
                "reauthorization_required",
            ),
            (suspended, "suspended"),
            (GrantLifecycle::Revoked { since }, "revoked"),
        ];
        for (lifecycle, word) in words {
            assert_eq!(lifecycle.as_str(), word);
        }
    }

    #[test]
    fn every_reason_has_a_sentence_of_its_own() {
        let reasons = ReauthorizeReason::ALL.map(ReauthorizeReason::sentence);
        let suspended = [SuspendReason::Manual, SuspendReason::SecondCopy];
        let all = reasons
            .into_iter()
            .chain(suspended.map(SuspendReason::sentence));
        let sentences: std::collections::BTreeSet<&str> = all.collect();
        assert_eq!(sentences.len(), 12);
        assert!(sentences.iter().all(|sentence| sentence.contains(' ')));
    }

    #[test]
    fn a_key_that_was_refused_rests_ten_minutes_and_ends_with_its_overlap() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let key = |refused| StandbyKey {
            secret: "k".to_owned().into(),
            generation: Generation(1),
            until: at(10_000),
            refused,
        };
        assert!(key(None).may_serve(at(9_999)));
        assert!(!key(None).may_serve(at(10_000)));
        assert!(!key(Some(at(100))).may_serve(at(699)));
        assert!(key(Some(at(100))).may_serve(at(700)));
        assert!(!key(Some(at(100))).may_serve(at(10_000)));
    }

    #[test]
    fn what_needs_no_person_is_refreshable() {
        let grant = |grant_type, refresh: Option<&str>| Grant {
            id: GrantId::new("g"),
            issuer: Issuer::new("https://as.example"),
            client_id: ClientId::new("c"),
            grant_type,
            lineage: Lineage(1),
            generation: Generation(1),
            lifecycle: GrantLifecycle::Active,
            claim: None,
            refresh: refresh.map(|text| RefreshToken {
                secret: text.to_owned().into(),
                expires_at: None,
            }),
            access: None,
            standby: None,
            rotate_by: None,
            probed: None,
            subject_binding: SubjectBinding::default(),
            grant_material: GrantMaterial::default(),
        };
        for (kind, without, with) in [
            (GrantType::AuthorizationCode, false, true),
            (GrantType::DeviceCode, false, true),
            (GrantType::ClientCredentials, true, true),
            (GrantType::ApiKey, false, false),
            (GrantType::JwtBearer, true, true),
            (GrantType::IdJag, true, true),
        ] {
            assert_eq!(grant(kind, None).is_refreshable(), without, "{kind:?}");
            assert_eq!(grant(kind, Some("r")).is_refreshable(), with, "{kind:?}");
            assert!(!grant(kind, Some("r")).is_issued_again(), "{kind:?}");
            let own = without && kind != GrantType::ApiKey;
            assert_eq!(grant(kind, None).is_issued_again(), own, "{kind:?}");
        }
    }
}
