//! What can be told without breaking anything: that every break still fits the source and names a test.

use std::{collections::BTreeSet, fs};

use breaks::{
    book::{Book, root},
    page,
};

#[test]
fn every_break_fits_the_source_once() {
    for broken in Book::read(&root()).unwrap().breaks {
        let source = fs::read_to_string(root().join(&broken.file)).unwrap();
        let fits = broken.apply(&source).is_some();
        let (name, file) = (&broken.name, &broken.file);
        assert!(
            fits,
            "{name}: what it replaces does not stand in {file} exactly once"
        );
    }
}

#[test]
fn every_break_names_a_test_that_is_there() {
    for broken in Book::read(&root()).unwrap().breaks {
        let source = fs::read_to_string(root().join(broken.test_file())).unwrap();
        let names = [
            format!("fn {}(", broken.test_name()),
            format!("    {}: \"", broken.test_name()),
        ];
        let there = names.iter().any(|name| source.contains(name));
        assert!(there, "{}: there is no {}", broken.name, broken.test);
    }
}

#[test]
fn every_rule_is_broken_or_says_why_not() {
    let book = Book::read(&root()).unwrap();
    let mut broken: BTreeSet<&String> = book.breaks.iter().flat_map(|b| &b.rules).collect();
    let names: BTreeSet<&String> = book.breaks.iter().map(|b| &b.name).collect();
    assert_eq!(names.len(), book.breaks.len(), "a name is there twice");
    for group in &book.groups {
        for rule in &group.rule {
            let name = format!("{}.{}", group.mark, rule.id);
            let is_broken = broken.remove(&name);
            assert!(is_broken || rule.left.is_some(), "nothing breaks {name}");
        }
    }
    assert!(broken.is_empty(), "no rule has these names: {broken:?}");
}

#[test]
fn every_break_was_seen_to_be_caught() {
    let book = Book::read(&root()).unwrap();
    let unseen: Vec<&str> = book
        .breaks
        .iter()
        .filter(|broken| !book.was_seen(broken))
        .map(|broken| broken.name.as_str())
        .collect();
    assert!(
        unseen.is_empty(),
        "new or changed; run: cargo run -p breaks -- {}",
        unseen.join(" ")
    );
}

#[test]
fn the_page_in_docs_is_the_book() {
    let file = root().join("docs/rules.md");
    let wanted = page::markdown(&Book::read(&root()).unwrap());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == wanted,
        "docs/rules.md is stale; run: UPDATE_DOCS=1 cargo test -p breaks"
    );
}
