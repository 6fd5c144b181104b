//! A person signed in on another device (RFC 8628).

use crate::{
    http::Request,
    model::{GrantType, Resource},
    oauth::{
        client_auth::ClientProof,
        grant::flow::{GrantFlow, GrantRequest},
    },
    secret::SecretString,
};

/// The device authorization grant.
pub(super) struct DeviceCode;

impl GrantFlow for DeviceCode {
    fn grant_type(&self) -> GrantType {
        GrantType::DeviceCode
    }

    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request> {
        asked.refresh()
    }
}

/// A request that asks whether a person has signed in on the other device (RFC 8628 §3.4).
pub fn device_request(
    client: &ClientProof,
    device_code: &SecretString,
    resource: Option<&Resource>,
) -> Request {
    #[expect(
        clippy::disallowed_methods,
        reason = "the device code is sent to its issuer"
    )]
    let code = device_code.expose();
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", code.as_str()),
    ];
    fields.extend(resource.map(|resource| ("resource", resource.as_str())));
    client.form(&fields)
}
