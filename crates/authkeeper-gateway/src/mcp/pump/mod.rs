//! Carries messages between the client and the server.
//!
//! ```text
//! bridge (the loop) ─▶ negotiate, get_stream ─▶ session_control ─▶ exchange ─▶ wait_progress ─▶ link
//! ```

pub(super) mod bridge;
mod exchange;
mod get_stream;
mod link;
mod negotiate;
mod outcome;
mod session_control;
mod wait_progress;
