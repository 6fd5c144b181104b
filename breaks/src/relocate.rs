//! Finds cases again whose function was renamed, or whose address was shifted by other code.

use std::{fs, io};

use crate::{
    catalog::{Catalog, mutations_file},
    misfit::Misfit,
    mutation::Mutation,
    source::{Item, SourceFile, Workspace},
};

/// What became of a case that does not fit as it is.
#[derive(Debug)]
pub enum Relocation {
    /// One place in the workspace has the fingerprint that was caught.
    Found(Mutation),
    /// None has it, or several.
    Unclear(Vec<Mutation>),
}

/// Looks for the cases that do not fit, or have another fingerprint than when they were caught: in their function first,
/// then in all.
pub fn relocate<'a>(
    catalog: &'a Catalog,
    workspace: &Workspace,
) -> Result<Vec<(&'a Mutation, Relocation)>, Misfit> {
    let all = workspace.items()?;
    let mut relocations = Vec::new();
    for mutation in &catalog.mutations {
        let fingerprint = catalog.caught.get(&mutation.name);
        let Some(fingerprint) = fingerprint.filter(|_| !catalog.was_caught(mutation, workspace))
        else {
            continue;
        };
        let own = workspace
            .item(&mutation.function)
            .into_iter()
            .collect::<Vec<_>>();
        let mut places = places_in(mutation, workspace, &own, fingerprint)?;
        if places.is_empty() {
            places = places_in(mutation, workspace, &all, fingerprint)?;
        }
        relocations.push((mutation, choose(mutation, places)));
    }
    Ok(relocations)
}

fn places_in(
    mutation: &Mutation,
    workspace: &Workspace,
    items: &[(&SourceFile, &Item)],
    fingerprint: &str,
) -> Result<Vec<Mutation>, Misfit> {
    let mut places = Vec::new();
    for (file, item) in items {
        for node in mutation.places(file, item, fingerprint)? {
            places.push(Mutation {
                function: workspace.key(item),
                node,
                ..mutation.clone()
            });
        }
    }
    Ok(places)
}

/// The only place, or the only one with the same address.
fn choose(mutation: &Mutation, mut places: Vec<Mutation>) -> Relocation {
    let same: Vec<&Mutation> = places
        .iter()
        .filter(|place| place.node == mutation.node)
        .collect();
    if let [same] = same[..] {
        return Relocation::Found(same.clone());
    }
    match places.pop() {
        Some(only) if places.is_empty() => Relocation::Found(only),
        last => Relocation::Unclear(places.into_iter().chain(last).collect()),
    }
}

/// Writes the function and the node of a case anew.
pub fn write(place: &Mutation) -> io::Result<()> {
    let file = mutations_file();
    let text = fs::read_to_string(&file)?;
    let name = format!("name = '{}'\n", place.name);
    let Some((before, after)) = text.split_once(&name) else {
        return Err(io::Error::other(format!("no line says {name}")));
    };
    let (case, rest) = match after.split_once("\n\n") {
        Some((case, rest)) => (case, format!("\n\n{rest}")),
        None => (after, String::new()),
    };
    let line = |line: &str| match line.split_once(" = ") {
        Some(("function", _)) => format!("function = '{}'", place.function),
        Some(("node", _)) => format!("node = '{}'", place.node),
        _ => line.to_owned(),
    };
    let case = case.split('\n').map(line).collect::<Vec<_>>().join("\n");
    fs::write(file, format!("{before}{name}{case}{rest}"))
}
