//! A bridge over a [`Forwarder`].

use std::sync::Arc;

use authkeeper::model::Event;
use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::{
    error::{CallError, CallErrorKind},
    forward::{
        Forwarder,
        tests::{FakeAuthority, accepting, notion, record, wanting},
    },
    mcp::{
        forward_upstream::ForwardUpstream,
        upstream::{Upstream, UpstreamRequest},
    },
    wait::Waiting,
};

#[tokio::test]
async fn a_refused_scope_is_told_as_a_matter_of_policy() {
    let server = wanting("none").await;
    let authority = FakeAuthority::stepping(&server.url, || {
        let mut record = record(Event::ScopeRequired, "notion");
        "scope_refused".clone_into(&mut record.reason);
        Err(CallError::of_incident(
            CallErrorKind::ScopeRefused,
            Box::new(record),
        ))
    });
    let bound = ForwardUpstream::new(Arc::new(Forwarder::new(authority.clone())), notion());
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send"}}"#;
    let request = UpstreamRequest {
        endpoint: None,
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::from(body),
        idempotent: false,
        in_session: false,
        fingerprint: "tools/call".to_owned(),
    };
    let error = bound.send(request, &Waiting::default()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::ScopeRefused);
    assert_eq!(error.reason(), "scope_refused");
    assert_eq!(
        authority.stepped.lock().unwrap()[0].operation,
        "tools/call send"
    );
    assert_eq!(authority.failed.lock().unwrap()[0].1, "scope_refused");
}

#[tokio::test]
async fn without_authority_nothing_is_sent_and_the_bridge_gets_the_record() {
    let server = accepting("tok-1").await;
    let authority = FakeAuthority::dead(&server.url);
    let bound = ForwardUpstream::new(Arc::new(Forwarder::new(authority.clone())), notion());
    let request = UpstreamRequest {
        endpoint: None,
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        idempotent: false,
        in_session: false,
        fingerprint: "tools/call secret-argument".to_owned(),
    };
    let error = bound.send(request, &Waiting::default()).await.unwrap_err();
    let action = "authkeeper reauthorize notion";
    assert_eq!(error.action().as_deref(), Some(action));
    assert!(error.message.contains(action), "{error}");
    assert!(server.heads.lock().unwrap().is_empty());
    let failed = authority.failed.lock().unwrap().clone();
    assert_eq!(
        (failed[0].0.len(), failed[0].1.as_str()),
        (64, "refresh_refused")
    );
}
