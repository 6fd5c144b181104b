//! Signing in on another device (RFC 8628).

mod authorization;
mod error;
mod poll;

pub use self::{
    authorization::{DeviceSignIn, device_authorization_request, read_device_authorization},
    error::DeviceError,
    poll::{Pace, Poll, read_poll},
};

#[cfg(test)]
mod tests;
