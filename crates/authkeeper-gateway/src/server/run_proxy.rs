//! The proxy of one run: `$AUTHKEEPER_URL/c/NAME/…` is the URL of a connection with the token injected.
//!
//! Bodies stream both ways and stay as they are. Only a caller that shows the task handle reaches a connection, and only one
//! that the task declared.

use std::{io, sync::Arc};

use authkeeper::{model::ConnectionName, secret::SecretString};
use axum::{
    Router,
    extract::{FromRequest, Request, State},
    middleware::from_fn_with_state,
    routing::any,
};
use http::{Uri, request::Parts};

use super::{
    access::{AccessRules, require_handle, require_own_origin},
    error_response::{Audience, Rejection},
    request_body::{self, StartedBody},
    server_answer::ServerAnswer,
};
use crate::{
    forward::{Call, Forwarder, Target, fingerprint},
    lifecycle::Lifecycle,
    listener::{self, Limits, Listeners},
};

/// A run's proxy that listens but does not serve yet.
pub struct RunProxy {
    lifecycle: Lifecycle,
    listeners: Listeners,
    router: Router,
    limits: Limits,
}

pub(super) struct RunService {
    pub(super) declared: Vec<ConnectionName>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) kept_body: usize,
}

impl RunProxy {
    /// Takes a free port of 127.0.0.1. Callers show `handle`, and reach the `declared` connections.
    pub async fn bind(
        lifecycle: &Lifecycle,
        forwarder: Arc<Forwarder>,
        handle: SecretString,
        declared: Vec<ConnectionName>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listeners = Listeners::ipv4(0).await?;
        let access = AccessRules {
            audience: Audience::Run,
            port: listeners.port(),
            handle,
        };
        let service = RunService {
            declared,
            forwarder,
            kept_body: limits.kept_body,
        };
        Ok(Self {
            lifecycle: lifecycle.clone(),
            listeners,
            router: router(access, service),
            limits,
        })
    }

    /// What the command gets as `AUTHKEEPER_URL`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.listeners.port())
    }

    #[cfg(test)]
    pub(super) fn port(&self) -> u16 {
        self.listeners.port()
    }

    /// Serves until the soft stop; then answers on their way are finished.
    pub fn serve(self) {
        listener::serve(self.listeners, self.router, self.limits, &self.lifecycle);
    }
}

pub(super) fn router(access: AccessRules, service: RunService) -> Router {
    let access = Arc::new(access);
    Router::new()
        .route("/c/", any(forward))
        .route("/c/{*below}", any(forward))
        .route_layer(from_fn_with_state(access.clone(), require_handle))
        .fallback(async || Rejection::Route(Audience::Run))
        .layer(from_fn_with_state(access, require_own_origin))
        .with_state(Arc::new(service))
}

async fn forward(
    State(service): State<Arc<RunService>>,
    RunCall { connection, call }: RunCall,
) -> Result<ServerAnswer, Rejection> {
    let forwarded = service.forwarder.forward(&connection, call).await;
    forwarded.map(ServerAnswer).map_err(Rejection::Forward)
}

/// What the command sent, and over which connection it goes.
struct RunCall {
    connection: ConnectionName,
    call: Call,
}

impl FromRequest<Arc<RunService>> for RunCall {
    type Rejection = Rejection;

    async fn from_request(request: Request, service: &Arc<RunService>) -> Result<Self, Rejection> {
        let (head, body) = request.into_parts();
        let routed = route(&head.uri, &service.declared);
        if let Err(Rejection::Undeclared {
            name: Some(name), ..
        }) = &routed
        {
            service.forwarder.count_undeclared(name);
        }
        let (connection, target) = routed?;
        let started = request_body::start(body, service.kept_body).await?;
        let call = plain_call(head, target, started);
        Ok(Self { connection, call })
    }
}

/// The connection that a request is for, and the place below its URL, spelled as the caller did.
pub(super) fn route(
    uri: &Uri,
    declared: &[ConnectionName],
) -> Result<(ConnectionName, Target), Rejection> {
    let below = uri.path().strip_prefix("/c/").unwrap_or_default();
    let (name, suffix) = match below.find('/') {
        Some(slash) => below.split_at(slash),
        None => (below, ""),
    };
    let name = declared_of(name, declared)?;
    let target = Target::below(suffix, uri.query()).map_err(|_bad| Rejection::Path)?;
    Ok((name, target))
}

fn declared_of(name: &str, declared: &[ConnectionName]) -> Result<ConnectionName, Rejection> {
    let found = declared.iter().find(|declared| declared.as_str() == name);
    found.cloned().ok_or_else(|| Rejection::Undeclared {
        name: ConnectionName::parse(name).ok(),
        declared: declared.to_vec(),
    })
}

fn plain_call(head: Parts, target: Target, started: StartedBody) -> Call {
    let Parts {
        method, headers, ..
    } = head;
    Call {
        fingerprint: fingerprint(&[
            b"http",
            method.as_str().as_bytes(),
            target.spelled().as_bytes(),
            &started.seen,
        ]),
        // RFC 9110 §9.2.2 leaves it to the caller to repeat what broke.
        idempotent: false,
        in_session: false,
        method,
        target,
        headers: headers.into(),
        body: started.body,
    }
}
