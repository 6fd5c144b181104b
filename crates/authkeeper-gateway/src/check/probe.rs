//! One HTTP request that proves a connection.

use authkeeper::{http::USER_AGENT, model::Connection, oauth::resource_error};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};

use super::Probe;
use crate::{
    body::{Unread, read_bounded},
    error::CallError,
    forward::{Call, CallBody, Forwarder, fingerprint},
};

/// No answer that proves something is larger.
const ANSWER_LIMIT: usize = 8 << 20;

/// What a server answered.
#[derive(Debug)]
pub struct ProbeAnswer {
    /// The request, without the query, which may hold private data.
    pub call: String,
    /// Its status.
    pub status: StatusCode,
    /// The server's own words for a refusal.
    pub said: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// Why a server answered nothing.
#[derive(Debug)]
pub enum ProbeError {
    /// The request may not go where it is to go.
    BadTarget(String),
    /// It got no answer.
    NotCarried(Box<CallError>),
    /// Its answer broke off, or is too large.
    BrokenOff(String),
}

/// Sends the probe over the connection.
///
/// # Errors
///
/// [`ProbeError`] says why there is no answer.
pub async fn request(
    forwarder: &Forwarder,
    connection: &Connection,
    mut probe: Probe,
) -> Result<ProbeAnswer, ProbeError> {
    let target = probe.target.under(&connection.url);
    let shown = target.map_err(|bad| ProbeError::BadTarget(bad.to_string()))?;
    let accept = HeaderValue::from_static("application/json, */*;q=0.5");
    probe.headers.entry(header::ACCEPT).or_insert(accept);
    let agent = HeaderValue::from_static(USER_AGENT);
    probe.headers.entry(header::USER_AGENT).or_insert(agent);
    let method = probe.method.clone();
    let forwarded = forwarder.forward(&connection.name, call_of(probe)).await;
    let response = forwarded.map_err(|error| ProbeError::NotCarried(Box::new(error)))?;
    let (head, body) = response.into_parts();
    let body = read_bounded(body, ANSWER_LIMIT).await;
    let body = body.map_err(|unread| match unread {
        Unread::Broken => ProbeError::BrokenOff("the connection broke".to_owned()),
        Unread::TooLarge => {
            ProbeError::BrokenOff(format!("it is larger than {ANSWER_LIMIT} bytes"))
        }
    })?;
    Ok(ProbeAnswer {
        call: described(&method, &shown),
        status: head.status,
        said: resource_error::said(&head.headers, &body),
        body,
    })
}

fn call_of(probe: Probe) -> Call {
    Call {
        fingerprint: fingerprint(&[b"check", probe.target.spelled().as_bytes()]),
        idempotent: probe.method.is_safe(),
        in_session: false,
        method: probe.method,
        target: probe.target,
        headers: probe.headers.into(),
        body: CallBody::Whole(probe.body),
    }
}

fn described(method: &Method, uri: &Uri) -> String {
    let text = uri.to_string();
    let without_query = text.split('?').next().unwrap_or_default();
    format!("{method} {without_query}")
}
