//! Our client at an authorization server: given, known, or registered (RFC 7591).

mod error;
mod plan;
mod purpose;
mod request;

pub use self::{
    error::RegistrationError,
    plan::{ClientPlan, GivenClient, KnownClients, plan},
    purpose::Purpose,
    request::register,
};

#[cfg(test)]
mod tests;
