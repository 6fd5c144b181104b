//! What several unit tests need.

use std::sync::Arc;

use authkeeper::{
    model::{ConnectionName, Event, Record},
    runtime::Runtime,
};
use authkeeper_gateway::{forward::Forwarder, signin_link::Links, token_source::TokenSource};
use jiff::Timestamp;
use tempfile::TempDir;

pub(crate) fn notion() -> ConnectionName {
    ConnectionName::parse("notion").unwrap()
}

pub(crate) fn record(event: Event, connection: &str) -> Record {
    let ts: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Record {
        event,
        connection: connection.to_owned(),
        principal: "local".to_owned(),
        task: Some("t1".to_owned()),
        reason: "refresh_refused".to_owned(),
        detail: "the provider refused the refresh token".to_owned(),
        since: ts,
        expires_at: None,
        scope: None,
        action: format!("authkeeper reauthorize {connection}"),
        link: None,
        trace_id: "0".repeat(32),
        ts,
    }
}

/// A forwarder over an empty store, and the folder of that.
pub(crate) fn forwarder() -> (Forwarder, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::builder(folder.path()).open().unwrap();
    let tokens = TokenSource::new(runtime, None, Links::beside(folder.path()));
    (Arc::new(tokens).forwarder(), folder)
}
