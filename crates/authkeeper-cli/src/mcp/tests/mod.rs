//! The bridge between a client on in-memory pipes and a scripted server.

mod ask;
mod handshake;
mod held;
mod rig;
mod stateless;
mod trouble;
