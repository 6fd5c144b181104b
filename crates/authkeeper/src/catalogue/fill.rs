//! From an entry and a person's answers to addresses.

use std::collections::BTreeMap;

use super::{
    entry::{Check, Entry, Placeholder},
    words::{BodyFormat, Pkce, PlaceholderKind},
};
use crate::model::{Quirks, ServerMetadata};

/// An entry's addresses with every placeholder filled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filled {
    /// The issuer.
    pub issuer: String,
    /// Where its metadata is, if it publishes any: then they decide, and `metadata` is only what to expect.
    pub discovery: Option<String>,
    /// The endpoints, if the entry has its own.
    pub metadata: Option<ServerMetadata>,
    /// Where refresh tokens are exchanged, if not at the token endpoint.
    pub refresh: Option<String>,
    /// RFC 8628.
    pub device_authorization: Option<String>,
    /// `OpenID` Connect's userinfo.
    pub userinfo: Option<String>,
    /// Where the API starts.
    pub api_base: Option<String>,
    /// Where the harmless call goes.
    pub check: Option<String>,
    /// The vendor's MCP server.
    pub mcp: Option<String>,
}

/// What keeps an entry's addresses from being filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// Answers are missing.
    #[error("{provider} needs {}", names(missing))]
    Missing {
        /// The entry.
        provider: String,
        /// Every placeholder without a value, in the order in which to ask.
        missing: Vec<String>,
    },
    /// An answer can't stand in an address.
    #[error("{value:?} can't be {name}: {problem}, for example {example:?}")]
    Unfit {
        /// The placeholder.
        name: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
        /// A value that fits.
        example: String,
    },
    /// There is no such placeholder.
    #[error("{provider} has no {name:?}")]
    NotAsked {
        /// The entry.
        provider: String,
        /// What was given.
        name: String,
    },
}

fn names(missing: &[String]) -> String {
    missing.join(", ")
}

impl Entry {
    /// The placeholders for which neither `values` nor the entry has a value, in the order in which to ask.
    pub fn missing(&self, values: &BTreeMap<String, String>) -> Vec<&Placeholder> {
        self.placeholders
            .iter()
            .filter(|asked| asked.default.is_none() && !values.contains_key(&asked.name))
            .collect()
    }

    /// What the entry says today of the server whose metadata an older version of it gave: a vendor may have moved an
    /// endpoint since. Where a person's answers made the addresses, they stay as they are.
    pub(crate) fn brought_up_to_date(&self, stored: ServerMetadata) -> ServerMetadata {
        let filled = self.fill(&BTreeMap::new()).ok();
        let today = filled.and_then(|filled| filled.metadata);
        let same = today.filter(|today| today.issuer == stored.issuer);
        same.unwrap_or(stored)
    }

