//! The pages that lead a newcomer through the code: each path that they name is there.

use std::path::{Path, PathBuf};

const PAGES: [&str; 2] = ["docs/architecture.md", "docs/glossary.md"];

/// The folders that a path on these pages may begin in.
const ROOTS: [&str; 6] = [
    "",
    "crates/authkeeper/src",
    "crates/authkeeper-gateway/src",
    "crates/authkeeper-cli/src",
    "crates/authkeeper-cli/src/commands/doctor",
    "crates/authkeeper-sandbox/src",
];

/// Folders of the store's folder, not of the source.
const DATA: [&str; 4] = ["answers/", "eras/", "holds/", "spill/"];

fn is_there(root: &Path, path: &str) -> bool {
    let mut roots = ROOTS.iter();
    DATA.contains(&path) || roots.any(|folder| root.join(folder).join(path).exists())
}

/// What stands in backticks and looks like a path: a source file, or a folder with a slash at its end.
fn paths(page: &str) -> Vec<&str> {
    let spans = page.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| {
        let words = span
            .split(['/', '.', '_', '-'])
            .all(|word| word.chars().all(char::is_alphanumeric));
        words
            && (Path::new(span).extension().is_some_and(|name| name == "rs")
                || (span.ends_with('/') && span.len() > 1))
    };
    spans.filter(is_path).collect()
}

#[test]
fn every_path_on_the_pages_is_there() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for page in PAGES {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let found = paths(&text);
        assert!(found.len() > 10, "{page} names few paths: {found:?}");
        let missing: Vec<&str> = found
            .into_iter()
            .filter(|path| !is_there(&root, path))
            .collect();
        assert!(
            missing.is_empty(),
            "{page} names what is not there: {missing:?}"
        );
    }
}

#[test]
fn a_path_is_told_from_other_code() {
    let page = "`model/grant.rs` and `refresh/decide/`, not `Store`, `<p>/`, `/` or `a.rs::b`";
    assert_eq!(paths(page), ["model/grant.rs", "refresh/decide/"]);
}
