//! What is known of an authorization server and of our client there.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::Timestamp;

use super::{ClientId, GrantType, Issuer, Scope};
use crate::secret::SecretString;

/// The parts of RFC 8414 metadata that we act on, exactly as the server spelled them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the RFCs have as many")]
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
    /// RFC 8628 §4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    /// RFC 9126 §5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// RFC 9126 §5: whether it takes authorization requests in no other way.
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// PKCE methods (RFC 7636).
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// How clients may authenticate at the token endpoint.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// How clients may authenticate at the revocation endpoint; where it does not say, as at the token endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// Scopes the server lists.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// The algorithms that tokens may be bound with (RFC 9449 §5.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// RFC 9207: whether the redirect carries `iss`.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a client metadata document's URL serves as `client_id`.
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// Where clients go that show a certificate (RFC 8705 §5).
    #[serde(default, skip_serializing_if = "MtlsAliases::is_none")]
    pub mtls_endpoint_aliases: Box<MtlsAliases>,
    /// Whether it binds access tokens to the client's certificate (RFC 8705 §3.3).
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// What the catalogue knows beside this; no server says it of itself.
    #[serde(default, skip_serializing_if = "Quirks::is_none")]
    pub quirks: Quirks,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks this way")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The endpoints that ask for a client certificate, where they are other ones than usual (RFC 8705 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MtlsAliases {
    /// In the place of `token_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// In the place of `registration_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// In the place of `revocation_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// In the place of `introspection_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// In the place of `device_authorization_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    /// In the place of `pushed_authorization_request_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
}

impl MtlsAliases {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl ServerMetadata {
    /// The endpoints for a connection, which has a client certificate or none. RFC 8705 §5: with one the aliases go before
    /// the usual endpoints. An alias without TLS could ask for no certificate and is passed over.
    pub fn for_client(&self, has_certificate: bool) -> Cow<'_, Self> {
        if !has_certificate || self.mtls_endpoint_aliases.is_none() {
            return Cow::Borrowed(self);
        }
        let mut own = self.clone();
        let aliases = &self.mtls_endpoint_aliases;
        let pairs = [
            (&mut own.token_endpoint, &aliases.token_endpoint),
            (
                &mut own.registration_endpoint,
                &aliases.registration_endpoint,
            ),
            (&mut own.revocation_endpoint, &aliases.revocation_endpoint),
            (
                &mut own.introspection_endpoint,
                &aliases.introspection_endpoint,
            ),
            (
                &mut own.device_authorization_endpoint,
                &aliases.device_authorization_endpoint,
            ),
            (
                &mut own.pushed_authorization_request_endpoint,
                &aliases.pushed_authorization_request_endpoint,
            ),
        ];
        for (usual, alias) in pairs {
            if let Some(alias) = alias.as_ref().filter(|alias| alias.starts_with("https://")) {
                *usual = Some(alias.clone());
            }
        }
        Cow::Owned(own)
    }
}

/// How a provider's token endpoint differs from RFC 6749.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quirks {
    /// Where refresh tokens are exchanged, if not at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_endpoint: Option<String>,
    /// Whether it wants JSON in the place of a form.
    #[serde(default)]
    pub json: bool,
    /// Headers it insists on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// What stands between two scopes in the authorization request, if not a space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_separator: Option<String>,
    /// Form fields that every refresh carries beside those of RFC 6749 §6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refresh_parameters: Vec<(String, String)>,
    /// Form fields that every exchange of a code carries beside those of RFC 6749 §4.1.3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchange_parameters: Vec<(String, String)>,
}

impl Quirks {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
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
    /// A replay is refused and harms nothing else: the successor and the access tokens live on.
    Refused,
    /// A replay kills the whole grant, the living access token included.
    Strict,
    /// Not known.
    #[default]
    Unknown,
}

/// A replay rule that is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "replay rule {0:?} is not known; use \"harmless\", \"grace 30s\", \"two-generations\", \"refused\", \"strict\" or \"unknown\""
)]
pub struct InvalidReplayRule(String);

impl ReplayRule {
    /// Whether a replay, in its time, may harm what is good.
    pub fn may_harm(self) -> bool {
        matches!(self, Self::Strict | Self::Unknown)
    }

