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

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It broke off.
    Broken,
    /// It is larger than what is read.
    TooLarge,
}

/// The whole body, if it is no larger than `limit` bytes.
pub(crate) async fn read_bounded(mut body: ResponseBody, limit: usize) -> Result<Bytes, Unread> {
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Unread::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len().max(whole.len()) + data.len() > limit {
            return Err(Unread::TooLarge);
        }
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.into()
    })
}
