//! One MCP server of a client's configuration, before it is written in the client's language.

use jsonc_parser::cst::CstInputValue;
use serde_json::json;

/// The bridge, as a client starts it.
#[derive(Clone, Debug)]
pub(super) struct ServerEntry {
    pub(super) name: String,
    /// An absolute path: clients have another `PATH`.
    pub(super) command: String,
    pub(super) args: Vec<String>,
    /// What leads the bridge to the same store: clients have another environment.
    pub(super) variables: Vec<(String, String)>,
}

/// What a member can be, in each of the languages.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
    Flag(bool),
    Number(u32),
}

impl Value {
    pub(super) fn as_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => json!(text),
            Self::List(words) => json!(words),
            Self::Map(pairs) => {
                let pairs = pairs.iter().map(|(name, text)| (name.clone(), json!(text)));
                serde_json::Value::Object(pairs.collect())
            }
            Self::Flag(flag) => json!(flag),
            Self::Number(number) => json!(number),
        }
    }

    pub(super) fn as_cst(&self) -> CstInputValue {
        match self {
            Self::Text(text) => CstInputValue::String(text.clone()),
            Self::List(words) => {
                CstInputValue::Array(words.iter().cloned().map(CstInputValue::String).collect())
            }
            Self::Map(pairs) => CstInputValue::Object(
                pairs
                    .iter()
                    .map(|(name, text)| (name.clone(), CstInputValue::String(text.clone())))
                    .collect(),
            ),
            Self::Flag(flag) => CstInputValue::Bool(*flag),
            Self::Number(number) => CstInputValue::Number(number.to_string()),
        }
    }

    pub(super) fn as_toml(&self) -> toml_edit::Value {
        match self {
            Self::Text(text) => text.into(),
            Self::List(words) => words.iter().collect(),
            Self::Map(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(name, text)| (name.clone(), text.clone()));
                toml_edit::Value::InlineTable(pairs.collect())
            }
            Self::Flag(flag) => (*flag).into(),
            Self::Number(number) => i64::from(*number).into(),
        }
    }
}
