//! JSON-RPC messages and how they travel: lines, events, objects in their own spelling.

pub(super) mod era;
pub(super) mod framing;
pub(super) mod json_object;
pub(super) mod message;
pub(super) mod reconnect;
pub(super) mod sse;
