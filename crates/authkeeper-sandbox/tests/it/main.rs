//! The sandbox as its clients see it: over a socket, with a client that shares nothing with it.

mod bench;
mod builtin;
mod clients;
mod control;
mod faults;
mod mcp;
mod profiles;
mod signin;
