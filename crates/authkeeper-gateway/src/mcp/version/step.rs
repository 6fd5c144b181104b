//! What a translator wants done.

use std::time::Duration;

use bytes::Bytes;

use super::messages;
use crate::mcp::codec::message::{IdKey, Message};

/// What a translator wants done.
#[derive(Debug)]
pub(in crate::mcp) enum TranslatorStep {
    ToClient(Bytes),
    ToServer(Message),
    Later(Duration, Message),
}

impl TranslatorStep {
    pub(super) fn to_client(text: String) -> Self {
        Self::ToClient(text.into())
    }

    /// A message that was written here.
    pub(super) fn to_server(text: String) -> Vec<Self> {
        let message = messages::parsed(text);
        message.map(Self::ToServer).into_iter().collect()
    }

    /// The server is to give up the request with this id.
    pub(super) fn cancel(key: &IdKey) -> Vec<Self> {
        let message = messages::cancelled(&key.spelled());
        message.map(Self::ToServer).into_iter().collect()
    }
}
