//! The device authorization request and its response (RFC 8628 §3.1, §3.2).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    http::{HttpUrl, Reply, Request},
    model::{Issuer, Resource, Scope},
    oauth::{
        classify::{self},
        client_auth::ClientProof,
        device::{
            error::DeviceError,
            poll::{FASTEST, INTERVAL, SLOWEST},
        },
        published_url::parse_published,
    },
    secret::SecretString,
    text::sanitize::one_line,
};

/// A server that names no end has one all the same.
const LONGEST: Duration = Duration::from_mins(30);

/// A sign-in that waits for a person at another device.
#[derive(Clone, Debug)]
pub struct DeviceSignIn {
    /// Ours: what is polled with.
    pub device_code: SecretString,
    /// The person's: what is typed at the other device.
    pub user_code: String,
    /// Where it is typed.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: Option<String>,
    /// How long to wait between polls.
    pub interval: Duration,
    /// When the code ends.
    pub ends: Timestamp,
}

/// Asks for a code (RFC 8628 §3.1).
pub fn device_authorization_request(
    client: &ClientProof,
    scope: Option<&Scope>,
    resource: Option<&Resource>,
) -> Request {
    let mut fields = vec![];
    fields.extend(scope.map(|scope| ("scope", scope.as_str())));
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}

/// Reads the answer (RFC 8628 §3.2). `verification_url` is how Google spelled it before the RFC.
pub fn read_device_authorization(
    issuer: &Issuer,
    reply: &Reply,
    now: Timestamp,
) -> Result<DeviceSignIn, DeviceError> {
    let unreadable = || DeviceError::Unreadable(crate::oauth::body_hint(reply));
    let body: Value = reply.json().ok_or_else(unreadable)?;
    if let Some(refused) = classify::error_of(&body) {
        return Err(DeviceError::Refused(refused.to_string()));
    }
    let text = |key: &str| {
        let text = body.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let uri = text("verification_uri").or_else(|| text("verification_url"));
    let verification_uri = uri.ok_or_else(unreadable)?;
    parse_published(issuer.as_str(), "verification_uri", &verification_uri)?;
    let complete = text("verification_uri_complete");
    let seconds = |key: &str| Some(Duration::from_secs(body.get(key)?.as_u64()?));
    let lives = seconds("expires_in").unwrap_or(LONGEST).min(LONGEST);
    Ok(DeviceSignIn {
        device_code: text("device_code").ok_or_else(unreadable)?.into(),
        user_code: one_line(&text("user_code").ok_or_else(unreadable)?),
        verification_uri,
        verification_uri_complete: complete.filter(|uri| HttpUrl::parse(uri).is_ok()),
        interval: seconds("interval")
            .unwrap_or(INTERVAL)
            .clamp(FASTEST, SLOWEST),
        ends: now.saturating_add(lives).unwrap_or(Timestamp::MAX),
    })
}
