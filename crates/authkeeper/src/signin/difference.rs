//! In what a connection differs from how it would be connected now. A secret is not compared: it is rotated, and never shown.

use std::path::Path;

use super::{ConnectRequest, SignInMethod};
use crate::{
    error::TokenError,
    http::{CertificateFiles, HttpUrl},
    model::{AssertionSource, ClientId, Connection, Grant, GrantMaterial, Issuer, Resource, Scope},
    runtime::Runtime,
};

/// One setting that is not as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingDifference {
    /// Which, as the flag that sets it is called.
    pub setting: &'static str,
    /// How it is; none if it is not set, or may hold a secret.
    pub is: Option<String>,
    /// How it is wanted.
    pub wanted: Option<String>,
}

impl SettingDifference {
    /// A setting, how it is, and how it is wanted.
    pub fn new(setting: &'static str, is: Option<&str>, wanted: Option<&str>) -> Self {
        Self {
            setting,
            is: is.map(str::to_owned),
            wanted: wanted.map(str::to_owned),
        }
    }
}

/// How a connection stands to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Comparison {
    /// There is no such connection, or its first sign-in is not done.
    Missing,
    /// It is connected, with these differences.
    Connected(Vec<SettingDifference>),
}

impl Runtime {
    /// Compares a connection with how it would be connected. What the request leaves to the server is not compared.
    pub async fn compare(&self, wanted: &ConnectRequest) -> Result<Comparison, TokenError> {
        let store = &self.context.store;
        let Some(connection) = store.connection(&wanted.name).await? else {
            return Ok(Comparison::Missing);
        };
        let grant = match &connection.grant {
            Some(id) => store.grant(id).await?,
            None => None,
        };
        Ok(match grant {
            Some(grant) => Comparison::Connected(differences(&connection, &grant, wanted)),
            None => Comparison::Missing,
        })
    }
}

fn differences(
    connection: &Connection,
    grant: &Grant,
    wanted: &ConnectRequest,
) -> Vec<SettingDifference> {
    let mut found = Differences::default();
    found.compare("url", Some(&connection.url), Some(wanted.url.as_str()));
    let principal = connection.principal.as_str();
    found.compare(
        "principal",
        Some(principal),
        Some(wanted.principal.as_str()),
    );
    found.compare(
        "grant",
        Some(grant.grant_type.as_str()),
        Some(wanted.way.grant_type().as_str()),
    );
    found.compare(
        "provider",
        connection.provider.as_deref(),
        wanted.provider.as_deref(),
    );
    let shown = (
        connection.presentation.to_string(),
        wanted.presentation.to_string(),
    );
    found.compare("credential-header", Some(&shown.0), Some(&shown.1));
    let check_url = wanted.check_url.as_ref().map(HttpUrl::as_str);
    found.compare_if_set("check-url", connection.check_url.as_deref(), check_url);
    let issuer = wanted.issuer.as_ref().map(Issuer::as_str);
    found.compare_if_set("issuer", Some(connection.issuer.as_str()), issuer);
    let client = wanted.client.client_id.as_ref().map(ClientId::as_str);
    found.compare_if_set("client-id", Some(grant.client_id.as_str()), client);
    let resource = wanted.resource.as_ref().map(Resource::as_str);
    let own = connection.resource.as_ref().map(Resource::as_str);
    found.compare_if_set("resource", own, resource);
    found.compare_scopes(connection.scope.as_ref(), wanted.scope.as_ref());
    found.compare_material(&grant.grant_material, wanted);
    found.0
}

#[derive(Default)]
struct Differences(Vec<SettingDifference>);

impl Differences {
    fn compare(&mut self, setting: &'static str, is: Option<&str>, wanted: Option<&str>) {
        if is != wanted {
            self.0.push(SettingDifference::new(setting, is, wanted));
        }
    }

    /// What is left out is left to the server.
    fn compare_if_set(&mut self, setting: &'static str, is: Option<&str>, wanted: Option<&str>) {
        if wanted.is_some() {
            self.compare(setting, is, wanted);
        }
    }

    /// Scopes are a set (RFC 6749 §3.3). More than is wanted may have been asked for by a call that needed it.
    fn compare_scopes(&mut self, is: Option<&Scope>, wanted: Option<&Scope>) {
        let Some(wanted) = wanted else {
            return;
        };
        let words = |scope: &Scope| {
            scope
                .as_str()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let asked = is.map(words).unwrap_or_default();
        if !words(wanted).iter().all(|word| asked.contains(word)) {
            self.compare("scope", is.map(Scope::as_str), Some(wanted.as_str()));
        }
    }

    fn compare_material(&mut self, is: &GrantMaterial, wanted: &ConnectRequest) {
        let (own, asked) = (&is.requests, &wanted.requests);
        self.compare(
            "param",
            list(&own.authorization).as_deref(),
            list(&asked.authorization).as_deref(),
        );
        self.compare(
            "token-param",
            list(&own.token).as_deref(),
            list(&asked.token).as_deref(),
        );
        let flag = |set: bool| set.then_some("true");
        self.compare(
            "no-resource",
            flag(own.without_resource),
            flag(asked.without_resource),
        );
        self.compare(
            "pkce-unadvertised",
            flag(own.pkce_unadvertised),
            flag(asked.pkce_unadvertised),
        );
        self.compare("dpop", Some(is.dpop.as_str()), Some(wanted.dpop.as_str()));
        self.compare_if_set(
            "assertion-audience",
            is.audience.as_deref(),
            wanted.assertion_audience.as_deref(),
        );
        if own.headers != asked.headers {
            self.0.push(SettingDifference::new("header", None, None));
        }
        let files = |certificate: Option<&CertificateFiles>| {
            certificate.map(|files| format!("{} {}", files.cert.display(), files.key.display()))
        };
        let certificates = (
            files(is.certificate.as_ref()),
            files(wanted.client.certificate.as_ref()),
        );
        self.compare(
            "client-cert",
            certificates.0.as_deref(),
            certificates.1.as_deref(),
        );
        let source = is.assertion.as_ref().map(AssertionSource::path);
        let path = |path: Option<&Path>| path.map(|path| path.display().to_string());
        let (source, asked) = (path(source), path(source_of(&wanted.way)));
        self.compare_if_set("assertion-file", source.as_deref(), asked.as_deref());
    }
}

/// The file whose token stands in the place of a sign-in.
fn source_of(way: &SignInMethod) -> Option<&Path> {
    match way {
        SignInMethod::Unattended(unattended) => unattended.source().map(AssertionSource::path),
        _ => None,
    }
}

/// Parameters as they are typed; none if there are none.
fn list(parameters: &[(String, String)]) -> Option<String> {
    let typed: Vec<String> = parameters
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    (!typed.is_empty()).then(|| typed.join(" "))
}
