//! HTTP bodies that stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response body that streams.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body of known bytes.
pub fn whole(bytes: Bytes) -> ResponseBody {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body of the pieces that are sent. It ends when the sender is dropped, and the sender is closed when nobody reads it.
pub(crate) fn sent(pieces: mpsc::Receiver<Bytes>) -> ResponseBody {
    ResponseBody::new(SentBody(pieces))
}

struct SentBody(mpsc::Receiver<Bytes>);

impl Body for SentBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
