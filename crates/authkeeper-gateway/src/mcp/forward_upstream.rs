//! A [`Forwarder`] as the upstream of one connection's bridge: its errors become the bridge's.

use std::sync::Arc;

use async_trait::async_trait;
use authkeeper::model::{ConnectionName, Record};
use http::Response;
use serde_json::{Value, json};

use super::upstream::{Upstream, UpstreamError, UpstreamRequest};
use crate::{
    body::ResponseBody,
    forward::{Call, CallBody, ForwardError, Forwarder, Target, described, fingerprint},
    wait::Waiting,
};

/// A [`Forwarder`] for one connection.
pub struct ForwardUpstream {
    forwarder: Arc<Forwarder>,
    connection: ConnectionName,
    /// Incidents are notified to somebody.
    owner_is_told: bool,
}

impl ForwardUpstream {
    /// Calls go through `forwarder` over `connection`.
    pub fn new(forwarder: Arc<Forwarder>, connection: ConnectionName) -> Self {
        Self {
            forwarder,
            connection,
            owner_is_told: false,
        }
    }

    /// Whether incidents are notified to somebody: a model that knows that nobody was can say so.
    #[must_use]
    pub fn owner_is_told(self, owner_is_told: bool) -> Self {
        Self {
            owner_is_told,
            ..self
        }
    }
}

#[async_trait]
impl Upstream for ForwardUpstream {
    async fn send(
        &self,
        request: UpstreamRequest,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        self.send_telling(request, &Waiting::default()).await
    }

    async fn send_telling(
        &self,
        request: UpstreamRequest,
        waiting: &Waiting,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let call = Call {
            method: request.method,
            target: Target::exact(),
            headers: request.headers,
            body: CallBody::Whole(request.body),
            idempotent: request.idempotent,
            fingerprint: fingerprint(&[b"mcp", request.fingerprint.as_bytes()]),
        };
        let forwarded = self
            .forwarder
            .forward_reporting(&self.connection, call, waiting)
            .await;
        forwarded.map_err(|error| self.upstream_error(error))
    }
}

impl ForwardUpstream {
    fn upstream_error(&self, error: ForwardError) -> UpstreamError {
        let ForwardError::Authority { record } = error else {
            return upstream_error(error, &self.connection);
        };
        let mut data = as_object(&record);
        data["notified"] = self.owner_is_told.into();
        let notified = if self.owner_is_told {
            "The owner was notified."
        } else {
            "Nobody was notified: say so to whom you work for."
        };
        UpstreamError::Authority {
            message_for_model: format!("{}. {notified}", described(&record)),
            data,
        }
    }
}

/// Why there is no response, as the bridge tells it.
pub(crate) fn upstream_error(error: ForwardError, connection: &ConnectionName) -> UpstreamError {
    match error {
        ForwardError::Authority { record } => UpstreamError::Authority {
            message_for_model: described(&record),
            data: as_object(&record),
        },
        ForwardError::Rejected { record } => UpstreamError::Rejected {
            message: described(&record),
            data: as_object(&record),
        },
        ForwardError::Permission { record } => UpstreamError::Permission {
            message: described(&record),
            data: as_object(&record),
        },
        ForwardError::NoSuchConnection => no_such_connection(connection),
        ForwardError::Unavailable { message, .. }
        | ForwardError::Unreachable { message }
        | ForwardError::Refused { message, .. }
        | ForwardError::Fault { message } => UpstreamError::Unavailable { message },
        ForwardError::BadTarget(bad) => UpstreamError::Unavailable {
            message: bad.to_string(),
        },
        ForwardError::Interrupted { message } => UpstreamError::Interrupted { message },
    }
}

fn no_such_connection(connection: &ConnectionName) -> UpstreamError {
    let action = format!("authkeeper connect {connection} URL");
    UpstreamError::Authority {
        message_for_model: format!(
            "no connection is named {connection}. A person must run: {action}"
        ),
        data: json!({ "connection": connection.as_str(), "reason": "no_such_connection", "action": action }),
    }
}

fn as_object(record: &Record) -> Value {
    serde_json::to_value(record).unwrap_or_else(|_unserializable| json!({}))
}
