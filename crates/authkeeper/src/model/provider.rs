//! What is known of an authorization server and of our client there.

use std::{fmt, time::Duration};

use super::{ClientId, Issuer};
use crate::secret::SecretString;

/// The parts of RFC 8414 metadata that we act on, exactly as the server spelled them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServerMetadata {
    /// The issuer identifier, identical to the one the metadata was fetched for (RFC 8414 §3.3).
    pub issuer: String,
    /// Where a person signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where codes and refresh tokens are exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// RFC 7591.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// RFC 7009.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// RFC 7662.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// PKCE methods (RFC 7636).
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// How clients may authenticate at the token endpoint.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Scopes the server lists.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// RFC 9207: whether the redirect carries `iss`.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a client metadata document's URL serves as `client_id`.
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
}

/// A third-party authorization server: its metadata and its habits.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Who it is.
    pub issuer: Issuer,
    /// What it says of itself.
    pub metadata: ServerMetadata,
}

/// What a provider does when the same refresh token comes twice. Decides when a lost answer may be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReplayRule {
    /// A replay is answered again and hurts nothing.
    Harmless,
    /// A replay is answered again within this time of the first use.
    Grace(Duration),
    /// The previous token stays good until its successor is used.
    TwoGenerations,
    /// A replay kills the whole grant, the living access token included.
    Strict,
    /// Not known.
    #[default]
    Unknown,
}

/// A replay rule that is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "replay rule {0:?} is not known; use \"harmless\", \"grace 30s\", \"two-generations\", \"strict\" or \"unknown\""
)]
pub struct InvalidReplayRule(String);

impl ReplayRule {
    /// Reads the words used in the configuration.
    pub fn parse(text: &str) -> Result<Self, InvalidReplayRule> {
        match text {
            "harmless" => Ok(Self::Harmless),
            "two-generations" => Ok(Self::TwoGenerations),
            "strict" => Ok(Self::Strict),
            "unknown" => Ok(Self::Unknown),
            _ => text
                .strip_prefix("grace ")
                .and_then(|rest| rest.strip_suffix('s'))
                .and_then(|seconds| seconds.parse().ok())
                .map(|seconds| Self::Grace(Duration::from_secs(seconds)))
                .ok_or_else(|| InvalidReplayRule(text.to_owned())),
        }
    }
}

impl fmt::Display for ReplayRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harmless => f.write_str("harmless"),
            Self::Grace(window) => write!(f, "grace {}s", window.as_secs()),
            Self::TwoGenerations => f.write_str("two-generations"),
            Self::Strict => f.write_str("strict"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// How our client proves who it is at the token endpoint (RFC 6749 §2.3, RFC 7591 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuthMethod {
    /// A public client: `client_id` alone.
    None,
    /// HTTP Basic.
    Basic,
    /// In the form body.
    Post,
}

impl ClientAuthMethod {
    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// Reads the registered name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Basic, Self::Post]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

/// How a client came to be known at an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistrationSource {
    /// Given by the person.
    Given,
    /// A client metadata document.
    MetadataDocument,
    /// RFC 7591.
    Dynamic,
}

impl RegistrationSource {
    /// The fixed word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::MetadataDocument => "metadata_document",
            Self::Dynamic => "dynamic",
        }
    }

    /// Reads the fixed word back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Given, Self::MetadataDocument, Self::Dynamic]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// Our client at one issuer. Never used at another.
#[derive(Clone, Debug)]
pub struct ClientRegistration {
    /// Where it is registered.
    pub issuer: Issuer,
    /// Under which id.
    pub client_id: ClientId,
    /// Its secret, if it has one.
    pub client_secret: Option<SecretString>,
    /// How it authenticates.
    pub auth_method: ClientAuthMethod,
    /// The redirect URIs it registered; empty when we were not told.
    pub redirect_uris: Vec<String>,
    /// How it came to be.
    pub source: RegistrationSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replay_rules_read_back_what_they_print() {
        let rules = [
            "harmless",
            "grace 30s",
            "two-generations",
            "strict",
            "unknown",
        ];
        for text in rules {
            assert_eq!(ReplayRule::parse(text).unwrap().to_string(), text);
        }
        assert!(ReplayRule::parse("grace soon").is_err());
    }
}
