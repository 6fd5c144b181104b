//! Signing in on another device (RFC 8628).

mod authorization;
mod error;
mod poll;

pub use self::{
    authorization::{DeviceSignIn, device_authorization_request, read_device_authorization},
    error::DeviceError,
    poll::{Pace, Poll, read_poll, said_meanwhile},
};

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests look at what came")]
mod tests;
