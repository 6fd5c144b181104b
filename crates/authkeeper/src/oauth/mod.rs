//! The OAuth wire: one file per flow or RFC. Requests are built and replies read in pure functions; the few async
//! functions only carry them.
//!
//! Identity strings (issuer, resource, redirect URI) are compared byte for byte and never normalised.

mod answer;
pub mod assertion;
pub mod authorize;
pub mod challenge;
pub mod classify;
pub mod client_auth;
pub mod device;
pub mod discovery;
pub mod dpop;
mod error_codes;
mod error_response;
mod error_words;
mod exchange;
pub mod grant;
pub mod id_jag;
mod jwt;
mod legacy_discovery;
mod lifetime;
pub mod loopback;
pub(crate) mod moved;
mod published_url;
mod quote;
mod refused;
pub mod register;
pub mod resource_error;
pub mod revoke;
pub mod sign_in_page;
pub mod token;
pub mod unrecognized_response;
mod with_headers;

pub use self::{exchange::WireError, published_url::PublishedUrl};
pub(crate) use self::{
    exchange::{exchange, exchange_by},
    jwt::bound_certificate,
    quote::{GUESS, body_hint},
    with_headers::WithHeaders,
};
