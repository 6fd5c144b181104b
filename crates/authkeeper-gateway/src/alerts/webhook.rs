//! The webhook, signed as Standard Webhooks 1.0 has it: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

use std::{path::PathBuf, sync::Arc};

use authkeeper::{
    http::{HttpUrl, Transport},
    secret::Secret,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use sha2::Sha256;

use super::{
    notification::Notification,
    post::{PostError, post},
};
use crate::bounded_read::secret_line;

/// Secrets have 24 to 64 bytes, written in base64 after this.
const PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The receiver, as it is configured.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Where messages are posted.
    pub url: HttpUrl,
    /// The file that holds the signing secret.
    pub secret_file: PathBuf,
}

/// A receiver that checks a signature.
pub(super) struct Webhook {
    set: WebhookSettings,
    transport: Arc<dyn Transport>,
}

impl Webhook {
    pub(super) fn new(set: WebhookSettings, transport: Arc<dyn Transport>) -> Self {
        Self { set, transport }
    }

    /// One attempt. The secret is read each time, so that it can be replaced.
    ///
    /// # Errors
    ///
    /// Why the receiver was not notified.
    pub(super) async fn send(
        &self,
        message: &Notification,
        now: Timestamp,
    ) -> Result<(), PostError> {
        let key = self.set.key().map_err(PostError::Secret)?;
        let body = serde_json::to_string(message).unwrap_or_default();
        let headers = headers(&key, &message.message_id(), now, &body);
        post(&*self.transport, &self.set.url, headers, body).await
    }
}

impl WebhookSettings {
    /// The signing key.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the file.
    pub fn key(&self) -> Result<Secret<Vec<u8>>, String> {
        let file = &self.secret_file;
        let text = secret_line(file, "webhook secret")?;
        #[expect(clippy::disallowed_methods, reason = "it is read to sign with")]
        let encoded = text.expose();
        let encoded = encoded.strip_prefix(PREFIX).unwrap_or(encoded);
        let key = STANDARD.decode(encoded).ok();
        let key = key.filter(|key| SECRET_BYTES.contains(&key.len()));
        key.map(Secret::new).ok_or_else(|| {
            format!(
                "{} holds no webhook secret: {PREFIX} and 24 to 64 bytes in base64",
                file.display()
            )
        })
    }
}

fn headers(key: &Secret<Vec<u8>>, id: &str, now: Timestamp, body: &str) -> HeaderMap {
    let seconds = now.as_second().to_string();
    let signature = signature(key, id, &seconds, body);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::USER_AGENT, authkeeper::http::USER_AGENT),
        (HeaderName::from_static("webhook-id"), id),
        (HeaderName::from_static("webhook-timestamp"), &seconds),
        (HeaderName::from_static("webhook-signature"), &signature),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Standard Webhooks 1.0, "Signature scheme": HMAC-SHA256 over id, timestamp and body, joined by dots.
fn signature(key: &Secret<Vec<u8>>, id: &str, seconds: &str, body: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "only a hash made with it leaves")]
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else {
        return String::new();
    };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use authkeeper::http::NetTransport;

    use super::{super::notification::tests::notification, *};

    fn webhook(url: &str, secret: &str) -> (Webhook, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), secret).unwrap();
        let set = WebhookSettings {
            url: HttpUrl::parse(url).unwrap(),
            secret_file: file.path().to_owned(),
        };
        (Webhook::new(set, Arc::new(NetTransport::new())), file)
    }

    /// The example of the reference libraries.
    #[test]
    fn the_signature_is_the_standards() {
        let (webhook, _file) = webhook(
            "http://127.0.0.1:9/",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        );
        let key = webhook.set.key().unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(
            signature(&key, id, "1614265330", r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let headers = headers(&key, id, at, "{}");
        assert_eq!(headers["webhook-id"], id);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn a_file_without_a_secret_says_what_belongs_there() {
        for bad in ["whsec_c2hvcnQ=", "whsec_not base64!", "plain words"] {
            let (webhook, _file) = webhook("http://127.0.0.1:9/", bad);
            let why = webhook.set.key().unwrap_err();
            assert!(why.contains("24 to 64 bytes"), "{why}");
            assert!(!why.contains(bad), "{why}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_is_not_there_or_sends_elsewhere_was_not_told() {
        use crate::forward::tests::{Server, status};
        let secret = format!("{PREFIX}{}", STANDARD.encode([7; 32]));
        let moved = Server::start(|_head, _body| async {
            let mut elsewhere = status(307);
            let to = HeaderValue::from_static("http://127.0.0.1:9/");
            elsewhere.headers_mut().insert(header::LOCATION, to);
            elsewhere
        })
        .await;
        let now = Timestamp::UNIX_EPOCH;
        let (webhook, _file) = webhook(&moved.url, &secret);
        let message = notification(&["notion"]);
        let told = webhook.send(&message, now).await;
        assert!(matches!(told, Err(PostError::Status(status)) if status == 307));
        assert_eq!(
            moved.heads.lock().unwrap().len(),
            1,
            "no redirect is followed"
        );
        let (gone, _file) = self::webhook("http://127.0.0.1:1/secret-path", &secret);
        let error = gone.send(&message, now).await.unwrap_err().to_string();
        assert!(!error.contains("secret-path"), "{error}");
    }
}
