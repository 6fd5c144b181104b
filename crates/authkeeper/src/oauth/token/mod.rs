//! The token endpoint (RFC 6749 §4.1.3, §5, §6; RFC 8707).

mod request;
mod response;

pub(super) use self::response::refresh_alone;
pub use self::{
    request::{
        client_credentials_request, code_request, device_request, jwt_bearer_request,
        refresh_request,
    },
    response::{ASSUMED_LIFETIME, TokenAnswer},
};

#[cfg(test)]
mod tests;
