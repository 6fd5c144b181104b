//! The shapes in which an answer with tokens comes.

use std::io::Write as _;

use authkeeper::http::Reply;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{air::reply, provider::SimToken};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Plain,
    /// With an error field that says nothing, or something.
    EmptyError,
    ErrorBeside,
    /// A byte-order mark before the JSON.
    Bom,
    /// Compressed, though nobody asked for it.
    Gzip,
    Form,
    /// One level down.
    Nested,
    /// Twice, so that nobody can tell which tokens are meant.
    Twice,
    /// A refresh token and no access token.
    RefreshAlone,
}

impl Shape {
    /// The odd ones whose tokens can be read.
    pub const READABLE: [Self; 6] = [
        Self::EmptyError,
        Self::ErrorBeside,
        Self::Bom,
        Self::Gzip,
        Self::Form,
        Self::Nested,
    ];

    pub fn is_readable(self) -> bool {
        self != Self::Twice
    }

    /// The answer to a request that spent this token.
    pub fn of(self, body: &Value, spent: SimToken) -> Reply {
        let json = |body: &Value| reply(200, "application/json", body.to_string());
        match self {
            Self::Plain => json(body),
            Self::EmptyError => json(&with(body, "error", "")),
            Self::ErrorBeside => json(&with(body, "error", "temporarily_unavailable")),
            Self::Bom => reply(200, "application/json", format!("\u{feff}{body}")),
            Self::Gzip => reply(200, "application/json", gzip(&body.to_string())),
            Self::Form => reply(200, "text/plain", form(body)),
            Self::Nested => json(&json!({"status": 0, "body": body})),
            Self::Twice => {
                let other = json!({"access_token": "other", "refresh_token": "other"});
                json(&json!({"x": body, "y": other}))
            }
            Self::RefreshAlone => {
                let spent = spent.to_string().into();
                let refresh = body.get("refresh_token").unwrap_or(&spent);
                json(&json!({"id_token": "i.d.t", "refresh_token": refresh}))
            }
        }
    }
}

fn with(body: &Value, name: &str, value: &str) -> Value {
    let mut body = body.clone();
    if let Some(object) = body.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
    body
}

fn form(body: &Value) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    for (name, value) in body.as_object().into_iter().flatten() {
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        pairs.append_pair(name, &text);
    }
    pairs.finish()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = GzEncoder::new(vec![], Compression::fast());
    // Into memory: it can't fail.
    let _ = writer.write_all(text.as_bytes());
    writer.finish().unwrap_or_default()
}
