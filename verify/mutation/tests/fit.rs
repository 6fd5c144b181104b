//! Checks that need no mutant to be built: every case fits the source, names a test, and was caught as it stands.

use std::{collections::BTreeSet, fs, io};

use breaks::{
    catalog::{Catalog, root},
    page,
    source::Workspace,
};

fn read() -> io::Result<(Catalog, Workspace)> {
    Ok((Catalog::read()?, Workspace::read(&root())?))
}

#[test]
fn every_mutation_fits_the_source() {
    let (catalog, workspace) = read().unwrap();
    let misfits = catalog.mutations.iter().filter_map(|mutation| {
        let misfit = mutation.apply(&workspace).err()?;
        Some(format!("{}: {misfit}", mutation.name))
    });
    let misfits: Vec<String> = misfits.collect();
    assert!(
        misfits.is_empty(),
        "{}\nwhere code was renamed or moved, try: cargo run -p breaks -- --relocate",
        misfits.join("\n")
    );
}

#[test]
fn every_mutation_names_a_test_that_is_there() {
    let (catalog, workspace) = read().unwrap();
    let misfits = catalog.mutations.iter().filter_map(|mutation| {
        let misfit = workspace.test(&mutation.test).err()?;
        Some(format!("{}: {misfit}", mutation.name))
    });
    let misfits: Vec<String> = misfits.collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}

#[test]
fn every_rule_is_broken_or_says_why_not() {
    let catalog = Catalog::read().unwrap();
    let mutations = &catalog.mutations;
    let mut broken: BTreeSet<&String> = mutations.iter().flat_map(|m| &m.rules).collect();
    let names: BTreeSet<&String> = mutations.iter().map(|mutation| &mutation.name).collect();
    assert_eq!(names.len(), mutations.len(), "a name is there twice");
    for group in &catalog.groups {
        for rule in &group.rule {
            let name = format!("{}.{}", group.mark, rule.id);
            let is_broken = broken.remove(&name);
            assert!(is_broken || rule.left.is_some(), "nothing breaks {name}");
        }
    }
    assert!(broken.is_empty(), "no rule has these names: {broken:?}");
}

#[test]
fn every_mutation_was_caught() {
    let (catalog, workspace) = read().unwrap();
    let missing: Vec<&str> = catalog
        .mutations
        .iter()
        .filter(|mutation| !catalog.was_caught(mutation, &workspace))
        .map(|mutation| mutation.name.as_str())
        .collect();
    assert!(
        missing.is_empty(),
        "new, or the code there has changed: cargo run -p breaks -- --relocate finds code that was moved; \
         otherwise see that the address still names the right code and run: cargo run -p breaks -- {}",
        missing.join(" ")
    );
}

#[test]
fn the_page_in_docs_is_up_to_date() {
    let file = root().join("docs/rules.md");
    let (catalog, workspace) = read().unwrap();
    let wanted = page::markdown(&catalog, &workspace);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == wanted,
        "docs/rules.md is stale; run: UPDATE_DOCS=1 cargo test -p breaks"
    );
}
