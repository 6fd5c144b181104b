//! Request bodies: small ones are kept, so that they can be sent again; large ones stream through.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

use super::error_response::Rejection;
use crate::{
    body::{BoxError, ResponseBody},
    forward::CallBody,
};

/// What was read of a body before it was decided what to do with it.
pub(super) struct StartedBody {
    pub(super) body: CallBody,
    /// The whole body, or its beginning.
    pub(super) seen: Bytes,
}

/// Reads until the end or beyond `limit`.
pub(super) async fn start(mut incoming: Body, limit: usize) -> Result<StartedBody, Rejection> {
    let mut first = Vec::new();
    while first.len() <= limit {
        let Some(frame) = incoming.frame().await else {
            let seen = Bytes::from(first);
            return Ok(StartedBody {
                body: CallBody::Whole(seen.clone()),
                seen,
            });
        };
        if let Ok(data) = frame.map_err(|_broken| Rejection::Body)?.into_data() {
            first.extend_from_slice(&data);
        }
    }
    let seen = Bytes::from(first);
    let first = VecDeque::from([seen.clone()]);
    let body = ResponseBody::new(Prefixed {
        first,
        rest: incoming,
    });
    Ok(StartedBody {
        body: CallBody::Stream(body),
        seen,
    })
}

/// What was read, then what is still to come.
struct Prefixed {
    first: VecDeque<Bytes>,
    rest: Body,
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Pin::new(&mut self.rest)
            .poll_frame(context)
            .map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first: u64 = self.first.iter().map(|bytes| bytes.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint.set_lower(rest.lower().saturating_add(first));
        hint
    }
}
