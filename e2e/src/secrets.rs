//! Searching what a test left behind for what the servers issued.
//!
//! A secret counts as leaked in any of these forms: as it is, base64 (both alphabets, at each of
//! the three alignments it can have inside a longer text), hex and percent-encoded (both cases).

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::http::percent_encode;
use crate::servers::Server;

/// Shorter values would be found by chance.
const SHORTEST: usize = 16;
/// Of a longer secret its end is searched for: half a token in a log is a leak too.
const CORE: usize = 32;
/// How many leading bytes the search's index looks at.
const INDEXED: usize = 8;

/// Something a server issued or was sent in confidence.
#[derive(Clone)]
pub struct Secret {
    /// `access_token`, `refresh_token`, `id_token`, `code`, `code_verifier`, `state`, …
    pub kind: String,
    /// The value itself.
    pub value: String,
}

impl Secret {
    /// A secret of a test's own, for example a planted one.
    pub fn new(kind: &str, value: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            value: value.to_owned(),
        }
    }
}

/// A test's output is kept: it names the kind only.
impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secret({})", self.kind)
    }
}

/// A secret where it should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The secret's kind.
    pub kind: String,
    /// The form it was found in.
    pub form: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: usize,
}

/// Everything these servers issued so far, except `state`: that one is in the authorization URL,
/// which is shown to the user, and worth nothing once the sign-in is over.
pub fn issued_by(servers: &[&Server]) -> Vec<Secret> {
    servers
        .iter()
        .flat_map(|server| issued(server))
        .filter(|secret| secret.kind != "state")
        .collect()
}

fn issued(server: &Server) -> Vec<Secret> {
    let list = server.ctl("issued");
    let entries = list.as_array().expect("a list of secrets");
    entries
        .iter()
        .map(|entry| {
            let field = |name: &str| entry[name].as_str().expect("a string").to_owned();
            Secret {
                kind: field("kind"),
                value: field("value"),
            }
        })
        .collect()
}

/// Searches every file below `root` (names of files too) for every secret in every form.
pub fn search(root: &Path, secrets: &[Secret]) -> Vec<Finding> {
    let index = Index::of(secrets);
    let mut findings = Vec::new();
    for file in files_below(root) {
        let name = file.to_string_lossy();
        findings.extend(index.search(&file, name.as_bytes()));
        // A file that went away in the meantime (a WAL, a socket's lock) left nothing behind.
        if let Ok(content) = fs::read(&file) {
            findings.extend(index.search(&file, &content));
        }
    }
    findings
}

fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// All forms of all secrets, found by their first bytes: one pass over each file.
struct Index {
    needles: Vec<Needle>,
    by_start: HashMap<[u8; INDEXED], Vec<usize>>,
    /// Whether any needle starts with these two bytes: keeps most positions out of the map.
    by_pair: Vec<bool>,
}

struct Needle {
    kind: String,
    form: &'static str,
    bytes: Vec<u8>,
}

impl Index {
    fn of(secrets: &[Secret]) -> Self {
        let needles: Vec<Needle> = secrets.iter().flat_map(needles).collect();
        let mut by_start: HashMap<_, Vec<usize>> = HashMap::new();
        let mut by_pair = vec![false; 1 << 16];
        for (number, needle) in needles.iter().enumerate() {
            let start = start_of(&needle.bytes).expect("needles are longer than the index");
            by_pair[pair(start)] = true;
            by_start.entry(start).or_default().push(number);
        }
        Self {
            needles,
            by_start,
            by_pair,
        }
    }

    fn search<'a>(
        &'a self,
        file: &'a Path,
        content: &'a [u8],
    ) -> impl Iterator<Item = Finding> + 'a {
        (0..content.len()).flat_map(move |offset| {
            let rest = &content[offset..];
            self.candidates(rest)
                .iter()
                .map(|number| &self.needles[*number])
                .filter(move |needle| rest.starts_with(&needle.bytes))
                .map(move |needle| Finding {
                    kind: needle.kind.clone(),
                    form: needle.form,
                    file: file.to_path_buf(),
                    offset,
                })
        })
    }

    fn candidates(&self, rest: &[u8]) -> &[usize] {
        match start_of(rest) {
            Some(start) if self.by_pair[pair(start)] => {
                self.by_start.get(&start).map_or(&[], Vec::as_slice)
            }
            _ => &[],
        }
    }
}

fn start_of(bytes: &[u8]) -> Option<[u8; INDEXED]> {
    bytes.first_chunk().copied()
}

fn pair(start: [u8; INDEXED]) -> usize {
    usize::from(start[0]) << 8 | usize::from(start[1])
}

fn needles(secret: &Secret) -> Vec<Needle> {
    let value = secret.value.as_bytes();
    assert!(
        value.len() >= SHORTEST,
        "a {} of {} bytes is too short to search for",
        secret.kind,
        value.len()
    );
    let core = &value[value.len().saturating_sub(CORE)..];
    let mut seen = Vec::new();
    forms(core)
        .into_iter()
        .filter(|(_, bytes)| {
            let new = !seen.contains(bytes);
            seen.push(bytes.clone());
            new
        })
        .map(|(form, bytes)| Needle {
            kind: secret.kind.clone(),
            form,
            bytes,
        })
        .collect()
}

