//! The body of a reply as text: decompressed, and without a byte-order mark.
//!
//! Requests ask for `Accept-Encoding: identity`. Some servers and proxies compress all the same, with or without saying
//! so in `Content-Encoding` (RFC 9110 §8.4). Output is bounded by [`REPLY_LIMIT`], so that a small body can't expand into
//! a large one.

use std::{borrow::Cow, io::Read};

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{REPLY_LIMIT, Reply};

/// How many layers of compression are undone: a server's and a proxy's.
const MOST_LAYERS: usize = 2;

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// A content coding (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    /// The zlib format (RFC 1950).
    Zlib,
    /// A bare deflate stream (RFC 1951), which some servers call `deflate`.
    RawDeflate,
    Brotli,
    Zstd,
}

impl Reply {
    /// The body as it was meant: without compression and without one UTF-8 byte-order mark. A body that can't be
    /// decompressed is returned as it came.
    pub fn text(&self) -> Cow<'_, [u8]> {
        text(&self.headers, &self.body)
    }

    /// The body as JSON, whatever its `Content-Type`; none if it holds no complete JSON value. What follows a complete
    /// object or list is ignored.
    pub fn json(&self) -> Option<Value> {
        json(&self.text())
    }

    /// The body's JSON as a type; none if it is none.
    pub fn json_as<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.json()?).ok()
    }
}

/// Whether a body that was cut off, or is longer than was promised, holds a whole JSON object or list all the same.
pub(super) fn is_complete_json(headers: &HeaderMap, body: &[u8]) -> bool {
    json(&text(headers, body)).is_some_and(|value| value.is_object() || value.is_array())
}

/// Whether a body may end here: it saves reading the same bytes as JSON again and again.
pub(super) fn may_be_complete(body: &[u8]) -> bool {
    matches!(body.trim_ascii_end().last(), Some(b'}' | b']'))
}

fn text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Cow<'a, [u8]> {
    let mut text = Cow::Borrowed(body);
    let named = codings(headers);
    for layer in 0..MOST_LAYERS {
        let tried = by_magic(&text).map_or_else(
            || named.get(layer).cloned().unwrap_or_default(),
            |coding| vec![coding],
        );
        let Some(plain) = tried.into_iter().find_map(|coding| inflate(coding, &text)) else {
            break;
        };
        text = Cow::Owned(plain);
    }
    without_bom(text)
}

/// What `Content-Encoding` names, the coding that was applied last first. Each may be one of several formats.
fn codings(headers: &HeaderMap) -> Vec<Vec<Coding>> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let names = values.filter_map(|value| value.to_str().ok());
    let mut all: Vec<Vec<Coding>> = names
        .flat_map(|names| names.split(','))
        .filter_map(|name| match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(vec![Coding::Gzip]),
            "deflate" => Some(vec![Coding::Zlib, Coding::RawDeflate]),
            "br" => Some(vec![Coding::Brotli]),
            "zstd" => Some(vec![Coding::Zstd]),
            _ => None,
        })
        .collect();
    all.reverse();
    all
}

/// The format that a body's first bytes name. Neither brotli nor a bare deflate stream has such bytes.
fn by_magic(body: &[u8]) -> Option<Coding> {
    match body {
        [0x1f, 0x8b, ..] => Some(Coding::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Coding::Zstd),
        // RFC 1950 §2.2: deflate with a window of at most 32 KiB, and a check of both bytes.
        [0x78, flags, ..] if (0x7800 + u16::from(*flags)) % 31 == 0 => Some(Coding::Zlib),
        _ => None,
    }
}

/// What was compressed, up to the bound. A stream that is cut off gives what came of it; in formats that do not name
/// themselves it may as well be no such stream.
fn inflate(coding: Coding, body: &[u8]) -> Option<Vec<u8>> {
    match coding {
        Coding::Gzip => bounded(flate2::read::MultiGzDecoder::new(body), CutOff::Keep),
        Coding::Zlib => bounded(flate2::read::ZlibDecoder::new(body), CutOff::Keep),
        Coding::RawDeflate => bounded(flate2::read::DeflateDecoder::new(body), CutOff::Refuse),
        Coding::Brotli => {
            let stream = brotli_decompressor::Decompressor::new(body, 4096);
            bounded(stream, CutOff::Refuse)
        }
        Coding::Zstd => {
            let stream = ruzstd::decoding::StreamingDecoder::new(body).ok()?;
            bounded(stream, CutOff::Keep)
        }
    }
}

/// What to do with a stream that ends too early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CutOff {
    Keep,
    Refuse,
}

fn bounded(mut from: impl Read, cut_off: CutOff) -> Option<Vec<u8>> {
    let (mut plain, mut chunk) = (Vec::new(), [0; 8 * 1024]);
    loop {
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => plain.extend_from_slice(chunk.get(..read)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_ended_early) if cut_off == CutOff::Keep => break,
            Err(_not_this_format) => return None,
        }
        if plain.len() > REPLY_LIMIT {
            return None;
        }
    }
    (!plain.is_empty()).then_some(plain)
}

fn without_bom(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes)),
        Cow::Owned(mut bytes) => {
            if bytes.starts_with(UTF8_BOM) {
                bytes.drain(..UTF8_BOM.len());
            }
            Cow::Owned(bytes)
        }
    }
}

