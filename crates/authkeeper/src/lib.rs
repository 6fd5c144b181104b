//! scaffolding
pub mod clock;
pub mod http;
pub mod model;
pub mod oauth;
pub mod refresh;
pub mod secret;
