//! The tests that docs/mcp.md names are there.

use std::fs;

use e2e::repository;

/// Every test that a page names after a link to its file, and every scenario after the word `conformance`.
fn named(page: &str) -> (Vec<(String, String)>, Vec<String>) {
    let (mut tests, mut scenarios, mut file) = (Vec::new(), Vec::new(), String::new());
    for line in page.lines() {
        let mut lists_scenarios = false;
        // Prose and code take turns.
        for (number, part) in line.split('`').enumerate() {
            if number % 2 == 0 {
                lists_scenarios |= part.contains("conformance ");
                if let Some((_, link)) = part.rsplit_once("](../") {
                    let path = link.split(')').next().unwrap_or_default();
                    path.clone_into(&mut file);
                }
            } else if let Some(test) = part.strip_prefix("::") {
                tests.push((file.clone(), test.to_owned()));
            } else if lists_scenarios {
                scenarios.push(part.to_owned());
            }
        }
    }
    (tests, scenarios)
}

#[test]
fn the_tests_that_the_page_names_are_there() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).expect(path);
    let (tests, scenarios) = named(&read("docs/mcp.md"));
    assert!(tests.len() > 50 && scenarios.len() > 30, "the page changed");
    for (file, test) in tests {
        let there = read(&file).contains(&format!("fn {test}("));
        assert!(there, "{file} has no {test}");
    }
    let outcomes = read("docs/conformance.md");
    for scenario in scenarios {
        let there = outcomes.contains(&format!("| {scenario} |"));
        assert!(there, "there is no scenario {scenario}");
    }
}
