//! The record of an incident: the same object on stderr, in the audit, in the hook and in `--json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of an incident. Fixed words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A person must sign in again.
    ReauthorizationRequired,
    /// A call was refused with a fresh token, or authority ended in another way.
    AuthorityLost,
    /// A refresh was sent and its answer lost; whether the provider acted is not known.
    Uncertain,
    /// An API key should be replaced soon; it is good until then.
    RotationDue,
    /// A new API key was refused, and the one before it serves.
    RotationFailed,
    /// The provider grants less, or otherwise, than at the sign-in; calls go on.
    AuthorityNarrowed,
    /// Nothing is wrong: a test of the notification channels.
    Test,
    /// A call was refused for lack of a scope; other calls go on.
    ScopeRequired,
    /// Every token request at a provider has failed for some time.
    ProviderFailing,
    /// The provider's token endpoint is not where it was.
    TokenEndpointMoved,
}

impl Event {
    /// The fixed word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReauthorizationRequired => "reauthorization_required",
            Self::AuthorityLost => "authority_lost",
            Self::Uncertain => "uncertain",
            Self::RotationDue => "rotation_due",
            Self::RotationFailed => "rotation_failed",
            Self::AuthorityNarrowed => "authority_narrowed",
            Self::Test => "test",
            Self::ScopeRequired => "scope_required",
            Self::ProviderFailing => "provider_failing",
            Self::TokenEndpointMoved => "token_endpoint_moved",
        }
    }
}

/// One incident, as one JSON line. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What kind.
    pub event: Event,
    /// Which connection.
    pub connection: String,
    /// On whose authority.
    pub principal: String,
    /// In which run, if in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why: a fixed word.
    pub reason: String,
    /// Why: a sentence for a person.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// When the access token in use ends, if one is still good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The scopes that a call was refused for lack of, and that a sign-in is to bring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What a person does about it.
    pub action: String,
    /// Where, if there is a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Ties the record to what the log says of the same attempt.
    pub trace_id: String,
    /// When the record was made.
    pub ts: Timestamp,
}

impl Record {
    /// The reason of a refusal of our client: every connection that uses it has such an incident.
    pub const CLIENT_REFUSED: &'static str = "client_refused";

    /// Whether it tells that the provider refuses our client.
    pub fn is_client_refused(&self) -> bool {
        self.event == Event::AuthorityLost && self.reason == Self::CLIENT_REFUSED
    }
}

/// An incident as it is kept: once for each connection, lineage, event and reason, until it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Which.
    pub id: super::IncidentId,
    /// What is told of it.
    pub record: Record,
    /// Whether the owner was told.
    pub notified: bool,
}

/// Calls that were carried in a task over one connection, failed for one reason, and have not succeeded since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// Over which connection.
    pub connection: super::ConnectionName,
    /// How often.
    pub times: u64,
    /// When first.
    pub first: Timestamp,
    /// Why: the fixed word.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_fixed_and_the_same_in_json() {
        for (event, word) in [
            (Event::ReauthorizationRequired, "reauthorization_required"),
            (Event::AuthorityLost, "authority_lost"),
            (Event::Uncertain, "uncertain"),
            (Event::RotationDue, "rotation_due"),
            (Event::RotationFailed, "rotation_failed"),
            (Event::Test, "test"),
            (Event::ScopeRequired, "scope_required"),
            (Event::ProviderFailing, "provider_failing"),
            (Event::TokenEndpointMoved, "token_endpoint_moved"),
        ] {
            assert_eq!(event.as_str(), word);
            assert_eq!(serde_json::to_value(event).unwrap(), word);
        }
    }
}
