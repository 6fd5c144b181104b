//! Progress notifications for a request that waits, unsent.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::codec::message::Message;
use crate::wait::WaitReason;

/// Progress for a client that hears it in another way; `None` if it did not ask for any.
pub(super) fn heard(
    message: &Message,
    told: u32,
    waits_for: &WaitReason,
    waited: Duration,
) -> Option<Bytes> {
    let token = progress_token(message)?;
    Some(said(&token, told, waits_for, waited))
}

pub(super) fn said(token: &RawValue, told: u32, waits_for: &WaitReason, waited: Duration) -> Bytes {
    progress(token, told, &sentence(waits_for, waited)).into()
}

fn sentence(waits_for: &WaitReason, waited: Duration) -> String {
    let whole = |span: Duration| match span.as_secs() {
        seconds if seconds >= 120 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    format!(
        "{} Waited {} so far, at most {}.",
        waits_for.what,
        whole(waited),
        whole(waits_for.limit)
    )
}

/// The same in both eras. `progress` must only grow (2026-07-28, basic/patterns/progress), also when the server goes on
/// from its own 0 or 1 afterwards: so these stay far below.
fn progress(token: &RawValue, told: u32, sentence: &str) -> String {
    let progress = f64::from(told) / 1e6;
    let message = json!(sentence);
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{progress},"message":{message}}}}}"#
    )
}

/// As the client spelled it; looked for only when there is something to tell.
pub(super) fn progress_token(message: &Message) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct ProgressEnvelope<'a> {
        #[serde(borrow)]
        params: ProgressParams<'a>,
    }
    #[derive(Deserialize)]
    struct ProgressParams<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Meta<'a>,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "progressToken")]
        token: &'a RawValue,
    }
    let envelope: ProgressEnvelope<'_> = serde_json::from_slice(&message.body).ok()?;
    let token = envelope.params.meta.token;
    let fits = token.get().starts_with('"') || token.get().parse::<i64>().is_ok();
    fits.then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &'static str) -> Option<String> {
        let message = Message::parse(text.into()).unwrap();
        progress_token(&message).map(|token| token.get().to_owned())
    }

    #[test]
    fn a_token_is_answered_as_it_was_spelled() {
        let with = r#"{"id":1,"method":"x","params":{"a":{"_meta":1},"_meta":{"progressToken":"\u0061"}}}"#;
        assert_eq!(token(with).as_deref(), Some(r#""\u0061""#));
        let number = r#"{"id":1,"method":"x","params":{"_meta":{"k":[],"progressToken": 7}}}"#;
        assert_eq!(token(number).as_deref(), Some("7"));
        for without in [
            r#"{"id":1,"method":"x"}"#,
            r#"{"id":1,"method":"x","params":{"_meta":{}}}"#,
            r#"{"id":1,"method":"x","params":{"_meta":{"progressToken":{}}}}"#,
        ] {
            assert_eq!(token(without), None, "{without}");
        }
    }

    #[test]
    fn progress_grows_and_stays_below_the_servers_own() {
        let token: Box<RawValue> = serde_json::from_str("\"t\"").unwrap();
        let value = |told| {
            let text = progress(&token, told, "say \"hi\"");
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["params"]["progressToken"], "t");
            assert_eq!(json["params"]["message"], "say \"hi\"");
            json["params"]["progress"].as_f64().unwrap()
        };
        assert!(0.0 < value(1) && value(1) < value(2) && value(100_000) < 1.0);
    }
}
