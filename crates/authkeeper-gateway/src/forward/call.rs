//! A call to forward.

use std::sync::Arc;

use authkeeper::text::hex::hex;
use bytes::Bytes;
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};

use super::{cookies::CookieJar, target::Target};
use crate::body::ResponseBody;

/// One call to forward.
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// As the caller sent them; the forwarder removes those that belong to one connection.
    pub headers: CallHeaders,
    /// The body.
    pub body: CallBody,
    /// Sending it again after a broken connection cannot do anything twice.
    pub idempotent: bool,
    /// It is part of a session that the server may have forgotten: a 401 that may be about that is its answer, and no
    /// verdict on the token.
    pub in_session: bool,
    /// From [`fingerprint`].
    pub fingerprint: String,
}

impl Call {
    /// The same call once more, if its body can be had again.
    pub(super) fn again(&self) -> Option<Self> {
        let CallBody::Whole(body) = &self.body else {
            return None;
        };
        Some(Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: CallBody::Whole(body.clone()),
            idempotent: self.idempotent,
            in_session: self.in_session,
            fingerprint: self.fingerprint.clone(),
        })
    }
}

/// The headers of a call.
#[derive(Clone)]
pub struct CallHeaders {
    /// Those that the caller sent.
    pub sent: HeaderMap,
    /// The cookies of the caller's session; none sends no cookie and keeps none.
    pub cookies: Option<Arc<CookieJar>>,
}

impl From<HeaderMap> for CallHeaders {
    fn from(sent: HeaderMap) -> Self {
        let cookies = None;
        Self { sent, cookies }
    }
}

/// The body of a call.
pub enum CallBody {
    /// Can be sent again.
    Whole(Bytes),
    /// Can't.
    Stream(ResponseBody),
}

/// A hash that is the same for the same call made again, and holds none of its content.
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}
