//! Access control: pure checks on a request's head, and the layers that apply them.

use std::sync::Arc;

use authkeeper::secret::SecretString;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method, Uri, header};
use subtle::ConstantTimeEq;

use super::error_response::{Audience, Rejection};
use crate::forward::TASK_HEADER;

/// Which callers a loopback server takes requests from.
pub(super) struct AccessRules {
    pub(super) audience: Audience,
    pub(super) port: u16,
    pub(super) handle: SecretString,
}

/// The layer of every route.
pub(super) async fn require_own_origin(
    State(access): State<Arc<AccessRules>>,
    request: Request,
    next: Next,
) -> Result<Response, Rejection> {
    access.check_host(request.headers(), request.uri())?;
    access.check_page(request.headers())?;
    Ok(next.run(request).await)
}

/// The layer of the routes that reach a connection.
pub(super) async fn require_handle(
    State(access): State<Arc<AccessRules>>,
    request: Request,
    next: Next,
) -> Result<Response, Rejection> {
    access.check_caller(request.method(), request.headers())?;
    Ok(next.run(request).await)
}

impl AccessRules {
    /// Refuses a caller without the handle, and what plain HTTP can't carry. A caller without the handle learns nothing of
    /// what is connected.
    pub(super) fn check_caller(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), Rejection> {
        self.check_handle(headers)?;
        if *method == Method::CONNECT || asks_for_upgrade(headers) {
            return Err(Rejection::Upgrade);
        }
        Ok(())
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Some((host, port)) = authority.rsplit_once(':') else {
            return false;
        };
        let local = matches!(host, "127.0.0.1" | "[::1]") || host.eq_ignore_ascii_case("localhost");
        local && port.parse() == Ok(self.port)
    }

    /// Against DNS rebinding: a page whose name was made to point here still says its own name.
    pub(super) fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Rejection> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let ours = host.is_some_and(|host| self.is_ours(host));
        let named = uri
            .authority()
            .is_none_or(|authority| self.is_ours(authority.as_str()));
        if ours && named && hosts.next().is_none() {
            Ok(())
        } else {
            Err(Rejection::Host(self.audience))
        }
    }

    /// Against web pages elsewhere: a browser names the page's origin; programs name none.
    fn check_page(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let foreign = |origin: &http::HeaderValue| {
            let authority = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.strip_prefix("http://"));
            !authority.is_some_and(|authority| self.is_ours(authority))
        };
        let refused = headers.get_all(header::ORIGIN).iter().any(foreign);
        if refused {
            Err(Rejection::Origin)
        } else {
            Ok(())
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "compared in constant time with what the caller shows"
    )]
    fn check_handle(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let handle = self.handle.expose().as_bytes();
        let task = headers
            .get_all(TASK_HEADER)
            .iter()
            .map(http::HeaderValue::as_bytes);
        let bearer = headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .filter_map(bearer_of);
        let known = task
            .chain(bearer)
            .any(|shown| bool::from(shown.ct_eq(handle)));
        if known && !handle.is_empty() {
            Ok(())
        } else {
            Err(Rejection::Handle(self.audience))
        }
    }
}

fn bearer_of(value: &http::HeaderValue) -> Option<&[u8]> {
    let (scheme, shown) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then_some(shown.trim_ascii())
}

/// `h2c` is an offer that may be ignored (RFC 9110 §7.8); anything else needs the connection itself.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|protocol| !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}
