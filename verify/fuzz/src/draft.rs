//! An answer under way: a document, how it is written, and what becomes of the bytes.

use authkeeper::http::Reply;
use flate2::{Compression, write};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::answers::{ACCESS, ALL_SECRETS, REFRESH, carries, token};

/// How large an answer may grow.
const LARGEST: usize = 256 * 1024;

/// What is done to the bytes of a body, in this order.
#[derive(Clone, Copy, Debug)]
enum Bytes {
    Bom,
    Append(&'static str),
    Prepend(&'static str),
    Truncate(usize),
    Utf16,
    Compress(Coding),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Zlib,
    Deflate,
    Brotli,
    Zstd,
}

/// An answer under way.
pub(crate) struct Draft {
    status: StatusCode,
    headers: HeaderMap,
    /// None for a body that is no JSON.
    value: Option<Value>,
    raw: Vec<u8>,
    is_form: bool,
    bytes: Vec<Bytes>,
    codings: Vec<&'static str>,
    /// The tokens in it are still those that were sent.
    is_exact: bool,
    /// A reader can be asked to read it.
    is_plain: bool,
}

/// A change by its name; the number chooses among its kinds.
type Change = fn(&mut Draft, usize);

/// What servers and proxies do to an answer.
pub(crate) const CHANGES: &[(&str, Change)] = &[
    ("status", status),
    ("kind", kind),
    ("nested", nested),
    ("deep", deep),
    ("listed", listed),
    ("quoted", quoted),
    ("stuffed", stuffed),
    ("beside", beside),
    ("spelled", spelled),
    ("shadowed", shadowed),
    ("texts", texts),
    ("numbers", numbers),
    ("boxed", boxed),
    ("split", split),
    ("doubled", doubled),
    ("alone", alone),
    ("echo", echo),
    ("keyed", keyed),
    ("crowd", crowd),
    ("form", form),
    ("bom", bom),
    ("trailing", trailing),
    ("leading", leading),
    ("cut", cut),
    ("utf16", utf16),
    ("gzip", |draft, number| {
        compress(draft, Coding::Gzip, number);
    }),
    ("zlib", |draft, number| {
        compress(draft, Coding::Zlib, number);
    }),
    ("deflate", |draft, number| {
        compress(draft, Coding::Deflate, number);
    }),
    ("brotli", |draft, number| {
        compress(draft, Coding::Brotli, number);
    }),
    ("zstd", |draft, number| {
        compress(draft, Coding::Zstd, number);
    }),
    ("mislabelled", mislabelled),
];

impl Draft {
    pub(crate) fn of(reply: &Reply, value: Option<&Value>) -> Self {
        let is_plain = value.is_some_and(|value| token(value, "accesstoken").is_some());
        Self {
            status: reply.status,
            headers: reply.headers.clone(),
            value: value.cloned(),
            raw: reply.body.to_vec(),
            is_form: false,
            bytes: vec![],
            codings: vec![],
            is_exact: true,
            is_plain,
        }
    }

    /// Whether a token stands in what is sent, and can be told from the rest.
    pub(crate) fn carries_tokens(&self) -> bool {
        let Some(value) = &self.value else {
            return false;
        };
        let is_cut = self
            .bytes
            .iter()
            .any(|done| matches!(done, Bytes::Truncate(_)));
        let whole = !is_cut || self.text_is_whole();
        let there = if self.is_form {
            carries(&fields(value).into())
        } else {
            carries(value)
        };
        there && whole && self.codings.len() <= 2
    }

    /// Whether what was cut off left the tokens in.
    fn text_is_whole(&self) -> bool {
        let compressed = self
            .bytes
            .iter()
            .position(|done| matches!(done, Bytes::Compress(_)));
        let before = &self.bytes[..compressed.unwrap_or(self.bytes.len())];
        if self.bytes.len() > before.len()
            || self.bytes.iter().any(|done| matches!(done, Bytes::Utf16))
        {
            return false;
        }
        let text = before
            .iter()
            .fold(self.written(), |text, done| done.to(&text));
        let text = String::from_utf8_lossy(&text);
        let held = [ACCESS, REFRESH]
            .into_iter()
            .filter(|token| text.contains(token));
        held.count() == 2
    }

    /// Whether the tokens that are read must be those that were sent.
    pub(crate) fn is_exact(&self) -> bool {
        let is_cut = self
            .bytes
            .iter()
            .any(|done| matches!(done, Bytes::Truncate(_)));
        self.is_exact && !(is_cut && self.is_form)
    }

    /// Whether the tokens must be read at all.
    pub(crate) fn is_plain(&self) -> bool {
        let there = !self.tokens_sent().0.is_empty();
        self.is_plain && there && self.status.is_success() && self.codings.len() <= 1
    }

    /// The access token and the refresh token.
    pub(crate) fn tokens_sent(&self) -> (String, Option<String>) {
        let of_form;
        let value = match &self.value {
            Some(value) if self.is_form => {
                of_form = Value::from(fields(value));
                &of_form
            }
            Some(value) => value,
            None => &Value::Null,
        };
        (
            token(value, "accesstoken").unwrap_or_default(),
            token(value, "refreshtoken"),
        )
    }

    fn written(&self) -> Vec<u8> {
        match &self.value {
            Some(value) if self.is_form => {
                let mut pairs = form_urlencoded::Serializer::new(String::new());
                for (name, value) in fields(value) {
                    pairs.append_pair(&name, value.as_str().unwrap_or_default());
                }
                pairs.finish().into_bytes()
            }
            Some(value) => value.to_string().into_bytes(),
            None => self.raw.clone(),
        }
    }

    pub(crate) fn into_reply(self) -> Reply {
        let mut body = self
            .bytes
            .iter()
            .fold(self.written(), |body, done| done.to(&body));
        body.truncate(LARGEST);
        let mut headers = self.headers;
        let named: Vec<&str> = self
            .codings
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect();
        if let Ok(named) = HeaderValue::from_str(&named.join(", "))
            && !named.is_empty()
        {
            headers.insert(header::CONTENT_ENCODING, named);
        }
        Reply {
            status: self.status,
            headers,
            body: body.into(),
        }
    }

    fn change(&mut self, change: impl FnOnce(Value) -> Value) {
        self.value = self.value.take().map(change);
    }

    /// The object at the top; one is put around what is none.
    fn top(&mut self) -> &mut Map<String, Value> {
        let value = self.value.get_or_insert_with(|| json!({}));
        if !value.is_object() {
            *value = json!({ "data": value.take() });
        }
        match value {
            Value::Object(object) => object,
            _ => unreachable!("made one above"),
        }
    }
}

impl Bytes {
    fn to(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Bom => [b"\xef\xbb\xbf", body].concat(),
            Self::Append(text) => [body, text.as_bytes()].concat(),
            Self::Prepend(text) => [text.as_bytes(), body].concat(),
            Self::Truncate(share) => {
                let end = body.len() * share / 256;
                body.get(..end).unwrap_or_default().to_vec()
            }
            Self::Utf16 => {
                let text = String::from_utf8_lossy(body);
                let units = std::iter::once(0xfeff).chain(text.encode_utf16());
                units.flat_map(u16::to_le_bytes).collect()
            }
            Self::Compress(coding) => coding.of(body),
        }
    }
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib | Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn of(self, plain: &[u8]) -> Vec<u8> {
        let level = Compression::fast();
        match self {
            Self::Gzip => finish(
                write::GzEncoder::new(vec![], level),
                plain,
                write::GzEncoder::finish,
            ),
            Self::Zlib => finish(
                write::ZlibEncoder::new(vec![], level),
                plain,
                write::ZlibEncoder::finish,
            ),
            Self::Deflate => finish(
                write::DeflateEncoder::new(vec![], level),
                plain,
                write::DeflateEncoder::finish,
            ),
            Self::Brotli => brotli(plain),
            Self::Zstd => zstd(plain),
        }
    }
}

fn finish<W: std::io::Write>(
    mut writer: W,
    plain: &[u8],
    finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>,
) -> Vec<u8> {
    writer.write_all(plain).expect("memory");
    finish(writer).expect("memory")
}

/// RFC 7932 §9.2: stored in blocks, not compressed.
fn brotli(plain: &[u8]) -> Vec<u8> {
    // A window of 2^16 is one bit; the header of the first block follows within the same byte.
    let mut stream = vec![];
    for (number, chunk) in plain.chunks(1 << 16).enumerate() {
        let length = u32::try_from(chunk.len() - 1).unwrap_or_default();
        // Not the last, four nibbles of length, stored.
        let head = (length << 3) | (1 << 19);
        let head = if number == 0 { head << 1 } else { head };
        stream.extend(head.to_le_bytes().into_iter().take(3));
        stream.extend(chunk);
    }
    // The last block, empty; the window's bit stands before it where nothing else does.
    stream.push(if plain.is_empty() { 6 } else { 3 });
    stream
}

/// RFC 8878 §3.1.1: raw blocks in one segment, its size in four bytes.
fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    let length = u32::try_from(plain.len()).unwrap_or_default();
    frame.extend(length.to_le_bytes());
    let mut blocks: Vec<&[u8]> = plain.chunks(1 << 16).collect();
    if blocks.is_empty() {
        blocks.push(&[]);
    }
    let last = blocks.len() - 1;
    for (number, block) in blocks.into_iter().enumerate() {
        let size = u32::try_from(block.len()).unwrap_or_default();
        let head = (size << 3) | u32::from(number == last);
        frame.extend(head.to_le_bytes().into_iter().take(3));
        frame.extend(block);
    }
    frame
}

