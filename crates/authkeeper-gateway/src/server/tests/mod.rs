//! The loopback servers on real sockets, before scripted servers.

mod access;
mod framing;
mod lifecycle;
mod mcp_endpoint;
mod rig;
mod run_proxy;
mod wait_stream;
