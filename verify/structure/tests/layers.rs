//! The direction of imports: down the layers, never round in a circle.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use structure::{
    crate_tree::{CrateTree, read_crates},
    cycles::cycles,
    imports::{file_of, imports},
    layers,
};

/// The packages of `verify/` whose files import each other. One that no longer does so has to leave this list.
const CYCLIC: [&str; 3] = ["fuzz", "model", "simulation"];

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn crates() -> io::Result<Vec<CrateTree>> {
    read_crates(&root(), &["crates", "verify"])
}

/// Every cycle of a crate, with an import for each of its edges.
fn cycles_of(tree: &CrateTree) -> Vec<String> {
    let imports = imports(tree);
    let edges = imports.iter().map(|one| (one.from.clone(), one.to.clone()));
    let found = cycles(&edges.collect()).into_iter().map(|nodes| {
        let nodes: BTreeSet<_> = nodes.into_iter().collect();
        let within = imports
            .iter()
            .filter(|one| nodes.contains(&one.from) && nodes.contains(&one.to));
        let line = |one: &structure::imports::Import| {
            let file = file_of(tree, &one.from).map(|file| file.display().to_string());
            format!("  {} names {}", file.unwrap_or_default(), one.path)
        };
        let lines: Vec<String> = within.map(line).collect();
        format!(
            "{} files of {} import each other:\n{}",
            nodes.len(),
            tree.name,
            lines.join("\n")
        )
    });
    found.collect()
}

#[test]
fn no_files_import_each_other() {
    let crates = crates().unwrap();
    let is_cyclic = |tree: &&CrateTree| CYCLIC.contains(&tree.name.as_str());
    let (cyclic, acyclic): (Vec<_>, Vec<_>) = crates.iter().partition(is_cyclic);
    let found: Vec<String> = acyclic.into_iter().flat_map(cycles_of).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let still = cyclic.iter().filter(|tree| !cycles_of(tree).is_empty());
    let still: Vec<&str> = still.map(|tree| tree.name.as_str()).collect();
    assert_eq!(still, CYCLIC, "those with cycles, and the list");
}

#[test]
fn no_import_goes_up() {
    let crates = crates().unwrap();
    for layers in layers::read(&root()).unwrap() {
        let tree = crates.iter().find(|tree| tree.name == layers.name).unwrap();
        let modules = tree.modules.keys().filter_map(|path| path.first().cloned());
        let unplaced = layers.unplaced(&modules.collect());
        assert!(
            unplaced.is_empty(),
            "{}: give these a place in layers.toml: {unplaced:?}",
            layers.name
        );
        let imports = imports(tree);
        let up: Vec<String> = layers
            .upward(&imports)
            .into_iter()
            .map(|one| format!("{} imports {}", one.from.join("::"), one.path))
            .collect();
        assert!(
            up.is_empty(),
            "{}: these imports go up:\n{}",
            layers.name,
            up.join("\n")
        );
    }
}

#[test]
fn every_crate_has_an_order_of_layers() {
    let ordered: BTreeSet<String> = layers::read(&root())
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    for tree in read_crates(&root(), &["crates"]).unwrap() {
        assert!(
            ordered.contains(&tree.name),
            "{} is missing in layers.toml",
            tree.name
        );
    }
}

/// A crate whose files import each other, through a re-export and through a macro: both are seen.
#[test]
fn a_planted_cycle_is_found() {
    let planted = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        CrateTree::read(root, &root.join("tests/planted").join(name)).unwrap()
    };
    let found = cycles_of(&planted("cycle"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("3 files"), "{found:?}");
    assert!(cycles_of(&planted("sound")).is_empty());
}
