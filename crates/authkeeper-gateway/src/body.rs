//! HTTP bodies that stream.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};

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
