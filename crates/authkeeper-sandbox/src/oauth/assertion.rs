//! Signed client assertions (RFC 7523 §3) with ES256, RS256 and `EdDSA`.

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    answers::TokenEndpointRefusal, clock::SandboxTime, state::SandboxState, store::ClientEntry,
};

/// The issuer that an assertion claims. Nothing is checked yet.
pub(crate) fn issuer(jwt: &str) -> Option<String> {
    let claims = part(jwt.split('.').nth(1)?)?;
    Some(claims["iss"].as_str()?.to_owned())
}

pub(crate) fn check(
    state: &mut SandboxState,
    client_id: &str,
    client: &ClientEntry,
    jwt: &str,
) -> Result<(), TokenEndpointRefusal> {
    let held = holds(state, client_id, client, jwt);
    let (id, ends) = held.ok_or(TokenEndpointRefusal::WrongAssertion)?;
    let now = state.now();
    state.store.assertions.retain(|_, ends| *ends > now);
    // An id is accepted once (RFC 7523 §3, point 7).
    match state.store.assertions.insert(id, ends) {
        None => Ok(()),
        Some(_) => Err(TokenEndpointRefusal::WrongAssertion),
    }
}

/// The id and the end of a valid assertion.
fn holds(
    state: &SandboxState,
    client_id: &str,
    client: &ClientEntry,
    jwt: &str,
) -> Option<(String, SandboxTime)> {
    let (signed, signature) = jwt.rsplit_once('.')?;
    let (head, body) = signed.split_once('.')?;
    let (head, claims) = (part(head)?, part(body)?);
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let mut keys = client.jwks.as_ref()?["keys"].as_array()?.iter();
    keys.find(|key| fits(key, &head) && verifies(key, &head, signed, &signature))?;
    let names_us = claims["iss"] == client_id && claims["sub"] == client_id;
    if !names_us || !is_for_us(state, &claims["aud"]) {
        return None;
    }
    let now = state.clock.said(state.now());
    let ends = claims["exp"].as_i64().filter(|ends| *ends > now)?;
    if claims["nbf"].as_i64().is_some_and(|begins| begins > now) {
        return None;
    }
    let left = Duration::from_secs(u64::try_from(ends - now).ok()?);
    let id = claims["jti"].as_str()?;
    Some((format!("{client_id} {id}"), state.now().plus(left)))
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Whether the audience is this server: its issuer or its token endpoint.
fn is_for_us(state: &SandboxState, audience: &Value) -> bool {
    let ours = |value: &Value| {
        let rest = value
            .as_str()
            .and_then(|text| text.strip_prefix(&state.base));
        matches!(rest, Some("" | "/" | "/token"))
    };
    match audience {
        Value::Array(several) => several.iter().any(ours),
        one => ours(one),
    }
}

fn fits(key: &Value, head: &Value) -> bool {
    head["kid"].is_null() || head["kid"] == key["kid"]
}

fn verifies(key: &Value, head: &Value, signed: &str, signature: &[u8]) -> bool {
    let field = |name: &str| {
        let text = key[name].as_str().unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
    };
    let message = signed.as_bytes();
    let kind = (
        head["alg"].as_str(),
        key["kty"].as_str(),
        key["crv"].as_str(),
    );
    match kind {
        (Some("ES256"), Some("EC"), Some("P-256")) => {
            // An uncompressed point (SEC 1 §2.3.3).
            let point = [vec![4], field("x"), field("y")].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(message, signature).is_ok()
        }
        (Some("EdDSA" | "Ed25519"), Some("OKP"), Some("Ed25519")) => {
            let key = UnparsedPublicKey::new(&ED25519, field("x"));
            key.verify(message, signature).is_ok()
        }
        (Some("RS256"), Some("RSA"), _) => {
            let key = RsaPublicKeyComponents {
                n: field("n"),
                e: field("e"),
            };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok()
        }
        _ => false,
    }
}
