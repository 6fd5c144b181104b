//! Reads response bodies within bounds.

use std::time::Duration;

use authkeeper::platform::clock::Seams;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use tokio::time::timeout;

use super::answer::refusal;
use crate::{
    body::{ResponseBody, read_bounded},
    error::CallError,
};

/// Of a response that is no answer, so much is read for the server's words, and not for longer.
const LONGEST_REFUSAL: usize = 64 * 1024;
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// The error for a response that is no answer, with what the server says in it.
pub(super) async fn read_refusal(response: Response<ResponseBody>) -> CallError {
    let (head, body) = response.into_parts();
    refusal(&head, &read_refusal_body(body).await, now())
}

/// What a response says that is no answer; nothing if that is too long or does not end.
pub(super) async fn read_refusal_body(body: ResponseBody) -> Bytes {
    let read = timeout(REFUSAL_TIME, read_bounded(body, LONGEST_REFUSAL)).await;
    read.ok().and_then(Result::ok).unwrap_or_default()
}

pub(super) fn now() -> Timestamp {
    Seams::system().clock.now().wall
}
