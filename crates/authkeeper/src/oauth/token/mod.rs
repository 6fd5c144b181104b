//! The token endpoint (RFC 6749 §5, §6; RFC 8707).

mod request;
mod response;

pub(super) use self::response::refresh_alone;
pub use self::{
    request::refresh_request,
    response::{ASSUMED_LIFETIME, TokenAnswer},
};

#[cfg(test)]
mod tests;