const STATUSES: [u16; 16] = [
    200, 201, 202, 203, 206, 226, 302, 400, 401, 403, 404, 429, 500, 502, 503, 504,
];

fn status(draft: &mut Draft, number: usize) {
    draft.status = StatusCode::from_u16(STATUSES[number % STATUSES.len()]).unwrap_or_default();
}

const KINDS: [&str; 8] = [
    "application/json",
    "application/json, application/json",
    "text/html; charset=utf-8",
    "text/plain",
    "application/x-www-form-urlencoded",
    "text/javascript",
    "application/octet-stream",
    "",
];

fn kind(draft: &mut Draft, number: usize) {
    let kind = HeaderValue::from_static(KINDS[number % KINDS.len()]);
    draft.headers.insert(header::CONTENT_TYPE, kind);
}

const AROUND: [&str; 7] = [
    "data",
    "body",
    "result",
    "authed_user",
    "response",
    "error",
    "x",
];

fn nested(draft: &mut Draft, number: usize) {
    draft.change(|value| json!({ AROUND[number % AROUND.len()]: value }));
    draft.is_plain &= !draft.is_form && depth(draft.value.as_ref()) <= 4;
}

fn deep(draft: &mut Draft, number: usize) {
    for _ in 0..3 + number % 60 {
        draft.change(|value| json!({ "inner": value }));
    }
    draft.is_plain = false;
}

