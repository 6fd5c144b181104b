//! The proxy of one run: `$AUTHKEEPER_URL/c/NAME/…` is the URL of a connection with the token injected.
//!
//! Bodies stream both ways and stay as they are. Only a caller that shows the task handle reaches a connection, and only one
//! that the task declared.

use std::{io, sync::Arc};

use authkeeper::{model::ConnectionName, secret::SecretString};
use http::{Request, Response, header, request::Parts};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{
    access::AccessRules,
    error_response::{Audience, Rejection},
    lifecycle::{self, Limits, RequestHandler},
    listen::Listeners,
    request_body::{self, StartedBody},
};
use crate::{
    body::ResponseBody,
    forward::{Call, Forwarder, Target, fingerprint},
};

/// A run's proxy that listens but does not serve yet.
pub struct RunProxy {
    listeners: Listeners,
    service: Arc<RunService>,
    limits: Limits,
}

struct RunService {
    access: AccessRules,
    declared: Vec<ConnectionName>,
    forwarder: Arc<Forwarder>,
    kept_body: usize,
}

impl RunProxy {
    /// Takes a free port of 127.0.0.1. Callers show `handle`, and reach the `declared` connections.
    pub async fn bind(
        forwarder: Arc<Forwarder>,
        handle: SecretString,
        declared: Vec<ConnectionName>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listeners = Listeners::ipv4().await?;
        let port = listeners.port();
        let service = Arc::new(RunService {
            access: AccessRules { port, handle },
            declared,
            forwarder,
            kept_body: limits.kept_body,
        });
        Ok(Self {
            listeners,
            service,
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

    /// Serves until `stop` is done; answers on their way get a moment to finish.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        lifecycle::serve(self.listeners, self.service, self.limits, stop).await;
    }
}

impl RequestHandler for RunService {
    async fn answer(
        &self,
        request: Request<Incoming>,
        _stopped: watch::Receiver<()>,
    ) -> Response<ResponseBody> {
        self.pass(request).await.unwrap_or_else(|rejection| {
            tracing::debug!(?rejection, "the proxy answered by itself");
            rejection.response(Audience::Run)
        })
    }
}

impl RunService {
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Rejection> {
        let (head, body) = request.into_parts();
        let routed = route(&self.access, &self.declared, &head);
        if let Err(Rejection::Undeclared {
            name: Some(name), ..
        }) = &routed
        {
            self.forwarder.count_undeclared(name);
        }
        let (connection, target) = routed?;
        let started = request_body::start(body, self.kept_body)
            .await
            .map_err(|_broken| Rejection::Body)?;
        let call = plain_call(head, target, started);
        let forwarded = self.forwarder.forward(&connection, call).await;
        let mut response = forwarded.map_err(Rejection::Forward)?;
        // A cookie would be kept for 127.0.0.1 and shown to whatever else listens there.
        response.headers_mut().remove(header::SET_COOKIE);
        Ok(response)
    }
}

/// The connection that a request is for, and the place below its URL.
pub(super) fn route(
    access: &AccessRules,
    declared: &[ConnectionName],
    head: &Parts,
) -> Result<(ConnectionName, Target), Rejection> {
    access.check_origin(head)?;
    let below = head
        .uri
        .path()
        .strip_prefix("/c/")
        .ok_or(Rejection::Route)?;
    access.check_caller(head)?;
    let (name, suffix) = match below.find('/') {
        Some(slash) => below.split_at(slash),
        None => (below, ""),
    };
    let name = declared_of(name, declared)?;
    let target = Target::below(suffix, head.uri.query()).map_err(|_bad| Rejection::Path)?;
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
