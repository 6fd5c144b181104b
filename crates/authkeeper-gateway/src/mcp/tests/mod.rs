//! The bridge between a client on in-memory pipes and a scripted server.

mod call_errors;
mod forward_upstream;
mod get_stream;
mod handshake;
mod http_sse;
mod list_tools;
mod memory;
mod negotiation;
mod rig;
mod stateless;
mod versions;
mod wait_progress;
