//! The outcome of a refresh, as its callers see it.

use std::{sync::Arc, time::Duration};

use crate::{http::ConnectError, model::UnknownKind, oauth::classify::Refused, store::StoreError};

/// How a flight ended. Every waiter gets the same.
#[derive(Clone, Debug)]
pub(crate) enum RefreshOutcome {
    /// A newer generation is in the store.
    Fresh,
    /// The grant is over; the store says so.
    Refused,
    /// Suspended or disconnected meanwhile.
    Withdrawn,
    /// A refresh was sent, its answer was lost, and the time to ask again has not come.
    Uncertain {
        kind: UnknownKind,
        resend_in: Duration,
    },
    /// Surely nothing happened at the provider; later.
    Later {
        why: String,
        retry_after: Option<Duration>,
    },
    /// No connection comes about before a person has set something. Nothing happened at the provider, and it is tried
    /// again like what passes by itself.
    Unconnected { why: String, action: String },
    /// Our client was refused.
    Client(Refused),
    /// What we asked for was refused.
    Request(Refused),
    /// The token endpoint has moved, and the issuer names no other.
    Moved(String),
    /// The store can't be read or written, so nothing was spent.
    Store(Arc<StoreError>),
}

impl RefreshOutcome {
    /// Nothing happened at the provider; a later attempt may succeed.
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self::Later {
            why: why.into(),
            retry_after: None,
        }
    }

    /// No connection.
    pub(crate) fn unconnected(error: &ConnectError) -> Self {
        let why = error.to_string();
        match error.remedy() {
            Some(action) => Self::Unconnected {
                why,
                action: action.to_owned(),
            },
            None => Self::later(why),
        }
    }

    /// The word kept in the decision log.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Uncertain { .. } => "uncertain",
            Self::Later { .. } => "later",
            Self::Unconnected { .. } => "unconnected",
            Self::Client(_) => "client_refused",
            Self::Request(_) => "request_refused",
            Self::Moved(_) => "endpoint_moved",
            Self::Store(_) => "store",
        }
    }
}
