//! Addresses, replacements and fingerprints, on samples of code.

use breaks::{misfit::Misfit, mutation::Mutation, source::Workspace};

const SAMPLE: &str = "
impl Grant {
    fn due(&self, now: Moment, rules: &Rules) -> bool {
        let age = now.since(self.fetched);
        if age >= rules.limit && self.lives() {
            return true;
        }
        match self.state {
            State::Fresh(left) if left > 3 => false,
            State::Old => self.ends.min(rules.limit) <= age,
            State::Gone => matches!(rules.mode, Mode::Strict | Mode::Slow if age > 9),
        }
    }
}
const LIMIT: u32 = 3;
";

fn case(function: &str, node: &str, to: &str) -> Mutation {
    Mutation {
        name: "case".to_owned(),
        rules: Vec::new(),
        what: String::new(),
        function: function.to_owned(),
        node: node.to_owned(),
        passage: None,
        to: to.to_owned(),
        test: "test".to_owned(),
    }
}

/// The mutant's text and fingerprint.
fn mutant(source: &str, mutation: &Mutation) -> Result<(String, String), Misfit> {
    let workspace = Workspace::of_sample(&[("grant.rs", source)]);
    let mutant = mutation.apply(&workspace)?;
    Ok((mutant.text, mutant.fingerprint))
}

fn fingerprint(source: &str, node: &str, to: &str) -> Result<String, Misfit> {
    Ok(mutant(source, &case("due", node, to))?.1)
}

#[test]
fn a_node_is_replaced_by_its_address() {
    for (node, to, from, by) in [
        ("binary 2", "$1 || $2", "limit && self", "limit || self"),
        (
            "binary 1 right",
            "0",
            "age >= rules.limit &&",
            "age >= 0 &&",
        ),
        (
            "if 1 condition",
            "false",
            "age >= rules.limit && self.lives()",
            "false",
        ),
        ("return 1", "", "return true", ""),
        ("arm 1 guard", "$0 || true", "left > 3", "left > 3 || true"),
        ("method 3", "$1.max($2)", "self.ends.min", "self.ends.max"),
        ("literal 3", "!$0", "=> false,", "=> !false,"),
        (
            "arm 2",
            "",
            "State::Old => self.ends.min(rules.limit) <= age,",
            "",
        ),
        ("arm 2 body path 2", "now", "rules.limit)", "now.limit)"),
        (
            "macro 1 pattern path 2",
            "$1::Strict",
            "Mode::Slow",
            "Mode::Strict",
        ),
        ("macro 1 guard", "true", "age > 9", "true"),
        (
            "match 1 arm 3 macro 1 value",
            "$0",
            "rules.mode",
            "rules.mode",
        ),
    ] {
        assert_eq!(SAMPLE.matches(from).count(), 1, "{from}");
        let replaced = mutant(SAMPLE, &case("due", node, to)).map(|(text, _)| text);
        match replaced {
            Ok(text) => assert_eq!(text, SAMPLE.replace(from, by)),
            Err(misfit) => assert!(from == by && matches!(misfit, Misfit::NoChange), "{misfit}"),
        }
    }
}

#[test]
fn a_branch_of_select_is_an_arm() {
    let source =
        "fn due() { select! { biased; () = &mut over => return a(b), Some(c) = d => {} } }";
    for (node, to, from, by) in [
        ("arm 1 body", "{}", "return a(b)", "{}"),
        ("arm 2 value", "over", "c) = d", "c) = over"),
        ("arm 1", "", "() = &mut over => return a(b),", ""),
    ] {
        let (text, _) = mutant(source, &case("due", node, to)).unwrap();
        assert_eq!(text, source.replace(from, by));
    }
}

#[test]
fn a_passage_of_a_literal_is_replaced() {
    let source = "fn put() { run(\"UPDATE t SET a = 1\n  WHERE b = 2 AND c = 2\"); }";
    let passage = |passage: &str| Mutation {
        passage: Some(passage.to_owned()),
        ..case("put", "literal 1", "b = 3")
    };
    let (text, _) = mutant(source, &passage("b = 2")).unwrap();
    assert_eq!(text, source.replace("b = 2", "b = 3"));
    for absent in ["d = 2", "= 2"] {
        let misfit = mutant(source, &passage(absent)).unwrap_err();
        assert!(matches!(misfit, Misfit::NoPassage { .. }), "{misfit}");
    }
}

#[test]
fn a_constant_has_nodes_too() {
    let (text, _) = mutant(SAMPLE, &case("LIMIT", "literal 1", "4")).unwrap();
    assert_eq!(text, SAMPLE.replace("u32 = 3", "u32 = 4"));
}

#[test]
fn a_function_that_is_not_there_or_not_unique_is_told() {
    let files = [
        (
            "a.rs",
            "fn go() { 1; } impl A { fn run() { 1; } } impl Trait for A { fn end() { 1; } }",
        ),
        ("b/mod.rs", "fn go() { 2; } impl B { fn run() { 2; } }"),
        ("b/tests.rs", "fn end() { 3; }"),
        (
            "c.rs",
            "#[cfg(test)] mod tests { fn end() { 3; } } #[cfg(not(test))] fn only() { 4; }",
        ),
    ];
    let workspace = Workspace::of_sample(&files);
    let file = |key: &str| {
        workspace
            .item(key)
            .map(|(file, _)| file.path.display().to_string())
    };
    for (key, path) in [
        ("a::go", "sample/src/a.rs"),
        ("b::go", "sample/src/b/mod.rs"),
        ("B::run", "sample/src/b/mod.rs"),
        ("sample::A::run", "sample/src/a.rs"),
        ("end", "sample/src/a.rs"),
        ("Trait::end", "sample/src/a.rs"),
        ("only", "sample/src/c.rs"),
    ] {
        assert_eq!(file(key).unwrap(), path, "{key}");
    }
    assert!(
        matches!(file("go"), Err(Misfit::Ambiguous { candidates, .. })
        if candidates == ["sample::a::go", "sample::b::go"])
    );
    for key in ["gone", "b::end", "a::B::run", ""] {
        assert!(matches!(file(key), Err(Misfit::NoFunction(_))), "{key}");
    }
}