    /// The addresses with every placeholder filled from `values` or its default.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<Filled, FillError> {
        let values = self.checked(values)?;
        let fill = |template: &str| filled(template, &values);
        let maybe = |template: &Option<String>| template.as_deref().map(fill);
        let at = &self.endpoints;
        let check = self.api.check.as_ref().map(|Check { url, .. }| fill(url));
        Ok(Filled {
            issuer: fill(&at.issuer),
            discovery: maybe(&at.discovery),
            metadata: at.token.as_ref().map(|_| self.metadata(&values)),
            refresh: maybe(&at.refresh),
            device_authorization: maybe(&at.device_authorization),
            userinfo: maybe(&at.userinfo),
            api_base: maybe(&self.api.base),
            check,
            mcp: maybe(&self.api.mcp),
        })
    }

    fn metadata(&self, values: &BTreeMap<&str, String>) -> ServerMetadata {
        let at = &self.endpoints;
        let maybe = |template: &Option<String>| template.as_deref().map(|t| filled(t, values));
        // Where nobody found out, a challenge is not promised; whether to send one is the caller's choice.
        let s256 = matches!(self.client.pkce, Pkce::Required | Pkce::Supported);
        ServerMetadata {
            issuer: filled(&at.issuer, values),
            authorization_endpoint: maybe(&at.authorization),
            token_endpoint: maybe(&at.token),
            registration_endpoint: None,
            revocation_endpoint: maybe(&at.revocation),
            introspection_endpoint: maybe(&at.introspection),
            code_challenge_methods_supported: s256.then(|| "S256".to_owned()).into_iter().collect(),
            token_endpoint_auth_methods_supported: self
                .client
                .auth
                .iter()
                .map(|method| method.as_str().to_owned())
                .collect(),
            revocation_endpoint_auth_methods_supported: Vec::new(),
            scopes_supported: Vec::new(),
            dpop_signing_alg_values_supported: Vec::new(),
            authorization_response_iss_parameter_supported: false,
            client_id_metadata_document_supported: false,
            device_authorization_endpoint: maybe(&at.device_authorization),
            pushed_authorization_request_endpoint: None,
            require_pushed_authorization_requests: false,
            mtls_endpoint_aliases: Box::default(),
            tls_client_certificate_bound_access_tokens: false,
            quirks: self.quirks(values),
        }
    }

    fn quirks(&self, values: &BTreeMap<&str, String>) -> Quirks {
        let pairs = |map: &BTreeMap<String, String>| {
            let pairs = map
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()));
            pairs.collect()
        };
        let separator = &self.scopes.separator;
        Quirks {
            refresh_endpoint: self.endpoints.refresh.as_deref().map(|t| filled(t, values)),
            json: self.token.body == BodyFormat::Json,
            headers: pairs(&self.token.headers),
            scope_separator: (separator != " ").then(|| separator.clone()),
            refresh_parameters: pairs(&self.token.refresh_parameters),
            exchange_parameters: pairs(&self.token.exchange_parameters),
        }
    }

    /// A value for every placeholder, each fit for its place.
    fn checked(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<&str, String>, FillError> {
        let known = |name: &str| self.placeholders.iter().any(|asked| asked.name == name);
        if let Some(name) = given.keys().find(|name| !known(name)) {
            return Err(FillError::NotAsked {
                provider: self.name.clone(),
                name: name.clone(),
            });
        }
        let missing = self.missing(given);
        if !missing.is_empty() {
            return Err(FillError::Missing {
                provider: self.name.clone(),
                missing: missing.iter().map(|asked| asked.name.clone()).collect(),
            });
        }
        self.placeholders
            .iter()
            .filter_map(|asked| Some((asked, given.get(&asked.name).or(asked.default.as_ref())?)))
            .map(|(asked, value)| {
                fit(asked.kind, value).map_err(|problem| FillError::Unfit {
                    name: asked.name.clone(),
                    value: value.clone(),
                    problem,
                    example: asked.example.clone(),
                })?;
                Ok((asked.name.as_str(), value.clone()))
            })
            .collect()
    }
}

/// Values can't contain braces, so one pass per name fills nothing twice.
fn filled(template: &str, values: &BTreeMap<&str, String>) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
}

/// Whether a value may stand in its place. What passes can't end the host, start a path, a query, a user name or a
/// fragment, nor climb out of its folder.
fn fit(kind: PlaceholderKind, value: &str) -> Result<(), &'static str> {
    match kind {
        PlaceholderKind::Host => fit_host(value),
        PlaceholderKind::Label => fit_label(value),
        PlaceholderKind::Segment => fit_segment(value),
    }
}

fn fit_host(value: &str) -> Result<(), &'static str> {
    let (host, port) = match value.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (value, None),
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Err("what follows ':' must be a port");
    }
    if host.len() > 253 {
        return Err("it must be a host name");
    }
    host.split('.').try_for_each(fit_label).map_err(|_label| {
        "it must be a host name (letters, digits, '-' and '.'), without https:// and without a path"
    })
}

fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn fit_label(value: &str) -> Result<(), &'static str> {
    let fits = (1..=63).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-');
    fits.then_some(())
        .ok_or("it must be one word of letters, digits and '-'")
}

fn fit_segment(value: &str) -> Result<(), &'static str> {
    let fits = (1..=128).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
        && !matches!(value, "." | "..");
    fits.then_some(())
        .ok_or("it must be one word of letters, digits, '-', '.', '_' and '~'")
}
