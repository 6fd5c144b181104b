//! `docs/rules.md`: each rule, the mutations that break it, and the test that catches each.

use crate::{
    catalog::{Catalog, Group, Rule},
    mutation::Mutation,
    source::Workspace,
};

const HEAD: &str = "# Rules and the tests that fail when they are broken

Made from `rules.toml` and `mutations.toml` of the crate [breaks](../verify/mutation); `UPDATE_DOCS=1 cargo test -p breaks` makes it
again.

`cargo run -p breaks` changes one function after another as listed here (a mutation), in a copy of the source, and runs the
test beside it, which must catch the mutant: it must fail. `cargo run -p breaks -- NAME …` does so with a few. `caught.txt`
records what was caught; a mutation has to be caught again when the code at its place changes.
";

/// The whole page.
pub fn markdown(catalog: &Catalog, workspace: &Workspace) -> String {
    let groups = catalog.groups.iter().map(|group| table(catalog, group));
    let groups: String = groups.collect();
    format!("{HEAD}\n{}\n{groups}", verdict(catalog, workspace))
}

fn verdict(catalog: &Catalog, workspace: &Workspace) -> String {
    let mutations = catalog.mutations.iter();
    let caught = mutations.filter(|mutation| catalog.was_caught(mutation, workspace));
    let (caught, all) = (caught.count(), catalog.mutations.len());
    format!("**Caught, as the source stands: {caught} of {all} mutants.**\n")
}

fn table(catalog: &Catalog, group: &Group) -> String {
    let rules = group.rule.iter().map(|rule| rows(catalog, group, rule));
    let rows: String = rules.collect();
    format!(
        "## {}\n\n| | What must hold | Mutant | Function | Test that fails |\n| --- | --- | --- | --- | --- |\n{rows}\n",
        group.title
    )
}

fn rows(catalog: &Catalog, group: &Group, rule: &Rule) -> String {
    let name = format!("{}.{}", group.mark, rule.id);
    let mutations = catalog.mutations.iter();
    let breaking = mutations.filter(|mutation| mutation.rules.contains(&name));
    let mut cells: Vec<String> = breaking.map(row).collect();
    cells.extend(rule.left.iter().map(|left| format!("*{left}* | | |\n")));
    let first = format!("| {} | {} | ", rule.id, rule.says);
    let mut text = String::new();
    for (index, cells) in cells.iter().enumerate() {
        text.push_str(if index == 0 { &first } else { "| | | " });
        text.push_str(cells);
    }
    text
}

fn row(mutation: &Mutation) -> String {
    let Mutation {
        name,
        what,
        function,
        test,
        ..
    } = mutation;
    format!("{what} (`{name}`) | `{function}` | `{test}` |\n")
}
