//! `docs/rules.md`: each rule, how it is broken, and the test that fails then.

use crate::book::{Book, Break, Group, Rule};

const HEAD: &str = "# Rules and the tests that fail when they are broken

Made from `breaks/rules.toml` and `breaks/breaks.toml`; `UPDATE_DOCS=1 cargo test -p breaks` makes it again.

`cargo run -p breaks` breaks each rule in a copy of the source, in every way listed here, and runs the test beside it:
it must go red. `cargo run -p breaks -- NAME …` does so with a few. What was caught is noted in `breaks/seen.txt`; a
break or a test that changes has to be seen again.
";

/// The whole page.
pub fn markdown(book: &Book) -> String {
    let groups: String = book.groups.iter().map(|group| table(book, group)).collect();
    format!("{HEAD}\n{}\n{groups}", verdict(book))
}

fn verdict(book: &Book) -> String {
    let seen = book.breaks.iter().filter(|broken| book.was_seen(broken));
    let (seen, all) = (seen.count(), book.breaks.len());
    format!("**Seen to be caught as they stand here: {seen} of {all} breaks.**\n")
}

fn table(book: &Book, group: &Group) -> String {
    let rows: String = group
        .rule
        .iter()
        .map(|rule| rows(book, group, rule))
        .collect();
    format!(
        "## {}\n\n| | What must hold | Broken like this | Test that fails |\n| --- | --- | --- | --- |\n{rows}\n",
        group.title
    )
}

fn rows(book: &Book, group: &Group, rule: &Rule) -> String {
    let name = format!("{}.{}", group.mark, rule.id);
    let breaks = book.breaks.iter();
    let breaks: Vec<&Break> = breaks
        .filter(|broken| broken.rules.contains(&name))
        .collect();
    let mut lines: Vec<String> = breaks.iter().map(|broken| how(broken)).collect();
    if let Some(left) = &rule.left {
        lines.push(format!("*{left}* | |\n"));
    }
    let mut says = format!("| {} | {} | ", rule.id, rule.says);
    let mut text = String::new();
    for line in lines {
        text.push_str(&says);
        text.push_str(&line);
        "| | | ".clone_into(&mut says);
    }
    text
}

fn how(broken: &Break) -> String {
    let file = broken.test_file();
    let (short, name) = (file.rsplit('/').next().unwrap_or(file), broken.test_name());
    format!(
        "{} (`{}`) | [{short}](../{file})`::{name}` |\n",
        broken.what, broken.name
    )
}
