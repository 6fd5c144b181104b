//! A call to forward, and why it got no response.

use std::time::Duration;

use authkeeper::model::Record;
use bytes::Bytes;
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};

use super::{
    authority::TokenFailure,
    target::{BadTarget, Target},
};
use crate::body::ResponseBody;

/// One call to forward.
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// As the caller sent them; the forwarder removes those that belong to one connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: CallBody,
    /// Sending it again after a broken connection cannot do anything twice.
    pub idempotent: bool,
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
            fingerprint: self.fingerprint.clone(),
        })
    }
}

/// The body of a call.
pub enum CallBody {
    /// Can be sent again.
    Whole(Bytes),
    /// Can't.
    Stream(ResponseBody),
}

/// Why there is no response.
#[derive(Debug)]
pub enum ForwardError {
    /// A person must act; nothing was done.
    Authority {
        /// The incident.
        record: Box<Record>,
    },
    /// A fresh token was refused; nothing was done.
    Rejected {
        /// The incident.
        record: Box<Record>,
    },
    /// The server wants a scope that signing in again has not brought; nothing was done.
    Permission {
        /// The incident.
        record: Box<Record>,
    },
    /// The provider can't be asked for a token now; nothing was done.
    Unavailable {
        /// Why, in words.
        message: String,
        /// When the provider wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// No connection to the server; nothing was done.
    Unreachable {
        /// Why, in words.
        message: String,
    },
    /// The connection broke after the request had left.
    Interrupted {
        /// Why, in words.
        message: String,
    },
    /// There is no such connection (any more).
    NoSuchConnection,
    /// The provider refuses our client, or what it asks for; nothing was done.
    Refused {
        /// Why, as a fixed word.
        reason: &'static str,
        /// Why, in words.
        message: String,
    },
    /// The call goes nowhere that it may go; nothing was done.
    BadTarget(BadTarget),
    /// Ours; nothing was done.
    Fault {
        /// Why, in words.
        message: String,
    },
}

impl From<TokenFailure> for ForwardError {
    fn from(refusal: TokenFailure) -> Self {
        match refusal {
            TokenFailure::Authority { record } => Self::Authority { record },
            TokenFailure::Rejected { record } => Self::Rejected { record },
            TokenFailure::Permission { record } => Self::Permission { record },
            TokenFailure::Unavailable {
                message,
                retry_after,
                ..
            } => Self::Unavailable {
                message,
                retry_after,
            },
            TokenFailure::NoSuchConnection => Self::NoSuchConnection,
            TokenFailure::Refused { reason, message } => Self::Refused { reason, message },
            TokenFailure::Fault { message, .. } => Self::Fault { message },
        }
    }
}

/// A hash that is the same for the same call made again, and holds none of its content.
pub fn fingerprint(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// What happened and what a person must do, in two sentences.
pub(crate) fn described(record: &Record) -> String {
    let link = record
        .link
        .as_ref()
        .map_or_else(String::new, |link| format!("open {link}, or: "));
    format!(
        "{}: {}. What a person must do: {link}{}",
        record.connection, record.detail, record.action
    )
}
