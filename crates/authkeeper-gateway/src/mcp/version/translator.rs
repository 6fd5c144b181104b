//! Translates between a client and a server of different eras.

use bytes::Bytes;

use super::{step::TranslatorStep, to_handshake::ToHandshake, to_stateless::ToStateless};
use crate::mcp::codec::{
    era::Era,
    message::{IdKey, Message},
};

/// Stands between a client and a server of different eras.
pub(in crate::mcp) enum Translator {
    ToStateless(ToStateless),
    ToHandshake(ToHandshake),
}

impl Translator {
    pub(in crate::mcp) fn servers_era(&self) -> Era {
        match self {
            Self::ToStateless(_) => Era::Stateless,
            Self::ToHandshake(_) => Era::Handshake,
        }
    }

    /// `Err`: the client now speaks the server's era, and needs nobody in between.
    pub(in crate::mcp) fn hear_client(
        &mut self,
        message: Message,
    ) -> Result<Vec<TranslatorStep>, Box<Message>> {
        match self {
            Self::ToHandshake(_) if message.opens_session() => Err(Box::new(message)),
            Self::ToHandshake(translator) => Ok(translator.hear_client(&message)),
            Self::ToStateless(translator) => Ok(translator.hear_client(message)),
        }
    }

    pub(in crate::mcp) fn hear_server(
        &mut self,
        about: Option<&IdKey>,
        message: Bytes,
    ) -> Vec<TranslatorStep> {
        match self {
            Self::ToStateless(translator) => translator.hear_server(message),
            Self::ToHandshake(translator) => translator.hear_server(about, message),
        }
    }

    /// The client is gone.
    pub(in crate::mcp) fn leave(&mut self) -> Vec<TranslatorStep> {
        match self {
            Self::ToStateless(_) => Vec::new(),
            Self::ToHandshake(translator) => translator.leave(),
        }
    }
}
