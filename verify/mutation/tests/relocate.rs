//! A case whose code was moved is found by its fingerprint.

use std::collections::BTreeMap;

use breaks::{
    catalog::Catalog,
    mutation::Mutation,
    relocate::{Relocation, relocate, rewrite},
    source::Workspace,
};

const BEFORE: &str = "
fn due(age: u32, limit: u32) -> bool {
    if age >= limit && !paused(age) {
        return true;
    }
    age == 7
}
fn other(age: u32) -> bool {
    age >= 4
}
";

fn case() -> Mutation {
    Mutation {
        name: "late".to_owned(),
        rules: Vec::new(),
        what: String::new(),
        function: "due".to_owned(),
        node: "binary 1".to_owned(),
        passage: None,
        to: "$1 > $2".to_owned(),
        test: "test".to_owned(),
    }
}

/// Where the case is found in this source, if it has to be looked for.
fn found(source: &str) -> Option<Relocation> {
    let fingerprint = case()
        .apply(&Workspace::of_sample(&[("a.rs", BEFORE)]))
        .map(|mutant| mutant.fingerprint);
    let catalog = Catalog {
        groups: Vec::new(),
        mutations: vec![case()],
        caught: fingerprint
            .into_iter()
            .map(|it| ("late".to_owned(), it))
            .collect(),
    };
    let workspace = Workspace::of_sample(&[("b.rs", source)]);
    let mut relocations = relocate(&catalog, &workspace).unwrap_or_default();
    relocations.pop().map(|(_, relocation)| relocation)
}

fn place(source: &str) -> Option<(String, String)> {
    match found(source)? {
        Relocation::Found(place) => Some((place.function, place.node)),
        Relocation::Unclear(_) => None,
    }
}

#[test]
fn what_fits_is_left_alone() {
    assert!(found(BEFORE).is_none());
    assert!(found(&BEFORE.replace("age", "years").replace("paused", "rests")).is_none());
}

#[test]
fn a_renamed_function_is_found() {
    let (function, node) = place(&BEFORE.replace("due", "expired")).unwrap();
    assert_eq!((function.as_str(), node.as_str()), ("expired", "binary 1"));
}

#[test]
fn a_shifted_address_is_found() {
    let shifted = BEFORE.replace("    if age", "    let old = age + 1;\n    if age");
    let (function, node) = place(&shifted).unwrap();
    assert_eq!((function.as_str(), node.as_str()), ("due", "binary 2"));
}

#[test]
fn of_two_such_places_neither_is_taken() {
    let twice = format!(
        "{} {}",
        BEFORE.replace("due", "one"),
        BEFORE.replace("due", "two").replace("other", "third")
    );
    assert!(matches!(found(&twice), Some(Relocation::Unclear(places)) if places.len() == 2));
    let gone = BEFORE.replace(">= limit", "> limit");
    assert!(matches!(found(&gone), Some(Relocation::Unclear(places)) if places.is_empty()));
}

#[test]
fn only_its_case_is_rewritten() {
    let text = "# function = 'x'\n[[mutation]]\nname = 'late'\nfunction = 'due'\nnode = 'if 1'\nto = ''\n\n[[mutation]]\n\
                name = 'later'\nfunction = 'due'\nnode = 'if 1'\n";
    let place = Mutation {
        function: "expired".to_owned(),
        node: "if 2".to_owned(),
        ..case()
    };
    let wanted = text.replacen("'due'\nnode = 'if 1'", "'expired'\nnode = 'if 2'", 1);
    assert_eq!(rewrite(text, &place), wanted);
}

#[test]
fn an_unseen_case_is_not_looked_for() {
    let catalog = Catalog {
        groups: Vec::new(),
        mutations: vec![case()],
        caught: BTreeMap::new(),
    };
    let workspace = Workspace::of_sample(&[("a.rs", "fn other() {}")]);
    assert!(relocate(&catalog, &workspace).unwrap().is_empty());
}