fn forms(core: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = hex_of(core, "");
    let all_percent = hex_of(core, "%");
    let percent = percent_encode(&String::from_utf8_lossy(core));
    let mut forms = vec![
        ("raw", core.to_vec()),
        ("hex", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
        ("percent-encoded", lower_escapes(&percent).into_bytes()),
        ("percent-encoded", percent.into_bytes()),
        ("percent-encoded", all_percent.to_uppercase().into_bytes()),
        ("percent-encoded", all_percent.into_bytes()),
    ];
    for before in 0..3 {
        forms.push(("base64", aligned(&STANDARD_NO_PAD, core, before)));
        forms.push(("base64url", aligned(&URL_SAFE_NO_PAD, core, before)));
    }
    forms
}

/// Two digits for each byte, each after `before`.
fn hex_of(bytes: &[u8], before: &str) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{before}{byte:02x}").expect("a string takes everything");
        text
    })
}

/// The characters that do not depend on what surrounds `core`, when `before` bytes precede it.
fn aligned(engine: &GeneralPurpose, core: &[u8], before: usize) -> Vec<u8> {
    let mut padded = vec![0; before];
    padded.extend_from_slice(core);
    let encoded = engine.encode(&padded).into_bytes();
    let first = (before * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded[first..end].to_vec()
}

/// `%2F` as `%2f`: the escapes only.
fn lower_escapes(text: &str) -> String {
    let lower = |(number, part): (usize, &str)| {
        let escape = if number == 0 { 0 } else { 2 };
        let (escape, rest) = part.split_at(escape);
        escape.to_ascii_lowercase() + rest
    };
    let parts: Vec<String> = text.split('%').enumerate().map(lower).collect();
    parts.join("%")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds what percent-encoding and the two base64 alphabets treat differently.
    const TOKEN: &str = "ak/7+Zq9?>~~wW==xX";

    fn findings_in(content: &[u8]) -> Vec<&'static str> {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("below")).unwrap();
        fs::write(home.path().join("below/file"), content).unwrap();
        let found = search(home.path(), &[Secret::new("access_token", TOKEN)]);
        found.iter().map(|finding| finding.form).collect()
    }

    fn planted(leak: &str) -> Vec<&'static str> {
        findings_in(format!("before {leak} after").as_bytes())
    }

    #[test]
    fn a_clean_home_has_no_findings() {
        assert!(findings_in(b"nothing to see").is_empty());
        assert!(planted("ak/7+Zq9?>~~wW==xY").is_empty(), "one letter off");
    }

    #[test]
    fn the_secret_itself_is_found() {
        assert_eq!(planted(TOKEN), ["raw"]);
        assert_eq!(findings_in(TOKEN.as_bytes()), ["raw"], "alone in the file");
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        for before in 0..6 {
            for after in 0..3 {
                let text = format!("{}{TOKEN}{}", "u".repeat(before), "v".repeat(after));
                assert_eq!(
                    planted(&STANDARD_NO_PAD.encode(&text)),
                    ["base64"],
                    "{before} {after}"
                );
                assert_eq!(
                    planted(&URL_SAFE_NO_PAD.encode(&text)),
                    ["base64url"],
                    "{before} {after}"
                );
            }
        }
    }

    #[test]
    fn hex_is_found_in_both_cases() {
        let hex = hex_of(TOKEN.as_bytes(), "");
        assert_eq!(planted(&hex), ["hex"]);
        assert_eq!(planted(&hex.to_uppercase()), ["hex"]);
    }

    #[test]
    fn percent_encoding_is_found_in_both_cases_and_when_everything_is_encoded() {
        let percent = percent_encode(TOKEN);
        assert_eq!(planted(&percent), ["percent-encoded"]);
        assert_eq!(planted(&lower_escapes(&percent)), ["percent-encoded"]);
        let all = hex_of(TOKEN.as_bytes(), "%").to_uppercase();
        assert_eq!(planted(&all), ["percent-encoded"]);
    }

    #[test]
    fn the_end_of_a_long_secret_is_enough() {
        let home = tempfile::tempdir().unwrap();
        let long = format!("{}{}", "header.payload.".repeat(9), "s".repeat(31) + "!");
        fs::write(home.path().join("log"), format!("…{}!", "s".repeat(31))).unwrap();
        assert_eq!(
            search(home.path(), &[Secret::new("id_token", &long)]).len(),
            1
        );
    }

    #[test]
    fn a_file_name_can_leak() {
        let home = tempfile::tempdir().unwrap();
        let name = "a_token_in_a_file_name";
        fs::write(home.path().join(name), "").unwrap();
        assert_eq!(
            search(home.path(), &[Secret::new("access_token", name)]).len(),
            1
        );
    }

    #[test]
    fn findings_name_the_place_and_not_the_secret() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("log");
        fs::write(&file, format!("12345{TOKEN}")).unwrap();
        let secret = Secret::new("access_token", TOKEN);
        let found = search(home.path(), std::slice::from_ref(&secret));
        assert_eq!((found[0].offset, &found[0].file), (5, &file));
        assert!(!format!("{found:?} {secret:?}").contains(TOKEN));
    }
}
