//! What others write on one line or in a file.

use std::{collections::BTreeMap, sync::Arc};

use authkeeper::{
    catalogue::{self as known, Entry},
    http::HttpUrl,
    model::ServerMetadata,
    oauth::{
        authorize::{RedirectError, SignIn, read_redirect},
        challenge::{BearerChallenge, bearer},
    },
    platform::clock::{Random, Seams, SystemClock},
};
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};

use crate::shown::fit;

/// `WWW-Authenticate` headers, one a line. What is read can be written again and reads the same.
pub fn challenge(case: &[u8]) {
    let lines = case.split(|byte| *byte == b'\n');
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = values.map(|value| (WWW_AUTHENTICATE, value)).collect();
    let Some(read) = bearer(&headers) else {
        return;
    };
    let length: usize = parts(&read).iter().map(|(_, value)| value.len()).sum();
    assert!(length <= case.len(), "more than was sent");
    let written = written(&read);
    let value = HeaderValue::try_from(written.as_str()).expect("it came in a header");
    let again = bearer(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]));
    assert_eq!(again.as_ref(), Some(&read), "written as {written}");
}

fn parts(read: &BearerChallenge) -> Vec<(&'static str, &String)> {
    let all = [
        ("error", &read.error),
        ("error_description", &read.error_description),
        ("scope", &read.scope),
        ("resource_metadata", &read.resource_metadata),
    ];
    let some = all.into_iter();
    some.filter_map(|(name, value)| Some((name, value.as_ref()?)))
        .collect()
}

fn written(read: &BearerChallenge) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let parts = parts(read).into_iter();
    let parts = parts.map(|(name, value)| format!("{name}=\"{}\"", quoted(value)));
    format!("Bearer {}", parts.collect::<Vec<_>>().join(", "))
}

/// Gives sevens, so that a sign-in's `state` can stand in a corpus.
struct Sevens;

impl Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

const STATE: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// A redirect's query. Nothing in it is believed without the sign-in's `state`, and no code without the right `iss`.
pub fn redirect(case: &[u8]) {
    let query = String::from_utf8_lossy(case);
    let seams = Seams {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(Sevens),
    };
    let field = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    for promised in [false, true] {
        let metadata = ServerMetadata {
            issuer: "https://as.example".to_owned(),
            authorization_response_iss_parameter_supported: promised,
            ..ServerMetadata::default()
        };
        let sign_in = SignIn::begin(&seams, &metadata, "http://127.0.0.1:1/cb".to_owned());
        let ours = field("state").as_deref() == Some(STATE);
        match read_redirect(&sign_in, &query) {
            Ok(_) => {
                let iss = field("iss");
                assert!(ours, "the code of another sign-in");
                assert!(iss.as_deref() == Some("https://as.example") || iss.is_none() && !promised);
                assert!(field("error").is_none() && field("code").is_some_and(|c| !c.is_empty()));
            }
            Err(error) => {
                let judged = if field("state").is_none() && field("code").is_none() {
                    error == RedirectError::NoCode
                } else {
                    (error == RedirectError::StateMismatch) != ours
                };
                assert!(judged, "believed without the state: {error}");
                fit("an error", &error.to_string());
            }
        }
    }
}

/// An address. One that is taken is spelled as it was, is https or this machine's, and means one origin only.
pub fn url(case: &[u8]) {
    let text = String::from_utf8_lossy(case);
    let _ = known::recognise_mcp(&text);
    // Only a person types these, and no name is longer.
    let typed: String = text.chars().take(64).collect();
    assert!(known::similar(&typed).len() <= 3);
    let recognised = known::recognise(&text);
    let url = match HttpUrl::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            assert!(recognised.is_none(), "somebody's, and no address");
            return fit("an error", &error.to_string());
        }
    };
    assert_eq!(url.as_str(), text);
    assert!(!url.host().is_empty() && !url.host().contains(['@', '/', ':']) || is_v6(url.host()));
    let https = text.to_ascii_lowercase().starts_with("https://");
    assert!(https || url.is_loopback(), "in the clear: {text}");
    let origin = HttpUrl::parse(&url.origin()).expect("an origin is an address");
    assert!(origin.same_origin(&url) && origin.host() == url.host());
    assert_eq!(origin.origin(), url.origin());
    let after_host = origin.as_str().rsplit_once(']');
    let after_host = after_host.map_or_else(
        || origin.as_str().rsplit_once(':'),
        |(_, port)| port.split_once(':'),
    );
    if let Some((_, port)) = after_host.filter(|(_, port)| !port.starts_with("//")) {
        port.parse::<u16>().expect("a port is one");
    }
    if let Some(entry) = recognised {
        let host = url.host().to_ascii_lowercase();
        let theirs = |pattern: &String| {
            host == *pattern || pattern.starts_with('.') && host.ends_with(pattern)
        };
        assert!(
            entry.hosts.iter().any(theirs),
            "{host} is not {}'s",
            entry.name
        );
    }
}

fn is_v6(host: &str) -> bool {
    host.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A file of the catalogue. One that is read can be filled, or says why not.
pub fn catalogue(case: &[u8]) {
    let Ok(text) = std::str::from_utf8(case) else {
        return;
    };
    let Ok(entry) = toml::from_str::<Entry>(text) else {
        return;
    };
    let _ = entry.habits();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for asked in &entry.placeholders {
        values.insert(asked.name.clone(), asked.example.clone());
    }
    match entry.fill(&values) {
        Ok(filled) => assert!(filled.metadata.is_none_or(|m| m.issuer == filled.issuer)),
        Err(error) => drop(error.to_string()),
    }
}
