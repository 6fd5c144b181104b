//! The protected resources: the MCP server and the plain API, with one access check.

mod access;
pub(crate) mod api;
pub(crate) mod mcp;
mod streams;
mod tools;

pub(crate) use self::access::userinfo;
