//! `docs/compatibility.md`: what providers really answer, what authkeeper does then, and the tests that show it. Made from
//! `docs/compatibility.toml`.

use std::fmt::Write as _;

use serde::Deserialize;

/// The whole list.
#[derive(Debug, Deserialize)]
pub struct List {
    /// Its sections, in order.
    pub section: Vec<Section>,
}

/// Answers of one kind.
#[derive(Debug, Deserialize)]
pub struct Section {
    /// What they have in common.
    pub title: String,
    /// The answers.
    pub item: Vec<Item>,
}

/// One kind of answer.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// Its number.
    pub number: String,
    /// What a provider answers.
    pub comes: String,
    /// What authkeeper does then.
    pub behaviour: String,
    /// The tests that show it: `FILE::NAME`, the file from the root of the repository.
    pub tests: Vec<String>,
}

const HEAD: &str = "# What providers really answer

Look up how authkeeper handles an answer that breaks the RFCs, and the tests that show it. Providers, and the networks before them,
send such answers. Leniency never affects where a secret is sent: see [SECURITY.md](../SECURITY.md).

Made from `compatibility.toml` by `UPDATE_DOCS=1 cargo nextest run -p e2e --test compatibility`. [providers.md](providers.md)
describes single providers, [configuration.md](configuration.md) the settings.
";

/// The page.
pub fn markdown(list: &List) -> String {
    let sections: String = list.section.iter().map(section).collect();
    format!("{HEAD}{sections}")
}

fn section(section: &Section) -> String {
    let rows: String = section.item.iter().map(row).collect();
    format!(
        "\n## {}\n\n| | Answer | Behaviour | Tests |\n| --- | --- | --- | --- |\n{rows}",
        section.title
    )
}

fn row(item: &Item) -> String {
    let mut tests = String::new();
    for test in &item.tests {
        let (file, name) = split(test);
        let short = file.rsplit('/').next().unwrap_or(file);
        let between = if tests.is_empty() { "" } else { "<br>" };
        // Writing to a text cannot fail.
        let _ = write!(tests, "{between}[{short}](../{file})`::{name}`");
    }
    let Item {
        number,
        comes,
        behaviour,
        ..
    } = item;
    format!("| {number} | {comes} | {behaviour} | {tests} |\n")
}

/// A test's file and its name in it.
pub fn split(test: &str) -> (&str, &str) {
    test.split_once("::").unwrap_or((test, ""))
}
