//! Built-in scenarios: how a client's refresh is put to the test, and the verdict.
//!
//! The official MCP conformance suite issues no refresh token. These scenarios take its shape, a client that is given the
//! server's URL and `MCP_CONFORMANCE_…` variables, and bring about what it leaves out: tokens that end at the wrong moment,
//! rotation, revocation, a token endpoint that is down. The client need not play along: where a token has to end between two
//! requests, the answer to the first one is held back until it has.
//!
//! ```text
//! list (scenarios) ─▶ plan (what happens when) ─▶ run (it happens) ─▶ evidence (what was seen) ─▶ judge ─▶ check
//! ```
//!
//! The judge knows what reached the sandbox and how the client's process ended, never what a client says of itself.

mod list;
mod observe;
mod plan;
mod run;
mod scenario;

pub(crate) use self::run::BuiltInRun;
pub use self::scenario::{BuiltIn, Runs};
