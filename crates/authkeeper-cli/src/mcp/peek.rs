//! A message that crosses as HTTP: looked at, so that it gets an answer if it can't be carried.

use bytes::Bytes;

use super::answer::Failure;
use super::message::{Kind, Message};
use super::upstream::UpstreamError;

/// One message, or a batch of them.
pub(crate) struct Peeked(Message);

impl Peeked {
    /// None: no JSON-RPC message, which is for the server to say.
    pub(crate) fn at(body: &Bytes) -> Option<Self> {
        Message::parse(body.clone()).ok().map(Self)
    }

    /// Whether it wants an answer.
    pub(crate) fn asks(&self) -> bool {
        !self.0.awaited().is_empty()
    }

    /// Whether its answer is a stream that stays open (2026-07-28).
    pub(crate) fn listens(&self) -> bool {
        self.0.is_request("subscriptions/listen")
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.0.is_idempotent()
    }

    /// The same for the same call made again.
    pub(crate) fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    /// The error that each of its requests gets.
    pub(crate) fn refused(&self, error: UpstreamError) -> Bytes {
        let failure = Failure::from(error);
        let mut answers = self.0.awaited().into_iter().map(|id| failure.answer(&id));
        match &self.0.kind {
            Kind::Batch(_) => {
                let all: Vec<Bytes> = answers.collect();
                [b"[", all.join(&b","[..]).as_slice(), b"]"].concat().into()
            }
            _ => answers.next().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn peeked(text: &'static str) -> Peeked {
        Peeked::at(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn refused(text: &'static str) -> Value {
        let error = UpstreamError::Unavailable {
            message: "busy".to_owned(),
        };
        serde_json::from_slice(&peeked(text).refused(error)).unwrap()
    }

    #[test]
    fn each_request_is_answered_under_its_own_id() {
        let one = refused(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call"}"#);
        assert_eq!(one["id"], "a");
        assert_eq!(one["error"]["code"], -31003);
        let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"x"},{"jsonrpc":"2.0","method":"y"},{"jsonrpc":"2.0","id":2,"method":"z"}]"#;
        let many = refused(batch);
        assert_eq!((&many[0]["id"], &many[1]["id"]), (&1.into(), &2.into()));
        assert_eq!(many.as_array().unwrap().len(), 2);
    }

    #[test]
    fn who_asks_nothing_is_told_so() {
        assert!(!peeked(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).asks());
        assert!(!peeked(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).asks());
        assert!(peeked(r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#).listens());
        assert!(Peeked::at(&Bytes::from_static(b"no json")).is_none());
    }
}