/// The first JSON value of a text. Bytes that are no UTF-8 are replaced: an error message in another encoding must not
/// hide its code. A JSON text that was written as a JSON string is read too.
fn json(text: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(text);
    match first_value(&text)? {
        Value::String(inner) => first_value(&inner).or(Some(Value::String(inner))),
        value => Some(value),
    }
}

fn first_value(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let first: Value = values.next()?.ok()?;
    // A number or a word may be the start of a sentence.
    (first.is_object() || first.is_array()).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write};
    use http::{HeaderValue, StatusCode};

    use super::*;

    const TOKENS: &[u8] = br#"{"access_token":"a"}"#;
    /// [`TOKENS`] as brotli.
    const BROTLI: &[u8] = b"\x8b\x09\x80{\"access_token\":\"a\"}\x03";
    /// [`TOKENS`] as zstd.
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x20\x14\xa1\x00\x00{\"access_token\":\"a\"}";

    fn reply(coding: Option<&'static str>, body: &[u8]) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Reply {
            status: StatusCode::OK,
            headers,
            body: body.to_vec().into(),
        }
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut writer = write::GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut writer = write::ZlibEncoder::new(Vec::new(), Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn raw_deflate(plain: &[u8]) -> Vec<u8> {
        let mut writer = write::DeflateEncoder::new(Vec::new(), Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_compressed_body_is_read_by_its_header_or_by_its_first_bytes() {
        for (coding, body) in [
            (None, TOKENS.to_vec()),
            (Some("identity"), TOKENS.to_vec()),
            (Some("gzip"), gzip(TOKENS)),
            (Some("X-GZIP"), gzip(TOKENS)),
            (None, gzip(TOKENS)),
            (Some("deflate"), zlib(TOKENS)),
            (Some("deflate"), raw_deflate(TOKENS)),
            (None, zlib(TOKENS)),
            (Some("br"), BROTLI.to_vec()),
            (Some("zstd"), ZSTD.to_vec()),
            (None, ZSTD.to_vec()),
            (Some("br, gzip"), gzip(BROTLI)),
            (None, gzip(&gzip(TOKENS))),
        ] {
            assert_eq!(&*reply(coding, &body).text(), TOKENS, "{coding:?} {body:?}");
        }
    }

    #[test]
    fn a_header_that_is_wrong_changes_nothing() {
        for coding in ["gzip", "deflate", "br", "zstd", "compress", "gzip, br"] {
            assert_eq!(&*reply(Some(coding), TOKENS).text(), TOKENS, "{coding}");
        }
        let mislabelled = reply(Some("br"), &gzip(TOKENS));
        assert_eq!(&*mislabelled.text(), TOKENS, "the first bytes win");
    }

    #[test]
    fn a_small_body_that_expands_without_end_is_not_decompressed() {
        let bomb = gzip(&vec![b' '; REPLY_LIMIT + 1]);
        assert!(bomb.len() < 4_096, "{}", bomb.len());
        assert_eq!(reply(None, &bomb).text(), Cow::Borrowed(&bomb[..]));
        let largest = vec![b' '; REPLY_LIMIT];
        assert_eq!(reply(None, &gzip(&largest)).text().len(), REPLY_LIMIT);
    }

    #[test]
    fn one_byte_order_mark_is_skipped() {
        let marked = [UTF8_BOM, TOKENS].concat();
        assert_eq!(&*reply(None, &marked).text(), TOKENS);
        assert_eq!(&*reply(None, &gzip(&marked)).text(), TOKENS);
        let twice = [UTF8_BOM, UTF8_BOM, TOKENS].concat();
        assert_eq!(&*reply(None, &twice).text(), marked);
    }

    #[test]
    fn json_that_is_whole_is_read_whatever_surrounds_it() {
        let object = serde_json::json!({"access_token": "a"});
        for body in [
            TOKENS.to_vec(),
            [b" \r\n", TOKENS, b"\r\n\0"].concat(),
            [TOKENS, TOKENS].concat(),
            [TOKENS, b"<!-- served by 7 -->"].concat(),
            serde_json::to_vec(std::str::from_utf8(TOKENS).unwrap()).unwrap(),
        ] {
            assert_eq!(reply(None, &body).json(), Some(object.clone()), "{body:?}");
        }
        let latin1 = br#"{"error":"invalid_grant","error_description":"abgelaufen f\xfcr immer"}"#;
        let latin1: Vec<u8> = latin1.to_vec();
        let raw = String::from_utf8(latin1).unwrap().replace("\\xfc", "\u{1}");
        let raw: Vec<u8> = raw.bytes().map(|b| if b == 1 { 0xfc } else { b }).collect();
        assert_eq!(reply(None, &raw).json().unwrap()["error"], "invalid_grant");
        for none in ["", "<html>", "404 not found", "{\"access_token\":\"a", "nu"] {
            assert_eq!(reply(None, none.as_bytes()).json(), None, "{none}");
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_complete_with_its_last_brace() {
        let none = HeaderMap::new();
        assert!(is_complete_json(&none, TOKENS));
        assert!(!is_complete_json(&none, &TOKENS[..TOKENS.len() - 1]));
        assert!(!is_complete_json(&none, b"17"), "more digits may follow");
        let zipped = gzip(TOKENS);
        assert!(is_complete_json(&none, &zipped[..zipped.len() - 8]));
        assert!(may_be_complete(b"{} \n") && !may_be_complete(b"{\"a\":"));
    }
}
