//! The HTTP request that a call becomes.

use std::sync::{Arc, LazyLock};

use authkeeper::{
    oauth::dpop,
    platform::clock::{Clock as _, SystemClock},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};

use super::{
    authority::CallToken,
    call::{CallBody, CallHeaders},
    cookies::CookieJar,
    headers, operation,
};
use crate::{
    body::{ResponseBody, whole},
    error::{CallError, CallErrorKind},
};

pub(super) struct Outgoing {
    pub(super) method: Method,
    headers: HeaderMap,
    cookies: Option<Arc<CookieJar>>,
    body: Option<CallBody>,
    pub(super) idempotent: bool,
}

impl Outgoing {
    pub(super) fn new(
        method: Method,
        headers: CallHeaders,
        body: CallBody,
        idempotent: bool,
    ) -> Self {
        let CallHeaders {
            sent: mut headers,
            cookies,
        } = headers;
        headers::strip_hop_by_hop(&mut headers);
        headers::strip_ours(&mut headers);
        if matches!(body, CallBody::Whole(_)) {
            headers.remove(header::CONTENT_LENGTH);
        }
        Self {
            method,
            headers,
            cookies,
            body: Some(body),
            idempotent,
        }
    }

    /// In words, for counting and telling.
    pub(super) fn operation(&self, uri: &Uri) -> String {
        let body = match &self.body {
            Some(CallBody::Whole(bytes)) => Some(bytes),
            _ => None,
        };
        operation::operation(&self.method, uri, body)
    }

    pub(super) fn replayable(&self) -> bool {
        matches!(self.body, Some(CallBody::Whole(_)))
    }

    pub(super) fn request(
        &mut self,
        uri: &Uri,
        token: &CallToken,
    ) -> Result<Request<ResponseBody>, CallError> {
        let (name, value) = token_header(token)?;
        let body = match self.body.take() {
            Some(CallBody::Whole(bytes)) => {
                self.body = Some(CallBody::Whole(bytes.clone()));
                whole(bytes)
            }
            Some(CallBody::Stream(stream)) => stream,
            None => whole(Bytes::new()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        let mut headers = self.headers.clone();
        token.headers.put_into(&mut headers);
        headers.insert(name, value);
        let cookies = self.cookies.as_deref();
        if let Some(cookies) = cookies.and_then(|jar| jar.show(uri, now())) {
            headers.insert(header::COOKIE, cookies);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Keeps the cookies that an answer sets, if the caller has a session to keep them for.
    pub(super) fn hear(&self, uri: &Uri, answer: &HeaderMap) {
        if let Some(jar) = &self.cookies {
            jar.hear(uri, answer, now());
        }
    }
}

/// To make a clock costs a look at which boot this is: too much for each call.
static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

fn now() -> jiff::Timestamp {
    CLOCK.now().wall
}

#[expect(
    clippy::disallowed_methods,
    reason = "the access token goes to the server it was issued for"
)]
/// The header that the token stands in.
fn token_header(token: &CallToken) -> Result<(HeaderName, HeaderValue), CallError> {
    let presentation = &token.presentation;
    let unprintable = || {
        let message = "the token can't stand in the header that it is shown in";
        CallError::new(CallErrorKind::Fault, message)
    };
    let text = format!("{}{}", presentation.prefix(), token.secret.expose());
    let mut value = HeaderValue::try_from(text).map_err(|_unprintable| unprintable())?;
    value.set_sensitive(true);
    let name = HeaderName::try_from(presentation.header()).map_err(|_name| unprintable())?;
    Ok((name, value))
}

/// The proof that a bound token is shown with, made for this one request (RFC 9449 §7.1).
pub(super) fn proof(
    method: &Method,
    uri: &Uri,
    token: &CallToken,
) -> Result<Option<HeaderValue>, CallError> {
    let Some(binding) = &token.binding else {
        return Ok(None);
    };
    let proof = binding.proof(method, uri, Some(&token.secret));
    proof
        .map(Some)
        .map_err(|unusable| CallError::new(CallErrorKind::Fault, unusable.to_string()))
}

/// Whether the server wants its nonce in the proof (RFC 9449 §9).
pub(super) fn wants_nonce<B>(response: &Response<B>) -> bool {
    dpop::wants_nonce(response.status(), response.headers())
}
