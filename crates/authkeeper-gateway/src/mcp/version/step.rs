//! What a translator wants done.

use std::time::Duration;

use bytes::Bytes;

use crate::mcp::codec::message::Message;

/// What a translator wants done.
#[derive(Debug)]
pub(in crate::mcp) enum TranslatorStep {
    ToClient(Bytes),
    ToServer(Message),
    Later(Duration, Message),
}
