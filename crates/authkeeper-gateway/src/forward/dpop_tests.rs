//! Calls with a token that is bound to a key (RFC 9449).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use authkeeper::{
    model::Presentation,
    oauth::dpop::{Binding, ProofKey},
    platform::clock::Seams,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{tests::*, *};
use crate::{
    body::{ResponseBody, whole},
    error::CallError,
};

fn claims(head: &http::request::Parts) -> Value {
    let proof = head.headers["dpop"].to_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap());
    serde_json::from_slice(&claims.unwrap()).unwrap()
}

/// A server that wants its number in each proof; every second call it is another one.
async fn with_nonces() -> Server {
    let calls = AtomicUsize::new(0);
    Server::start(move |head, body| {
        let nonce = format!("n{}", calls.fetch_add(1, Ordering::SeqCst) / 2);
        let given = claims(&head)["nonce"].as_str().map(str::to_owned);
        async move {
            let _ = body.collect().await;
            let good = given.as_deref() == Some(&nonce);
            let mut answer = status(if good { 200 } else { 401 });
            let headers = answer.headers_mut();
            headers.insert("dpop-nonce", nonce.parse().unwrap());
            if !good {
                let asked = HeaderValue::from_static(r#"DPoP error="use_dpop_nonce""#);
                headers.insert("www-authenticate", asked);
            }
            answer
        }
    })
    .await
}

fn bound(url: &str) -> Arc<FakeAuthority> {
    let (key, _) = ProofKey::generate().unwrap();
    let binding = Binding::new(key, Arc::default(), Seams::system());
    FakeAuthority::bound(url, (Presentation::bound(), binding))
}

async fn forward(
    authority: &Arc<FakeAuthority>,
    body: CallBody,
) -> Result<Response<ResponseBody>, CallError> {
    let mut headers = HeaderMap::new();
    headers.insert("dpop", HeaderValue::from_static("the agent's own"));
    let call = Call {
        method: Method::POST,
        target: Target::below("/x", Some("q=1")).unwrap(),
        headers: headers.into(),
        body,
        idempotent: false,
        in_session: false,
        fingerprint: "f1".to_owned(),
    };
    let authority: Arc<dyn Authority> = authority.clone();
    Forwarder::new(authority).forward(&notion(), call).await
}

fn kept() -> CallBody {
    CallBody::Whole(Bytes::from_static(b"hello"))
}

#[tokio::test]
async fn a_servers_number_costs_one_more_request_and_no_token() {
    let server = with_nonces().await;
    let authority = bound(&server.url);
    for _ in 0..2 {
        let response = forward(&authority, kept()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("dpop-nonce"));
    }
    assert_eq!(
        *authority.asked.lock().unwrap(),
        [None, None],
        "no token was refused"
    );
    assert!(authority.failed.lock().unwrap().is_empty());
    let heads = server.heads.lock().unwrap().clone();
    assert_eq!(
        heads.len(),
        4,
        "the number that was learned first is another one by now"
    );
    let all: Vec<Value> = heads.iter().map(claims).collect();
    for (head, claims) in heads.iter().zip(&all) {
        assert_eq!(head.headers["authorization"], "DPoP tok-1");
        assert_eq!(head.headers.get_all("dpop").iter().count(), 1);
        assert_eq!(
            claims["htu"],
            format!("{}/x", server.url),
            "without the query"
        );
        assert_eq!(claims["htm"], "POST");
        assert!(claims["ath"].is_string());
    }
    let numbers: std::collections::BTreeSet<&str> = all
        .iter()
        .map(|claims| claims["jti"].as_str().unwrap())
        .collect();
    assert_eq!(numbers.len(), 4, "each proof is good once");
}

#[tokio::test]
async fn a_body_that_is_gone_is_not_sent_again_and_the_token_is_not_blamed() {
    let server = with_nonces().await;
    let authority = bound(&server.url);
    let body = CallBody::Stream(whole(Bytes::from_static(b"hello")));
    let response = forward(&authority, body).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(*authority.asked.lock().unwrap(), [None]);
    assert_eq!(authority.failed.lock().unwrap()[0].1, "dpop_nonce");
    assert_eq!(server.heads.lock().unwrap().len(), 1);
}
