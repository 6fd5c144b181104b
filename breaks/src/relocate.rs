//! Finds cases again whose function was renamed, or whose address was shifted by other code.

use std::{fs, io};

use crate::{
    catalog::{Catalog, mutations_file},
    misfit::Misfit,
    mutation::Mutation,
    source::{Item, SourceFile, Workspace},
    syntax::{self, Node},
};

/// What became of a case that does not fit as it is.
#[derive(Debug)]
pub enum Relocation {
    /// One place in the workspace has the fingerprint that was caught.
    Found(Mutation),
    /// So many have it.
    Unclear(usize),
}

/// Looks for the cases that do not fit, or have another fingerprint than when they were caught.
pub fn relocate<'a>(
    catalog: &'a Catalog,
    workspace: &Workspace,
) -> Result<Vec<(&'a Mutation, Relocation)>, Misfit> {
    let all = workspace.items()?;
    let mutations = catalog.mutations.iter();
    let lost = mutations.filter(|mutation| !catalog.was_caught(mutation, workspace));
    let found = lost.filter_map(|mutation| {
        let fingerprint = catalog.caught.get(&mutation.name)?;
        let mut places = shifted(mutation, workspace, fingerprint);
        if places.is_empty() {
            places = renamed(mutation, workspace, &all, fingerprint);
        }
        let relocation = match <[Mutation; 1]>::try_from(places) {
            Ok([place]) => Relocation::Found(place),
            Err(places) => Relocation::Unclear(places.len()),
        };
        Some((mutation, relocation))
    });
    Ok(found.collect())
}

/// The case at other nodes of its function.
fn shifted(mutation: &Mutation, workspace: &Workspace, fingerprint: &str) -> Vec<Mutation> {
    let Ok((file, item)) = workspace.item(&mutation.function) else {
        return Vec::new();
    };
    let body = file.text.get(item.body.clone()).unwrap_or_default();
    let nodes = syntax::nodes(body).unwrap_or_default();
    let addresses = addresses_like(&mutation.node, &nodes);
    let moved = addresses.into_iter().map(|node| Mutation {
        node,
        ..mutation.clone()
    });
    moved
        .filter(|moved| fits(moved, file, item, fingerprint))
        .collect()
}

/// Every address with the kind and the part that this one ends with.
fn addresses_like(address: &str, nodes: &[Node]) -> Vec<String> {
    let words: Vec<&str> = address.split(' ').collect();
    let is_kind = |word: &&str| nodes.iter().any(|node| node.kind == *word);
    let Some(last) = words.iter().rposition(is_kind) else {
        return Vec::new();
    };
    let (kind, part) = (words[last], words.get(last + 2..).unwrap_or_default());
    let of_kind = nodes.iter().filter(|node| node.kind == kind).count();
    let address = |ordinal: usize| {
        let ordinal = ordinal.to_string();
        let words = [kind, ordinal.as_str()]
            .into_iter()
            .chain(part.iter().copied());
        words.collect::<Vec<_>>().join(" ")
    };
    (1..=of_kind).map(address).collect()
}

/// The case at the same address of other functions.
fn renamed(
    mutation: &Mutation,
    workspace: &Workspace,
    all: &[(&SourceFile, &Item)],
    fingerprint: &str,
) -> Vec<Mutation> {
    let fitting = all
        .iter()
        .filter(|(file, item)| fits(mutation, file, item, fingerprint));
    let renamed = fitting.map(|(_, item)| Mutation {
        function: workspace.key(item),
        ..mutation.clone()
    });
    renamed.collect()
}

fn fits(mutation: &Mutation, file: &SourceFile, item: &Item, fingerprint: &str) -> bool {
    let mutant = mutation.apply_in(file, item);
    mutant.is_ok_and(|mutant| mutant.fingerprint == fingerprint)
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
