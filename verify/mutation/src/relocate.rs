//! Finds the code of a case again after its function was renamed or other code has shifted its address.

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
        let own: Vec<_> = workspace.item(&mutation.function).into_iter().collect();
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

/// The only place; of several, the only one in a function of the same name, at the same address.
fn choose(mutation: &Mutation, mut places: Vec<Mutation>) -> Relocation {
    let has_name = |place: &Mutation| place.function_name() == mutation.function_name();
    let has_node = |place: &Mutation| place.node == mutation.node;
    if places.iter().any(has_name) {
        places.retain(has_name);
    }
    if places.iter().any(has_node) {
        places.retain(has_node);
    }
    match <[Mutation; 1]>::try_from(places) {
        Ok([only]) => Relocation::Found(only),
        Err(places) => Relocation::Unclear(places),
    }
}

/// Replaces the function and the node of a case in `mutations.toml`.
pub fn write(place: &Mutation) -> io::Result<()> {
    let file = mutations_file();
    let text = fs::read_to_string(&file)?;
    fs::write(file, rewrite(&text, place))
}

/// The text of `mutations.toml` with the function and the node of this case.
pub fn rewrite(text: &str, place: &Mutation) -> String {
    let own_name = format!("name = '{}'", place.name);
    let mut is_own = false;
    let mut rewritten = String::new();
    for line in text.split_inclusive('\n') {
        let key = line.split(" = ").next().unwrap_or_default();
        if key == "name" {
            is_own = line.trim_end() == own_name;
        }
        match key {
            "function" if is_own => rewritten.push_str(&format_line(key, &place.function)),
            "node" if is_own => rewritten.push_str(&format_line(key, &place.node)),
            _ => rewritten.push_str(line),
        }
    }
    rewritten
}

fn format_line(key: &str, value: &str) -> String {
    format!("{key} = '{value}'\n")
}