#[test]
fn a_node_that_is_not_there_is_told_with_those_that_are() {
    for node in [
        "if 2",
        "if 0",
        "if",
        "condition 1",
        "if 1 guard",
        "method 1 argument 2",
        "",
    ] {
        let misfit = mutant(SAMPLE, &case("due", node, "")).unwrap_err();
        assert!(matches!(misfit, Misfit::NoNode { .. }), "{misfit}");
        let told = misfit.to_string();
        if node.starts_with("method") {
            assert!(
                told.contains("method 3 ") && !told.contains("if 1 "),
                "{told}"
            );
            continue;
        }
        assert!(
            told.contains("if 1 ") && told.contains("$1 condition"),
            "{told}"
        );
    }
}

#[test]
fn a_replacement_that_means_nothing_is_told() {
    let apply = |to: &str| mutant(SAMPLE, &case("due", "binary 1", to)).unwrap_err();
    assert!(matches!(apply("$0"), Misfit::NoChange));
    assert!(matches!(apply("$3"), Misfit::NoPart(_)));
    assert!(matches!(apply("$now"), Misfit::NoPart(_)));
    assert!(matches!(apply("$1 && gone"), Misfit::UnknownName(name) if name == "gone"));
}

#[test]
fn a_rename_and_another_format_leave_a_case_as_it_is() {
    let renamed = SAMPLE
        .replace("rules", "policy")
        .replace("due", "expires")
        .replace("State", "Phase");
    let formatted = SAMPLE.replace("=> false", "=> {\n false }").replace(
        "now.since(self.fetched)",
        "now\n  .since(\n self.fetched,\n )",
    );
    let moved = format!("mod inner {{ fn other() {{ if a {{ b; }} }} {SAMPLE} }}");
    for (node, to) in [
        ("binary 2", "$1 || $2"),
        ("literal 3", "!$0"),
        ("arm 2", ""),
        ("method 1 argument 1", "$0 - 1"),
    ] {
        let before = fingerprint(SAMPLE, node, to).unwrap();
        assert_eq!(
            mutant(&renamed, &case("expires", node, to)).unwrap().1,
            before
        );
        assert_eq!(fingerprint(&formatted, node, to).unwrap(), before);
        assert_eq!(fingerprint(&moved, node, to).unwrap(), before);
    }
}

#[test]
fn another_code_at_the_place_is_another_case() {
    let before = fingerprint(SAMPLE, "binary 2", "$2").unwrap();
    for (from, to) in [
        ("limit && self", "limit || self"),
        (">= rules.limit", "> rules.limit"),
        ("self.lives()", "!self.lives()"),
        ("return true", "return false"),
    ] {
        let changed = SAMPLE.replace(from, to);
        assert_ne!(
            fingerprint(&changed, "binary 2", "$2").unwrap(),
            before,
            "{from}"
        );
    }
    assert_ne!(fingerprint(SAMPLE, "binary 2", "$1 == $2").unwrap(), before);
    let elsewhere = SAMPLE.replace("let age", "let more = self.more(); let age");
    assert_eq!(fingerprint(&elsewhere, "binary 2", "$2").unwrap(), before);
}

#[test]
fn an_address_that_has_become_another_ones_is_noticed() {
    let source = "fn due() { first(); second(); }";
    let before = fingerprint(source, "statement 2", "").unwrap();
    for changed in [
        "fn due() { new(); first(); second(); }",
        "fn due() { first(); second(); new(); }",
        "fn due() { second(); }",
    ] {
        let now = mutant(changed, &case("due", "statement 2", ""));
        assert!(
            now.is_err() || now.is_ok_and(|(_, now)| now != before),
            "{changed}"
        );
    }
}

#[test]
fn tests_are_found_by_name() {
    let files = [
        ("a.rs", "#[test]\nfn one() {}\nfn three() {}\n"),
        (
            "b.rs",
            "#[test]\n#[should_panic]\nfn two() {}\n#[tokio::test]\nasync fn both() {}\n",
        ),
        (
            "c.rs",
            "cases! {\n    four: \"a case\",\n}\n#[test]\nfn both() {}\n",
        ),
    ];
    let workspace = Workspace::of_sample(&files);
    let file = |key: &str| {
        workspace
            .test(key)
            .map(|test| test.file.display().to_string())
    };
    for (key, path) in [
        ("one", "sample/src/a.rs"),
        ("two", "sample/src/b.rs"),
        ("four", "sample/src/c.rs"),
        ("c::both", "sample/src/c.rs"),
    ] {
        assert_eq!(file(key).unwrap(), path, "{key}");
    }
    assert!(matches!(file("three"), Err(Misfit::NoTest(_))));
    assert!(matches!(file("both"), Err(Misfit::Ambiguous { .. })));
    assert_eq!(workspace.test("one").unwrap().target.flag, "--lib");
}