fn depth(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Object(object)) => {
            1 + object
                .values()
                .map(|v| depth(Some(v)))
                .max()
                .unwrap_or_default()
        }
        Some(Value::Array(list)) => {
            1 + list
                .iter()
                .map(|v| depth(Some(v)))
                .max()
                .unwrap_or_default()
        }
        _ => 0,
    }
}

fn listed(draft: &mut Draft, _: usize) {
    draft.change(|value| json!([value]));
    draft.is_plain &= depth(draft.value.as_ref()) <= 4;
}

/// JSON written as a JSON string.
fn quoted(draft: &mut Draft, _: usize) {
    draft.is_plain &= draft.value.as_ref().is_some_and(|value| !value.is_string());
    draft.change(|value| Value::String(value.to_string()));
    draft.is_exact = false;
}

/// The same in a field of an object.
fn stuffed(draft: &mut Draft, number: usize) {
    draft.change(|value| json!({ AROUND[number % AROUND.len()]: value.to_string() }));
    draft.is_plain = false;
    draft.is_exact = false;
}

/// Something odd beside the rest.
fn beside(draft: &mut Draft, number: usize) {
    let odd = [
        json!({"error": ""}),
        json!({"error": null}),
        json!({"error": "none", "error_description": "no error"}),
        json!({"error": "invalid_grant"}),
        json!({"error": "invalid_client", "error_description": "unknown client"}),
        json!({"error": "server_error"}),
        json!({"error": "temporarily_unavailable"}),
        json!({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}),
        json!({"errors": []}),
        json!({"errors": [{"code": 429, "message": "too many requests"}]}),
        json!({"error": "internal_error"}),
        json!({"ok": false}),
        json!({"success": false, "message": "Unauthorized"}),
        json!({"status": 601, "message": "Too Many Requests"}),
        json!({"wait_seconds": 7}),
        json!({"retry_after": "30", "error": true}),
        json!({"code": 400, "message": "refresh token is invalid"}),
        json!({"fault": {"faultstring": "Invalid Refresh Token"}}),
    ];
    if let Value::Object(odd) = &odd[number % odd.len()] {
        draft.top().extend(odd.clone());
    }
}

