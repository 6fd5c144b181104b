//! The facts of a connection that the checks use.

use std::time::Duration;

use authkeeper::{
    catalogue::Entry,
    model::{GrantType, Health, ProvenCall, Scope, Validation},
    runtime::{
        CertificateStatus, OwnCertificate,
        inspect::{Inspection, SecretFacts},
    },
};
use jiff::Timestamp;

/// The facts of a connection that the checks use.
#[derive(Clone, Debug)]
pub(super) struct ConnectionFacts {
    pub(super) name: String,
    pub(super) health: Health,
    pub(super) left: Duration,
    pub(super) refreshable: bool,
    pub(super) grant_type: Option<GrantType>,
    pub(super) asked: Option<String>,
    pub(super) granted: Option<String>,
    pub(super) signed_in_at: Timestamp,
    pub(super) issued_at: Option<Timestamp>,
    pub(super) due_after: Option<Duration>,
    pub(super) refresh_expires_at: Option<Timestamp>,
    pub(super) rotate_by: Option<Timestamp>,
    pub(super) secrets: Vec<SecretFacts>,
    /// What the catalogue knows of its provider.
    pub(super) entry: Option<&'static Entry>,
    /// Where it is refreshed, as stored.
    pub(super) token_endpoint: Option<String>,
    /// The scopes that its provider gives a refresh token for, where that is known.
    pub(super) refresh_scope: Option<String>,
    /// Its own client certificate.
    pub(super) certificate: Option<CertificateStatus>,
    /// Whether a call is repeated while nobody calls.
    pub(super) validated: Validated,
    /// Its open incidents: (reason, detail, action).
    pub(super) incidents: Vec<(String, String, String)>,
}

/// Whether a connection is validated while nobody calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validated {
    /// The setting is zero.
    SwitchedOff,
    /// No call over it has worked yet that could be repeated.
    Unproven,
    /// This call, this often.
    Every(ProvenCall, Duration),
}

impl Validated {
    pub(super) fn of(validation: Option<&Validation>, every: Duration) -> Self {
        match validation {
            _ if every.is_zero() => Self::SwitchedOff,
            Some(validation) => Self::Every(validation.call, every),
            None => Self::Unproven,
        }
    }
}

impl From<&Inspection> for ConnectionFacts {
    fn from(one: &Inspection) -> Self {
        let status = &one.status;
        let connection = &status.connection;
        let scope = |scope: &Option<Scope>| scope.as_ref().map(|scope| scope.as_str().to_owned());
        let records = status.incidents.iter().map(|incident| &incident.record);
        Self {
            name: connection.name.to_string(),
            health: status.health.clone(),
            left: status.left,
            refreshable: status.refreshable,
            grant_type: status.grant_type,
            asked: scope(&connection.scope),
            granted: scope(&status.scope),
            signed_in_at: one.signed_in_at,
            issued_at: one.access.map(|access| access.issued_at),
            due_after: one.access.map(|access| access.due_after),
            refresh_expires_at: status.refresh_expires_at,
            rotate_by: status.rotate_by,
            secrets: one
                .client
                .iter()
                .flat_map(|client| client.secrets.clone())
                .collect(),
            entry: one.entry(),
            token_endpoint: one
                .metadata
                .as_ref()
                .and_then(|metadata| metadata.token_endpoint.clone()),
            refresh_scope: one.refresh_scope(),
            certificate: status.certificate.as_ref().map(OwnCertificate::look),
            validated: Validated::Unproven,
            incidents: records
                .map(|record| {
                    (
                        record.reason.clone(),
                        record.detail.clone(),
                        record.action.clone(),
                    )
                })
                .collect(),
        }
    }
}
