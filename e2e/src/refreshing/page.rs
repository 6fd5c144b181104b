//! `docs/refresh-scenarios.md`: its table is made here, the rest is written by hand.

use std::fmt::{self, Write as _};

use authkeeper_sandbox::{BuiltIn, Revision};

use super::run::{Client, Outcome, columns};

const BEGIN: &str =
    "<!-- made by UPDATE_DOCS=1 cargo nextest run -p e2e --test refresh_scenarios -->\n";
const END: &str = "<!-- made until here -->\n";

/// The page with the outcomes of this run. A client that was not tried keeps its outcomes.
pub fn page(kept: &str, outcomes: &[Outcome]) -> String {
    let (before, rest) = kept.split_once(BEGIN).unwrap_or((kept, ""));
    let (table, after) = rest.split_once(END).unwrap_or(("", ""));
    let mut made = String::new();
    // Writing to a string can't fail.
    let _ = write_table(&mut made, outcomes, table);
    let _ = write_list(&mut made);
    format!("{before}{BEGIN}{made}{END}{after}")
}

fn write_table(page: &mut String, outcomes: &[Outcome], kept: &str) -> fmt::Result {
    let columns = columns();
    let names: Vec<String> = columns.iter().copied().map(named).collect();
    writeln!(page, "\n| scenario | {} |", names.join(" | "))?;
    writeln!(page, "| --- |{}", " --- |".repeat(columns.len()))?;
    for scenario in BuiltIn::all() {
        write!(page, "| {} |", scenario.name())?;
        for (index, column) in columns.iter().enumerate() {
            let of_it = |outcome: &&Outcome| {
                let case = &outcome.case;
                (case.client, case.revision) == *column && case.scenario.name() == scenario.name()
            };
            let found = outcomes.iter().find(of_it).map(cell);
            let cell = found.unwrap_or_else(|| cell_of(kept, scenario.name(), index));
            write!(page, " {cell} |")?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn named((client, revision): (Client, Revision)) -> String {
    format!("{}, {revision}", client.name())
}

/// What the table says.
fn cell_of<'a>(table: &'a str, scenario: &str, column: usize) -> &'a str {
    let begin = format!("| {scenario} |");
    let row = table.lines().find(|line| line.starts_with(&begin));
    let row = row.unwrap_or_default();
    row.split('|').nth(column + 2).unwrap_or_default().trim()
}

fn cell(outcome: &Outcome) -> &'static str {
    match outcome.verdict {
        "failed" => "**failed**",
        other => other,
    }
}

fn write_list(page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "\n| scenario | what the sandbox does | what it wants |\n| --- | --- | --- |"
    )?;
    for scenario in BuiltIn::all() {
        let (name, does, wants) = (scenario.name(), scenario.does(), scenario.wants());
        writeln!(page, "| {name} | {does} | {wants} |")?;
    }
    writeln!(page)
}
