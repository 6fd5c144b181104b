//! `docs/conformance.md`: each scenario and what came of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::run::Outcome;
use super::scenarios::{List, REVISIONS};

const HEAD: &str = "# Conformance

See how authkeeper does in the official suite, `@modelcontextprotocol/conformance` 0.2.0-alpha.12. This page is made by

```
UPDATE_DOCS=1 cargo nextest run -p e2e --test conformance
```

and `./test.sh` fails when it differs from the results. One scenario alone, with its whole output:
`CONFORMANCE=auth/dpop cargo nextest run -p e2e --test conformance --no-capture`.

Each scenario runs alone, with a separate home folder, and the suite's exit code counts: a check that fails or warns, a client that
fails or takes too long is red. The client under test is [the driver](../e2e/conformance/driver.mjs):
`authkeeper connect --no-check` with an automatic browser, then an MCP client over stdio, the official TypeScript SDK's, which starts
`authkeeper mcp`. All requests that the suite's servers see come from authkeeper. (The check asks in both eras, and a scenario is of one.)

A number counts the passed checks. The suite has no scenario for refreshing; the sandbox has [such scenarios](refresh-scenarios.md).
";

/// The page.
pub fn page(outcomes: &[Outcome]) -> String {
    let mut page = String::from(HEAD);
    // Writing to a string can't fail.
    let _ = write_page(&mut page, outcomes);
    page
}

fn write_page(page: &mut String, outcomes: &[Outcome]) -> fmt::Result {
    let of = |list: List| -> Vec<&Outcome> {
        let all = outcomes.iter();
        all.filter(|outcome| outcome.case.list == list).collect()
    };
    let required = of(List::Required);
    writeln!(page, "\n## Required by a revision of the specification\n")?;
    for revision in REVISIONS {
        let of_it = required
            .iter()
            .filter(|outcome| outcome.case.version == revision);
        let (green, all) = of_it.fold((0, 0), |(green, all), outcome| {
            (green + usize::from(outcome.green), all + 1)
        });
        writeln!(page, "- {revision}: **{green} of {all}**")?;
    }
    write_table(page, &required)?;
    writeln!(
        page,
        "\n## Other scenarios\n\nExtensions, later additions to the suite, and servers of 2025-03-26."
    )?;
    write_table(page, &of(List::Beside))?;
    writeln!(
        page,
        "\n## With an agent of the other protocol version\n\nThe column names the server's revision, the agent speaks the other: \
         authkeeper translates."
    )?;
    write_table(page, &of(List::OtherEra))?;
    write_red(page, outcomes)
}

fn write_table(page: &mut String, outcomes: &[&Outcome]) -> fmt::Result {
    let mut versions: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.case.version)
        .collect();
    versions.sort_unstable();
    versions.dedup();
    let mut rows: Vec<(&str, BTreeMap<&str, String>)> = Vec::new();
    for outcome in outcomes {
        let scenario = outcome.case.scenario.as_str();
        let at = rows.iter().position(|(name, _)| *name == scenario);
        let at = at.unwrap_or_else(|| {
            rows.push((scenario, BTreeMap::new()));
            rows.len() - 1
        });
        if let Some((_, cells)) = rows.get_mut(at) {
            cells.insert(outcome.case.version, cell(outcome));
        }
    }
    writeln!(page, "\n| scenario | {} |", versions.join(" | "))?;
    writeln!(page, "| --- |{}", " --- |".repeat(versions.len()))?;
    for (scenario, cells) in rows {
        write!(page, "| {scenario} |")?;
        for version in &versions {
            write!(page, " {} |", cells.get(version).map_or("", String::as_str))?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn cell(outcome: &Outcome) -> String {
    if outcome.green {
        outcome.passed.to_string()
    } else {
        "**red**".to_owned()
    }
}

fn write_red(page: &mut String, outcomes: &[Outcome]) -> fmt::Result {
    let red: Vec<_> = outcomes.iter().filter(|outcome| !outcome.green).collect();
    if red.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n## Red\n")?;
    for outcome in red {
        let case = &outcome.case;
        let failed: Vec<String> = outcome.failed.iter().map(|id| format!("`{id}`")).collect();
        let what: Vec<String> = failed.into_iter().chain(outcome.driver.clone()).collect();
        let agent = case.agent().map(|agent| format!(", agent {agent}"));
        writeln!(
            page,
            "- {} ({}{}): {}",
            case.scenario,
            case.version,
            agent.unwrap_or_default(),
            what.join(", ")
        )?;
    }
    Ok(())
}