/// Names in other spellings.
fn spelled(draft: &mut Draft, number: usize) {
    let spell = |name: &str| match number % 4 {
        0 => name.to_ascii_uppercase(),
        1 => name.replace('_', "-"),
        2 => camel(name),
        _ => name.replace('_', ""),
    };
    draft.change(|value| renamed(value, &spell));
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

fn renamed(value: Value, spell: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(object) => {
            let renamed = object
                .into_iter()
                .map(|(name, inner)| (spell(&name), renamed(inner, spell)));
            Value::Object(renamed.collect())
        }
        Value::Array(list) => list.into_iter().map(|item| renamed(item, spell)).collect(),
        other => other,
    }
}

/// The same name again in another spelling, with nothing in it.
fn shadowed(draft: &mut Draft, number: usize) {
    let empty = [Value::Null, json!(""), json!(false)][number % 3].clone();
    draft.change(|value| shadow(value, &empty));
}

fn shadow(value: Value, empty: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut all = Map::new();
            for (name, inner) in object {
                let other = camel(&name);
                if name.ends_with("_token") {
                    // The empty one under the name that is looked for first.
                    all.insert(name, empty.clone());
                    all.insert(other, inner);
                } else {
                    all.insert(name, shadow(inner, empty));
                }
            }
            Value::Object(all)
        }
        Value::Array(list) => list.into_iter().map(|item| shadow(item, empty)).collect(),
        other => other,
    }
}

fn leaves(value: Value, change: &dyn Fn(&str, Value) -> Value, name: &str) -> Value {
    match value {
        Value::Object(object) => {
            let changed = object.into_iter().map(|(name, inner)| {
                let inner = leaves(inner, change, &name);
                (name, inner)
            });
            Value::Object(changed.collect())
        }
        Value::Array(list) => list
            .into_iter()
            .map(|item| leaves(item, change, name))
            .collect(),
        leaf => change(name, leaf),
    }
}

fn texts(draft: &mut Draft, _: usize) {
    let change = |_: &str, leaf: Value| match leaf {
        Value::Number(number) => json!(number.to_string()),
        leaf => leaf,
    };
    draft.change(|value| leaves(value, &change, ""));
}

fn numbers(draft: &mut Draft, _: usize) {
    let change = |_: &str, leaf: Value| {
        let number = leaf.as_str().and_then(|text| text.parse::<u64>().ok());
        number.map_or(leaf, |number| json!(number))
    };
    draft.change(|value| leaves(value, &change, ""));
}

/// A token in a list or an object of its own.
fn boxed(draft: &mut Draft, number: usize) {
    let change = |name: &str, leaf: Value| {
        let is_token = name.to_ascii_lowercase().ends_with("token") && leaf.is_string();
        match number % 2 {
            _ if !is_token => leaf,
            0 => json!([leaf]),
            _ => json!({ "value": leaf }),
        }
    };
    draft.change(|value| leaves(value, &change, ""));
    draft.is_plain = false;
    draft.is_exact = false;
}

/// The refresh token in an object of its own, beside the access token or above it.
fn split(draft: &mut Draft, number: usize) {
    let object = draft.top();
    let Some(refresh) = object.remove("refresh_token") else {
        return;
    };
    if number.is_multiple_of(2) {
        object.insert(
            "refresh".to_owned(),
            json!({ "refresh_token": refresh, "expires_in": 86_400 }),
        );
    } else {
        let inner = std::mem::take(object);
        object.insert("access".to_owned(), inner.into());
        object.insert("refresh".to_owned(), json!({ "refresh_token": refresh }));
    }
}

