//! `cargo run -p breaks [-- NAME …]` tests the mutants of these names, or all. `cargo run -p breaks -- --nodes FUNCTION`
//! prints the addresses of a function's nodes.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use breaks::{
    catalog::{Catalog, root},
    run,
    source::Workspace,
    work_tree::WorkTree,
};

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

fn usage(out: &mut impl Write, message: &str) -> io::Result<ExitCode> {
    writeln!(out, "{message}")?;
    Ok(ExitCode::from(64))
}
