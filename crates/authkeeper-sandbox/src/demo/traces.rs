//! What authkeeper left on disk: its decision log, and a search of every file for secrets.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// What authkeeper's decision log says of renewals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Renewals {
    pub(super) done: u64,
    /// Tried, and the provider had no answer for it.
    pub(super) put_off: u64,
}

/// Counts the renewals in the decision log below this home.
pub(super) fn renewals(home: &Path) -> Renewals {
    let folder = home.join(".local/share/authkeeper/decisions");
    let mut text = String::new();
    for file in files_below(&folder) {
        text.push_str(&fs::read_to_string(file).unwrap_or_default());
    }
    count(&text)
}

fn count(text: &str) -> Renewals {
    let mut renewals = Renewals::default();
    for line in text.lines().filter(|line| line.contains("\"refresh\"")) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        match (line["decision"].as_str(), line["outcome"].as_str()) {
            (Some("refresh"), Some("fresh")) => renewals.done += 1,
            (Some("refresh"), Some("later")) => renewals.put_off += 1,
            _ => {}
        }
    }
    renewals
}

/// How many files there are below a folder, and in how many places a secret stands.
pub(super) fn search(folder: &Path, secrets: &[String]) -> (u64, u64) {
    let files = files_below(folder);
    let mut found = 0;
    for file in &files {
        let content = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        found += secrets
            .iter()
            .filter(|secret| text.contains(secret.as_str()))
            .count() as u64;
    }
    (files.len() as u64, found)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries {
            let kind = entry.file_type();
            match kind.as_ref().map_err(io::Error::kind) {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                // Links lead to the binary.
                _ => {}
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_are_counted_by_their_outcome() {
        let text = r#"{"decision":"serve"}
{"decision":"serve_and_refresh","why":"due"}
{"decision":"refresh","outcome":"later"}
{"decision":"refresh","outcome":"fresh"}
{"decision":"refresh","outcome":"refused"}"#;
        let expected = Renewals {
            done: 1,
            put_off: 1,
        };
        assert_eq!(count(text), expected);
    }

    #[test]
    fn a_secret_in_a_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/log"), b"\xff key=s3cret ").unwrap();
        fs::write(folder.path().join("other"), "nothing").unwrap();
        let secrets = ["s3cret".to_owned(), "another".to_owned()];
        assert_eq!(search(folder.path(), &secrets), (2, 1));
        assert_eq!(search(folder.path(), &secrets[1..]), (2, 0));
    }
}
