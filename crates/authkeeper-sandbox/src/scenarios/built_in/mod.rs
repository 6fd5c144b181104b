//! Built-in scenarios, which test how a client refreshes.
//!
//! The official MCP conformance suite issues no refresh token. These scenarios have its form (the client gets the server's
//! URL and `MCP_CONFORMANCE_…` variables) and test what it leaves out: tokens that expire at the wrong moment, rotation,
//! revocation, a token endpoint that is unavailable. The client need not cooperate: where a token has to expire between two
//! requests, the reply to the first one is held back until it has.
//!
//! ```text
//! list (the scenarios) ─▶ plan (data) ─▶ run (performs the plan) ─▶ evidence (observations) ─▶ judge ─▶ checks
//! ```
//!
//! The judge knows the requests that reached the sandbox and how the client's process ended. It never asks the client.

mod list;
mod observe;
mod plan;
mod run;
mod scenario;

pub(crate) use self::run::BuiltInRun;
pub use self::scenario::{BuiltIn, Runs};
