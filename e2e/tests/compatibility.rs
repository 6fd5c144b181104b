//! The list of compatibility is complete, names tests that are there, and is the page that is read.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "all of this file is a test, which is told by a variable to write the page"
)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use e2e::compatibility::{List, markdown, split};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn list() -> List {
    let text = fs::read_to_string(root().join("docs/compatibility.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

#[test]
fn every_number_has_its_row() {
    let sections = list().section;
    let items = sections.iter().flat_map(|section| &section.item);
    let numbers: BTreeSet<String> = items.map(|item| item.number.clone()).collect();
    let of = |section: usize, count: usize| (1..=count).map(move |n| format!("{section}.{n}"));
    let answers = of(1, 8).chain(of(2, 6)).chain(of(3, 11)).chain(of(4, 2));
    let wanted = answers.chain(of(5, 8)).chain(of(6, 10)).chain(of(7, 11));
    assert_eq!(numbers, wanted.collect());
}

#[test]
fn every_test_that_is_named_is_there() {
    for item in list().section.iter().flat_map(|section| &section.item) {
        assert!(!item.tests.is_empty(), "{} has no test", item.number);
        for test in &item.tests {
            let (file, name) = split(test);
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            let there = source.contains(&format!("fn {name}("))
                || source.contains(&format!("    {name}: \""));
            assert!(there, "{}: there is no {test}", item.number);
        }
    }
}

#[test]
fn the_page_is_what_the_list_makes() {
    let page = root().join("docs/compatibility.md");
    let made = markdown(&list());
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::write(&page, &made).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == made,
        "stale; run: UPDATE_DOCS=1 cargo nextest run -p e2e --test compatibility"
    );
}