/// Tokens twice, where nobody can tell which are meant.
fn doubled(draft: &mut Draft, number: usize) {
    let change = |_: &str, leaf: Value| {
        let planted = leaf
            .as_str()
            .is_some_and(|text| text == ACCESS || text == REFRESH);
        if planted && number.is_multiple_of(2) {
            json!("another")
        } else {
            leaf
        }
    };
    draft.change(|value| {
        let other = leaves(value.clone(), &change, "");
        json!({ "first": value, "second": other })
    });
    draft.is_plain = false;
    draft.is_exact = false;
}

fn alone(draft: &mut Draft, _: usize) {
    draft.top().remove("access_token");
    draft.is_plain = false;
}

/// Words that repeat a secret.
fn echo(draft: &mut Draft, number: usize) {
    let secret = ALL_SECRETS[number % 4];
    let told = [
        json!({"error": "invalid_grant", "error_description": format!("refresh_token {secret} is invalid")}),
        json!({"error": secret}),
        json!({"message": format!("Unknown token '{secret}'.")}),
        json!({"error": "invalid_client", "error_description": format!("client_secret={secret} does not match")}),
        json!({"error": {"code": secret, "message": format!("x {secret}")}}),
        json!({"errors": [{"field": "refresh_token", "code": secret}]}),
        json!({"errors": [secret]}),
        json!({"error": format!("{}: {secret}", "x".repeat(170))}),
        json!({"error": "invalid_request", "error_description": format!("https://as.example/token?refresh_token={secret}")}),
    ];
    let told = &told[number / 4 % told.len()];
    if let Value::Object(told) = told {
        draft.top().extend(told.clone());
    }
}

/// A secret in the place of a name.
fn keyed(draft: &mut Draft, number: usize) {
    let secret = ALL_SECRETS[number % 4].to_owned();
    draft.top().insert(secret, json!("x"));
}

fn crowd(draft: &mut Draft, number: usize) {
    let many = (0..number * 2).map(|number| (format!("k{number}"), json!(number)));
    draft.top().extend(many);
}

fn form(draft: &mut Draft, _: usize) {
    draft.is_form = draft.value.is_some();
    let top = draft.value.as_ref().map(|value| Value::from(fields(value)));
    draft.is_plain &=
        top.is_some_and(|top| token(&top, "accesstoken").is_some()) && draft.bytes.is_empty();
}

/// What of a document a form can say.
fn fields(value: &Value) -> Map<String, Value> {
    let object = value.as_object().into_iter().flatten();
    let told = object.filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some((name.clone(), Value::String(text)))
    });
    told.collect()
}

fn bom(draft: &mut Draft, _: usize) {
    draft.is_plain &= draft.bytes.is_empty();
    draft.bytes.push(Bytes::Bom);
}

const AFTER: [&str; 6] = [
    "\n",
    "\0\0",
    "<!-- served by 7 -->",
    "{\"error\":\"invalid_grant\"}",
    "}",
    "404",
];

fn trailing(draft: &mut Draft, number: usize) {
    draft.bytes.push(Bytes::Append(AFTER[number % AFTER.len()]));
    draft.is_plain &= !draft.is_form && draft.codings.is_empty();
    draft.is_exact &= !draft.is_form;
}

const BEFORE: [&str; 4] = [" \r\n", ")]}',\n", "/**/cb(", "<pre>"];

fn leading(draft: &mut Draft, number: usize) {
    draft
        .bytes
        .push(Bytes::Prepend(BEFORE[number % BEFORE.len()]));
    draft.is_plain = false;
    draft.is_exact &= !draft.is_form;
}

fn cut(draft: &mut Draft, number: usize) {
    draft.bytes.push(Bytes::Truncate(number % 257));
    draft.is_plain = false;
}

fn utf16(draft: &mut Draft, _: usize) {
    draft.bytes.push(Bytes::Utf16);
    draft.is_plain = false;
}

fn compress(draft: &mut Draft, coding: Coding, number: usize) {
    draft.bytes.push(Bytes::Compress(coding));
    let silent = !number.is_multiple_of(2) && !matches!(coding, Coding::Deflate | Coding::Brotli);
    draft.codings.push(if silent { "" } else { coding.name() });
}

fn mislabelled(draft: &mut Draft, number: usize) {
    let names = ["gzip", "deflate", "br", "zstd", "compress", "aws-chunked"];
    draft.codings.push(names[number % names.len()]);
    draft.is_plain = false;
}
