//! The carrier as the bridge wants it: for one connection, in the bridge's words.

use std::sync::Arc;

use async_trait::async_trait;
use authkeeper::model::{ConnectionName, Record};
use http::Response;
use serde_json::{Value, json};

use super::{Call, CallBody, Carrier, CarryError, Target, fingerprint};
use crate::mcp::{ResponseBody, Upstream, UpstreamError, UpstreamRequest, Waiting};

/// A [`Carrier`] for one connection.
pub(crate) struct Bound {
    carrier: Arc<Carrier>,
    connection: ConnectionName,
    /// Somebody is notified of incidents.
    owner_is_told: bool,
}

impl Bound {
    pub(crate) fn new(carrier: Arc<Carrier>, connection: ConnectionName) -> Self {
        Self {
            carrier,
            connection,
            owner_is_told: false,
        }
    }

    /// Whether somebody is notified of incidents: a model that knows that nobody was can say so.
    pub(crate) fn owner_is_told(self, owner_is_told: bool) -> Self {
        Self {
            owner_is_told,
            ..self
        }
    }
}

#[async_trait]
impl Upstream for Bound {
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
        let carried = self
            .carrier
            .carry_telling(&self.connection, call, waiting)
            .await;
        carried.map_err(|error| self.worded(error))
    }
}

impl Bound {
    fn worded(&self, error: CarryError) -> UpstreamError {
        let CarryError::Authority { record } = error else {
            return worded(error, &self.connection);
        };
        let mut data = as_object(&record);
        data["notified"] = self.owner_is_told.into();
        let notified = if self.owner_is_told {
            "The owner was notified."
        } else {
            "Nobody was notified: say so to whom you work for."
        };
        UpstreamError::Authority {
            message_for_model: format!("{}. {notified}", told(&record)),
            data,
        }
    }
}

/// Why there is no response, in the bridge's words.
pub(crate) fn worded(error: CarryError, connection: &ConnectionName) -> UpstreamError {
    match error {
        CarryError::Authority { record } => UpstreamError::Authority {
            message_for_model: told(&record),
            data: as_object(&record),
        },
        CarryError::Rejected { record } => UpstreamError::Rejected {
            message: told(&record),
            data: as_object(&record),
        },
        CarryError::Permission { record } => UpstreamError::Permission {
            message: told(&record),
            data: as_object(&record),
        },
        CarryError::NoSuchConnection => no_such_connection(connection),
        CarryError::Unavailable { message, .. }
        | CarryError::Unreachable { message }
        | CarryError::Refused { message, .. }
        | CarryError::Fault { message } => UpstreamError::Unavailable { message },
        CarryError::BadTarget(bad) => UpstreamError::Unavailable {
            message: bad.to_string(),
        },
        CarryError::Interrupted { message } => UpstreamError::Interrupted { message },
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

/// What happened and what a person does, in two sentences.
pub(crate) fn told(record: &Record) -> String {
    let link = record
        .link
        .as_ref()
        .map_or_else(String::new, |link| format!("open {link}, or: "));
    format!(
        "{}: {}. What a person must do: {link}{}",
        record.connection, record.detail, record.action
    )
}

fn as_object(record: &Record) -> Value {
    serde_json::to_value(record).unwrap_or_else(|_unserializable| json!({}))
}
