//! `docs/refresh-scenarios.md`: its table is made here, the rest is written by hand.

use std::fmt::{self, Write as _};

use authkeeper_sandbox::BuiltIn;

use super::run::Outcome;

const BEGIN: &str =
    "<!-- made by UPDATE_DOCS=1 cargo nextest run -p e2e --test refresh_scenarios -->\n";
const END: &str = "<!-- made until here -->\n";

/// The page as it is, with what it has of the outcomes made anew.
pub fn page(kept: &str, outcomes: &[Outcome]) -> String {
    let (before, rest) = kept.split_once(BEGIN).unwrap_or((kept, ""));
    let (_, after) = rest.split_once(END).unwrap_or(("", ""));
    let mut made = String::new();
    // Writing to a string can't fail.
    let _ = write_table(&mut made, outcomes);
    let _ = write_list(&mut made);
    format!("{before}{BEGIN}{made}{END}{after}")
}

fn write_table(page: &mut String, outcomes: &[Outcome]) -> fmt::Result {
    let mut columns: Vec<String> = outcomes.iter().map(column).collect();
    columns.dedup();
    writeln!(page, "\n| scenario | {} |", columns.join(" | "))?;
    writeln!(page, "| --- |{}", " --- |".repeat(columns.len()))?;
    for scenario in BuiltIn::all() {
        write!(page, "| {} |", scenario.name())?;
        for name in &columns {
            let mut all = outcomes.iter();
            let of_it = |outcome: &&Outcome| {
                column(outcome) == *name && outcome.case.scenario.name() == scenario.name()
            };
            write!(page, " {} |", all.find(of_it).map_or("", cell))?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn column(outcome: &Outcome) -> String {
    format!("{}, {}", outcome.case.client.name(), outcome.case.revision)
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
