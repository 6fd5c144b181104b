//! A message that crosses as HTTP: looked at, so that it gets an answer if it can't be carried.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::{
    answer::{Shape, Verdict, judge, refusal, shape},
    codec::{
        framing::one_line,
        message::{Id, Kind, Message},
    },
    error_message::{self, attributed},
    progress::heard,
    response_body::{now, read_refusal},
};
use crate::{
    body::{ResponseBody, Unread, read_bounded},
    error::CallError,
    wait::WaitReason,
};

/// One message, or a batch of them.
pub(crate) struct HttpMessage(Message);

impl HttpMessage {
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

    /// Whether its answer is all in a message; a handshake's brings the session's id beside it.
    pub(crate) fn says_all_in_its_answer(&self) -> bool {
        self.asks() && !self.0.opens_session()
    }

    /// What its client hears while it waits for a person, the `told`th time; nothing if it did not ask for progress.
    pub(crate) fn progress(
        &self,
        told: u32,
        waits_for: &WaitReason,
        waited: Duration,
    ) -> Option<Bytes> {
        heard(&self.0, told, waits_for, waited)
    }

    /// The error that each of its requests gets.
    pub(crate) fn refused(&self, error: &CallError) -> Bytes {
        self.each(|id| error_message::answer(error, id))
    }

    fn each(&self, answer: impl Fn(&Id) -> Bytes) -> Bytes {
        let mut answers = self.0.awaited().into_iter().map(|id| answer(&id));
        match &self.0.kind {
            Kind::Batch(_) => {
                let all: Vec<Bytes> = answers.collect();
                [b"[", all.join(&b","[..]).as_slice(), b"]"].concat().into()
            }
            _ => answers.next().unwrap_or_default(),
        }
    }

    /// The server's answer without its status and headers: one line, in which each request is answered.
    pub(crate) async fn answered(&self, response: Response<ResponseBody>, limit: usize) -> Bytes {
        if shape(&response) != Shape::Json {
            return self.refused(&read_refusal(response).await);
        }
        let (head, body) = response.into_parts();
        let body = match read_bounded(body, limit).await {
            Ok(body) => body,
            Err(Unread::Broken) => return self.refused(&CallError::broken_off()),
            Err(Unread::TooLarge) => return self.refused(&CallError::answer_too_large(limit)),
        };
        match judge(head.status, &body, &self.0.awaited()) {
            Verdict::Forward => one_line(body),
            Verdict::Attribute(error) => self.each(|id| one_line(attributed(id.raw(), &error))),
            Verdict::Unusable => self.refused(&refusal(&head, &body, now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn peeked(text: &'static str) -> HttpMessage {
        HttpMessage::at(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn refused(text: &'static str) -> Value {
        let error = CallError::provider_unavailable("busy", None);
        serde_json::from_slice(&peeked(text).refused(&error)).unwrap()
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
        assert!(HttpMessage::at(&Bytes::from_static(b"no json")).is_none());
    }
}
