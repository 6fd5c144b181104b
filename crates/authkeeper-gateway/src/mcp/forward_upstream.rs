//! A [`Forwarder`] as the upstream of one connection's bridge.

use std::sync::Arc;

use async_trait::async_trait;
use authkeeper::model::ConnectionName;

use super::upstream::{Upstream, UpstreamRequest, UpstreamResponse};
use crate::{
    error::CallError,
    forward::{Call, CallBody, CallHeaders, CookieJar, Forwarder, Target, fingerprint},
    wait::Waiting,
};

/// A [`Forwarder`] for one connection.
pub struct ForwardUpstream {
    forwarder: Arc<Forwarder>,
    connection: ConnectionName,
    /// A balancer keeps the session at one node by them.
    cookies: Arc<CookieJar>,
    /// Incidents are notified to somebody.
    owner_is_told: bool,
}

impl ForwardUpstream {
    /// Calls go through `forwarder` over `connection`.
    pub fn new(forwarder: Arc<Forwarder>, connection: ConnectionName) -> Self {
        Self {
            forwarder,
            connection,
            cookies: Arc::default(),
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
    async fn send(&self, request: UpstreamRequest, waiting: &Waiting) -> UpstreamResponse {
        let call = Call {
            method: request.method,
            target: match &request.endpoint {
                Some(endpoint) => Target::named_by_server(endpoint),
                None => Target::exact(),
            },
            headers: CallHeaders {
                sent: request.headers,
                cookies: Some(Arc::clone(&self.cookies)),
            },
            body: CallBody::Whole(request.body),
            idempotent: request.idempotent,
            in_session: request.in_session,
            fingerprint: fingerprint(&[b"mcp", request.fingerprint.as_bytes()]),
        };
        let forwarded = self
            .forwarder
            .forward_reporting(&self.connection, call, waiting)
            .await;
        forwarded.map_err(|error| CallError {
            owner_notified: Some(self.owner_is_told),
            ..error
        })
    }
}
