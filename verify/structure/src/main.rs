//! `cargo run -p structure`: the measures of the workspace, a row for each crate, then what exceeds the limits.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use structure::{
    crate_tree::read_crates,
    measures::{Measures, measure},
};

/// No function is longer.
const LONGEST_FUNCTION: usize = 80;
/// Few files are longer.
const LONG_FILE: usize = 500;

fn main() -> io::Result<()> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| crate | functions: number, median, p90, longest | over {LONGEST_FUNCTION} | files: number, p90, longest | over {LONG_FILE} | type names in several files |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    let mut all: Option<Measures> = None;
    for tree in read_crates(&root, &["crates"])? {
        let measures = measure(&tree);
        writeln!(out, "{}", row(&tree.name, &measures))?;
        all = Some(match all {
            Some(all) => all.with(measures),
            None => measures,
        });
    }
    let Some(all) = all else { return Ok(()) };
    writeln!(out, "{}", row("together", &all))?;
    for (lines, name, file) in all
        .functions
        .iter()
        .filter(|(lines, ..)| *lines > LONGEST_FUNCTION)
    {
        writeln!(out, "function of {lines} lines: {name} in {}", shown(file))?;
    }
    for (lines, file) in all.files.iter().filter(|(lines, _)| *lines > LONG_FILE) {
        writeln!(out, "file of {lines} lines: {}", shown(file))?;
    }
    for (name, files) in all.shared_names() {
        let files: Vec<String> = files.iter().map(|file| shown(file)).collect();
        writeln!(out, "type {name}: {}", files.join(" "))?;
    }
    Ok(())
}

fn row(name: &str, of: &Measures) -> String {
    let (median, p90) = of.percentiles();
    let long_functions = of
        .functions
        .iter()
        .filter(|(lines, ..)| *lines > LONGEST_FUNCTION);
    let long_files = of
        .files
        .iter()
        .filter(|(lines, _)| *lines > LONG_FILE)
        .count();
    let shared = of.shared_names().count();
    let first = |lines: Option<usize>| lines.unwrap_or_default();
    format!(
        "| {name} | {} {median} {p90} {} | {} | {} {} {} | {long_files} ({:.1} %) | {shared} of {} ({:.1} %) |",
        of.functions.len(),
        first(of.functions.first().map(|(lines, ..)| *lines)),
        long_functions.count(),
        of.files.len(),
        first(of.files.get(of.files.len() / 10).map(|(lines, _)| *lines)),
        first(of.files.first().map(|(lines, _)| *lines)),
        share(long_files, of.files.len()),
        of.types.len(),
        share(shared, of.types.len()),
    )
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn shown(file: &Path) -> String {
    let text = file.to_string_lossy();
    text.split_once("crates/")
        .map_or(text.clone().into_owned(), |(_, rest)| rest.to_owned())
}
