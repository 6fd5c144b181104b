//! Refusals in the words of the server that a profile models. Statuses, types and texts were read off the real servers.

mod headers;
mod resource;
mod token;

pub(crate) use self::{
    headers::{no_store, oidc_headers},
    resource::{AccessDenial, ChallengeContext, deny},
    token::{TokenEndpointRefusal, refuse, wrong_method},
};
