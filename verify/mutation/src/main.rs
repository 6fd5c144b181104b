//! `cargo run -p breaks [-- NAME …]` tests the mutants of these names, or all. `cargo run -p breaks -- --nodes FUNCTION`
//! prints the addresses of a function's nodes. `cargo run -p breaks -- --relocate` finds the cases again whose function was
//! renamed or whose address was shifted, by the fingerprint of the code, and corrects `mutations.toml`; review the difference.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use breaks::{
    catalog::{Catalog, root},
    relocate::{self, Relocation},
    run,
    source::Workspace,
    work_tree::WorkTree,
};

/// Of the places that a case may have moved to.
const MOST_SHOWN: usize = 9;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workspace = Workspace::read(&root())?;
    let mut out = io::stdout().lock();
    match &arguments[..] {
        [flag, functions @ ..] if flag == "--nodes" => {
            for function in functions {
                match workspace.listing(function) {
                    Ok(listing) => write!(out, "{listing}")?,
                    Err(misfit) => return usage(&mut out, &misfit.to_string()),
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        [flag] if flag == "--relocate" => relocate(&workspace, &mut out),
        names => test(&workspace, names, &mut out),
    }
}

fn test(workspace: &Workspace, names: &[String], out: &mut impl Write) -> io::Result<ExitCode> {
    let catalog = Catalog::read()?;
    let is_unknown = |name: &&String| catalog.mutations.iter().all(|known| known.name != **name);
    if let Some(unknown) = names.iter().find(is_unknown) {
        return usage(out, &format!("there is no mutation {unknown:?}"));
    }
    let tree = WorkTree::prepare(&root())?;
    Ok(if run::run(&catalog, workspace, &tree, names, out)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn relocate(workspace: &Workspace, out: &mut impl Write) -> io::Result<ExitCode> {
    let catalog = Catalog::read()?;
    let relocations = relocate::relocate(&catalog, workspace).map_err(io::Error::other)?;
    writeln!(
        out,
        "Compare each place with what the mutation says it does: code elsewhere may look alike."
    )?;
    let mut all = true;
    for (mutation, relocation) in relocations {
        let name = &mutation.name;
        match relocation {
            Relocation::Found(place) => {
                relocate::write(&place)?;
                writeln!(out, "{name}: {} in {}", place.node, place.function)?;
            }
            Relocation::Unclear(places) => {
                all = false;
                writeln!(
                    out,
                    "{name}: {} places have its fingerprint; see the code and the names in its `to`",
                    places.len()
                )?;
                for place in places.iter().take(MOST_SHOWN) {
                    writeln!(out, "    {} in {}", place.node, place.function)?;
                }
            }
        }
    }
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn usage(out: &mut impl Write, message: &str) -> io::Result<ExitCode> {
    writeln!(out, "{message}")?;
    Ok(ExitCode::from(64))
}
