//! The answer of a server, on its way to the caller.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    response::{IntoResponse, Response as AxumResponse},
};
use bytes::Bytes;
use http::{Response, header};
use hyper::body::{Frame, SizeHint};

use crate::body::{BoxError, ResponseBody};

/// A server's answer, whose framing stays as it is.
pub(super) struct ServerAnswer(pub(super) Response<ResponseBody>);

impl IntoResponse for ServerAnswer {
    fn into_response(self) -> AxumResponse {
        let mut response = self.0;
        // A cookie would be kept for 127.0.0.1 and shown to whatever else listens there.
        response.headers_mut().remove(header::SET_COOKIE);
        response.map(|body| Body::new(Unmeasured(body)))
    }
}

/// A body that has no length once it has ended: axum would add `content-length: 0` to the answer to a HEAD and to a 304, which
/// says something else about the resource (RFC 9110 §8.6).
struct Unmeasured(ResponseBody);

impl HttpBody for Unmeasured {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::default();
        }
        self.0.size_hint()
    }
}
