//! The loopback servers. An answer of their own carries [`ERROR_HEADER`].
//!
//! | server | what is reached | by whom |
//! |---|---|---|
//! | [`RunProxy`], one for each run, on a port of its own | `$AUTHKEEPER_URL/c/NAME/…` | a caller with the task handle, of what the task declared |
//! | [`McpEndpoint`], the daemon's | `/mcp/NAME`, an MCP server's endpoint | a caller with the daemon's handle |
//! | | `/healthz`, `/livez` | any program of this machine |
//! | | `/sign-in/NAME/ID`, if it has a public URL | a person with the link |
//!
//! ```text
//! daemon ─┬─ Handle       who may call
//!         ├─ refresh_all  keeps every connection fresh, new ones too
//!         └─ McpEndpoint  /mcp/NAME, /healthz, /livez
//! ```

mod access;
mod bearer;
mod error_response;
mod health_endpoint;
mod mcp_endpoint;
mod public_sign_in;
mod refresh_all;
mod request_body;
mod run_proxy;
mod server_answer;
mod session_cookies;
#[cfg(test)]
mod tests;
mod wait_stream;

pub use self::{
    bearer::{Handle, HandleError},
    error_response::ERROR_HEADER,
    health_endpoint::{HealthSource, NamedHealth},
    mcp_endpoint::McpEndpoint,
    refresh_all::refresh_all,
    run_proxy::RunProxy,
};
pub use crate::listener::{Limits, is_taken};
