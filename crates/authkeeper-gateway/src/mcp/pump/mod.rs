//! Carries messages between the client and the server. Each module uses those to its right only.
//!
//! ```text
//! life (the phases, the loop) ─▶ job, get_stream ─▶ negotiate ─▶ session_control ─▶ exchange ─▶ wait_progress ─▶ link
//! ```
//!
//! Nothing below the loop tells it what to do: a job returns what follows from its message ([`JobEnd`](job::JobEnd)), as an
//! exchange returns what it needs before it can go on ([`Needs`](exchange::Needs)).

mod exchange;
mod get_stream;
mod in_flight;
mod job;
pub(super) mod life;
mod link;
mod negotiate;
pub(super) mod outcome;
mod session_control;
mod wait_progress;
