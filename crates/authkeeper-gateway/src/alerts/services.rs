//! The formats of services: Slack's incoming webhooks, and ntfy.

use std::{path::PathBuf, sync::Arc};

use authkeeper::{
    http::{HttpUrl, Transport},
    model::Severity,
};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{
    notification::Notification,
    post::{PostError, post},
};
use crate::bounded_read::secret_line;

/// An incoming webhook of Slack: its URL is its secret.
pub(super) struct Slack {
    pub(super) url: HttpUrl,
    pub(super) transport: Arc<dyn Transport>,
}

/// A topic of an ntfy server.
pub(super) struct Ntfy {
    pub(super) topic: NtfyTopic,
    pub(super) transport: Arc<dyn Transport>,
}

/// Where an ntfy message goes.
#[derive(Clone, Debug)]
pub struct NtfyTopic {
    server: HttpUrl,
    name: String,
    /// The file that holds the access token, if the topic is protected.
    token_file: Option<PathBuf>,
}

impl NtfyTopic {
    /// Of a topic's URL, as ntfy shows it: `https://ntfy.sh/TOPIC`. None if it names no topic.
    pub fn parse(url: &HttpUrl, token_file: Option<PathBuf>) -> Option<Self> {
        let (server, name) = url.as_str().rsplit_once('/')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_name = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
        let server = HttpUrl::parse(&format!("{server}/")).ok()?;
        is_name.then(|| Self {
            server,
            name: name.to_owned(),
            token_file,
        })
    }

    /// The access token's header.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the file.
    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        let token = secret_line(file, "ntfy access token")?;
        #[expect(clippy::disallowed_methods, reason = "it is sent to the ntfy server")]
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_odd| format!("{} holds no token", file.display()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Slack {
    /// One attempt.
    pub(super) async fn send(&self, message: &Notification) -> Result<(), PostError> {
        let body = slack_body(message).to_string();
        post(&*self.transport, &self.url, json_headers(), body).await
    }
}

impl Ntfy {
    /// One attempt.
    pub(super) async fn send(&self, message: &Notification) -> Result<(), PostError> {
        let mut headers = json_headers();
        if let Some(token) = self.topic.authorization().map_err(PostError::Secret)? {
            headers.insert(header::AUTHORIZATION, token);
        }
        let body = ntfy_body(&self.topic.name, message).to_string();
        post(&*self.transport, &self.topic.server, headers, body).await
    }
}

fn json_headers() -> HeaderMap {
    let agent = HeaderValue::from_static(authkeeper::http::USER_AGENT);
    let json = HeaderValue::from_static("application/json");
    let both = [(header::CONTENT_TYPE, json), (header::USER_AGENT, agent)];
    HeaderMap::from_iter(both)
}

/// A message text; `&`, `<` and `>` are control characters there.
fn slack_body(message: &Notification) -> Value {
    let plain = |text: &str| {
        let text = text.replace('&', "&amp;");
        text.replace('<', "&lt;").replace('>', "&gt;")
    };
    let (title, text) = (plain(&message.title), plain(&message.text));
    json!({"text": format!("*{title}*\n{text}")})
}

/// ntfy's JSON: its headers would carry ASCII alone.
fn ntfy_body(topic: &str, message: &Notification) -> Value {
    let (priority, tag) = match (message.resolved, message.severity) {
        (true, _) => (3, "white_check_mark"),
        (false, Severity::Critical) => (5, "rotating_light"),
        (false, Severity::Warning) => (4, "warning"),
        (false, Severity::Info) => (3, "information_source"),
    };
    let mut body = json!({
        "topic": topic,
        "title": message.title,
        "message": message.text,
        "priority": priority,
        "tags": [tag],
    });
    // A link that opens on another machine alone is no button on a phone.
    let link = message.record.link.as_ref();
    if let Some(link) = link.filter(|_| message.link_host.is_none()) {
        body["click"] = json!(link);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::{super::notification::tests::notification, *};

    #[test]
    fn slack_gets_a_text_in_which_nothing_is_a_control_character() {
        let mut message = notification(&["notion"]);
        message.record.detail = "it said <!channel> & more".to_owned();
        let body = slack_body(&message.worded(None, "here"));
        let text = body["text"].as_str().unwrap();
        assert!(text.starts_with("*critical: notion: "), "{text}");
        assert!(
            text.contains("it said &lt;!channel&gt; &amp; more"),
            "{text}"
        );
        assert_eq!(body.as_object().unwrap().len(), 1);
    }

    #[test]
    fn ntfy_gets_the_urgency_and_a_link_that_opens_there() {
        let message = notification(&["notion"]);
        let body = |link: &str| {
            let message = message.clone().worded(Some(link.to_owned()), "here");
            ntfy_body("jobs", &message)
        };
        let here = body("http://127.0.0.1:4242/a1b2");
        assert_eq!(
            (&here["topic"], &here["priority"]),
            (&json!("jobs"), &json!(5))
        );
        assert_eq!(here["tags"], json!(["rotating_light"]));
        assert_eq!(here["click"], Value::Null);
        let anywhere = body("https://as.example/device");
        assert_eq!(anywhere["click"], "https://as.example/device");
        let mut over = message.clone();
        over.resolved = true;
        assert_eq!(ntfy_body("jobs", &over)["priority"], 3);
    }

    #[test]
    fn a_topic_is_the_last_part_of_its_url() {
        let topic = |url: &str| NtfyTopic::parse(&HttpUrl::parse(url).unwrap(), None);
        let found = topic("https://ntfy.example/base/my_jobs-1").unwrap();
        assert_eq!(found.name, "my_jobs-1");
        assert_eq!(found.server.as_str(), "https://ntfy.example/base/");
        for none in [
            "https://ntfy.sh/",
            "https://ntfy.sh/a?b=c",
            "https://ntfy.sh",
        ] {
            assert!(topic(none).is_none(), "{none}");
        }
    }

    #[test]
    fn an_access_token_is_read_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "tk_5ecret\n").unwrap();
        let url = HttpUrl::parse("https://ntfy.sh/jobs").unwrap();
        let topic = NtfyTopic::parse(&url, Some(file.path().to_owned())).unwrap();
        let value = topic.authorization().unwrap().unwrap();
        assert_eq!(value, "Bearer tk_5ecret");
        assert!(!format!("{value:?}").contains("5ecret"));
        std::fs::remove_file(file.path()).unwrap();
        assert!(topic.authorization().is_err());
    }
}
