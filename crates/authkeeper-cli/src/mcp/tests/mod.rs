//! The bridge between a client on in-memory pipes and a scripted server.

mod ask;
mod eras;
mod handshake;
mod held;
mod incident;
mod listening;
mod memory;
mod rig;
mod stateless;