    /// Reads the words used in the configuration.
    pub fn parse(text: &str) -> Result<Self, InvalidReplayRule> {
        match text {
            "harmless" => Ok(Self::Harmless),
            "two-generations" => Ok(Self::TwoGenerations),
            "refused" => Ok(Self::Refused),
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
            Self::Refused => f.write_str("refused"),
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
    /// A signed assertion (RFC 7523 §2.2): the private key never leaves this machine.
    PrivateKeyJwt,
    /// The client certificate of an authority that the server trusts (RFC 8705 §2.1).
    TlsClientAuth,
    /// A client certificate that was registered itself (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
}

impl ClientAuthMethod {
    const ALL: [Self; 6] = [
        Self::None,
        Self::Basic,
        Self::Post,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
    ];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Reads the registered name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// Whether it shows a client secret.
    pub fn shows_a_secret(self) -> bool {
        matches!(self, Self::Basic | Self::Post)
    }

    /// Whether the client certificate of the connection proves it (RFC 8705 §2): the request itself names the client alone.
    pub fn shows_a_certificate(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
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

/// A client's secret and what became of it.
#[derive(Clone, Debug)]
pub struct ClientSecret {
    /// Which row of the store it is; none before it is kept. It stays with the secret, whatever is put in front of it.
    pub id: Option<u64>,
    /// The secret itself.
    pub secret: SecretString,
    /// When the provider last refused it.
    pub refused: Option<Timestamp>,
    /// When the provider said that it ends (RFC 7591 §3.2.1, `client_secret_expires_at`).
    pub expires_at: Option<Timestamp>,
}

impl ClientSecret {
    /// Whether it is the same secret.
    pub fn is_same_as(&self, other: &Self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
        let same = self.secret.expose() == other.secret.expose();
        same
    }

    /// A secret that nothing is known of yet.
    pub fn new(secret: SecretString) -> Self {
        Self {
            id: None,
            secret,
            refused: None,
            expires_at: None,
        }
    }
}

/// Our client at one issuer. Never used at another.
#[derive(Clone, Debug)]
pub struct ClientRegistration {
    /// Where it is registered.
    pub issuer: Issuer,
    /// Under which id.
    pub client_id: ClientId,
    /// Its secrets, in the order in which they are tried: while a secret is replaced, two are good.
    pub secrets: Vec<ClientSecret>,
    /// The key that its assertions are signed with.
    pub private_key: Option<SecretString>,
    /// Which of its keys that is, if the provider wants to be told (`kid`, RFC 7515 §4.1.4).
    pub key_id: Option<String>,
    /// How it authenticates.
    pub auth_method: ClientAuthMethod,
    /// The redirect URIs it registered; empty when we were not told.
    pub redirect_uris: Vec<String>,
    /// How it came to be.
    pub source: RegistrationSource,
    /// What it registered itself for; empty when we were not told.
    pub grant_types: Vec<GrantType>,
    /// The scopes that it registered itself for, by our wish or the provider's; none when nothing was said of any.
    pub scope: Option<Scope>,
    /// When the provider last refused it, with every secret it has.
    pub refused: Option<Timestamp>,
}

impl ClientRegistration {
    /// A public client (RFC 6749 §2.1): no secret, no key, and nothing more is known of it.
    pub fn new(issuer: Issuer, client_id: ClientId, source: RegistrationSource) -> Self {
        Self {
            issuer,
            client_id,
            secrets: vec![],
            private_key: None,
            key_id: None,
            auth_method: ClientAuthMethod::None,
            redirect_uris: vec![],
            source,
            grant_types: vec![],
            scope: None,
            refused: None,
        }
    }

    /// Which secret to show: the first that was not refused. Once all were, the one that was refused longest ago: a
    /// refusal may have been the provider's mistake, and so each gets its turn again.
    pub fn secret_in_use(&self) -> Option<&ClientSecret> {
        let good = self.secrets.iter().find(|secret| secret.refused.is_none());
        good.or_else(|| self.secrets.iter().min_by_key(|secret| secret.refused))
    }

    /// Whether another secret is left to try once this one is refused.
    pub fn has_another_than(&self, id: Option<u64>) -> bool {
        if !self.auth_method.shows_a_secret() {
            return false;
        }
        let mut others = self.secrets.iter().filter(|secret| secret.id != id);
        others.any(|secret| secret.refused.is_none())
    }
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
            "refused",
            "strict",
            "unknown",
        ];
        for text in rules {
            assert_eq!(ReplayRule::parse(text).unwrap().to_string(), text);
        }
        assert!(ReplayRule::parse("grace soon").is_err());
    }

    #[test]
    fn secrets_are_tried_in_order_and_each_again_once_all_were_refused() {
        let secret = |id| ClientSecret {
            id: Some(id),
            ..ClientSecret::new("s".to_owned().into())
        };
        let mut client = ClientRegistration {
            secrets: vec![secret(7), secret(3)],
            auth_method: ClientAuthMethod::Basic,
            ..ClientRegistration::new(
                Issuer::new("https://as.example"),
                ClientId::new("c"),
                RegistrationSource::Given,
            )
        };
        let used = |client: &ClientRegistration| client.secret_in_use().unwrap().id.unwrap();
        assert_eq!((used(&client), client.has_another_than(Some(7))), (7, true));
        client.secrets[0].refused = Timestamp::from_second(1).ok();
        assert_eq!(
            (used(&client), client.has_another_than(Some(3))),
            (3, false)
        );
        client.secrets[1].refused = Timestamp::from_second(2).ok();
        assert_eq!(
            (used(&client), client.has_another_than(Some(7))),
            (7, false)
        );
        client.secrets[0].refused = Timestamp::from_second(3).ok();
        assert_eq!(used(&client), 3, "the one refused longest ago");
        client.secrets.clear();
        assert!(client.secret_in_use().is_none());
    }

    #[test]
    fn replay_rules_mean_what_they_say() {
        for (text, rule) in [
            ("harmless", ReplayRule::Harmless),
            ("grace 30s", ReplayRule::Grace(Duration::from_secs(30))),
            ("two-generations", ReplayRule::TwoGenerations),
            ("refused", ReplayRule::Refused),
            ("strict", ReplayRule::Strict),
            ("unknown", ReplayRule::Unknown),
        ] {
            assert_eq!(ReplayRule::parse(text).unwrap(), rule);
            assert_eq!(rule.may_harm(), matches!(text, "strict" | "unknown"));
        }
        let unknown_word = ReplayRule::parse("lenient").unwrap_err().to_string();
        assert!(unknown_word.contains(r#""refused""#), "{unknown_word}");
    }

    #[test]
    fn the_words_are_fixed() {
        let methods = [
            "none",
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "tls_client_auth",
            "self_signed_tls_client_auth",
        ];
        let all = ClientAuthMethod::ALL;
        assert_eq!(all.map(ClientAuthMethod::as_str), methods);
        assert_eq!(methods.map(ClientAuthMethod::parse), all.map(Some));
        assert_eq!(ClientAuthMethod::parse("client_secret_jwt"), None);
        let sources = [
            RegistrationSource::Given,
            RegistrationSource::MetadataDocument,
            RegistrationSource::Dynamic,
        ];
        let words = ["given", "metadata_document", "dynamic"];
        assert_eq!(sources.map(RegistrationSource::as_str), words);
        assert_eq!(words.map(RegistrationSource::parse), sources.map(Some));
        assert_eq!(RegistrationSource::parse("found"), None);
    }

    #[test]
    fn a_provider_without_quirks_keeps_none() {
        let plain = ServerMetadata::default();
        let text = serde_json::to_string(&plain).unwrap();
        assert!(!text.contains("quirks"), "{text}");
        let odd = ServerMetadata {
            quirks: Quirks {
                json: true,
                ..Quirks::default()
            },
            ..plain
        };
        let text = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<ServerMetadata>(&text).unwrap(), odd);
    }

    /// An older version stored fewer fields, and none of a provider without quirks.
    #[test]
    fn stored_quirks_of_an_older_version_read() {
        let older = r#"{"json":true,"headers":[["Accept","application/json"]]}"#;
        let read: Quirks = serde_json::from_str(older).unwrap();
        let plain = Quirks::default();
        assert!(read.json);
        assert_eq!(read.refresh_parameters, plain.refresh_parameters);
        let odd = Quirks {
            refresh_parameters: vec![("action".to_owned(), "requesttoken".to_owned())],
            exchange_parameters: vec![("expiring".to_owned(), "1".to_owned())],
            ..plain
        };
        let text = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<Quirks>(&text).unwrap(), odd);
    }

    #[test]
    fn two_secrets_are_the_same_by_what_they_are() {
        let secret = |text: &str| ClientSecret::new(text.to_owned().into());
        let refused = ClientSecret {
            id: Some(1),
            refused: Timestamp::from_second(1).ok(),
            ..secret("one")
        };
        assert!(secret("one").is_same_as(&refused));
        assert!(!secret("one").is_same_as(&secret("other")));
    }

    fn metadata(aliases: &str) -> ServerMetadata {
        let text = format!(
            r#"{{"issuer":"https://as.example","token_endpoint":"https://as.example/token",
                "revocation_endpoint":"https://as.example/revoke","mtls_endpoint_aliases":{aliases}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_certificate_leads_to_the_aliases_and_nobody_else_does() {
        let server = metadata(r#"{"token_endpoint":"https://mtls.as.example/token"}"#);
        let usual = Some("https://as.example/token");
        let of = |has| server.for_client(has).token_endpoint.clone();
        assert_eq!(of(false).as_deref(), usual);
        assert_eq!(of(true).as_deref(), Some("https://mtls.as.example/token"));
        let revocation = server.for_client(true).revocation_endpoint.clone();
        assert_eq!(
            revocation.as_deref(),
            Some("https://as.example/revoke"),
            "has no alias"
        );
        assert_eq!(server.for_client(true).introspection_endpoint, None);
    }

    #[test]
    fn an_alias_without_tls_is_passed_over() {
        for alias in [
            "http://127.0.0.1/token",
            "http://as.example/token",
            "/token",
            "",
        ] {
            let server = metadata(&format!(r#"{{"token_endpoint":"{alias}"}}"#));
            let used = server.for_client(true).token_endpoint.clone();
            assert_eq!(used.as_deref(), Some("https://as.example/token"), "{alias}");
        }
    }
}
