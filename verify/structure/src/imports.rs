//! Which file of a crate imports from which, and through which path.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use quote::ToTokens as _;
use syn::Item;

use crate::{
    crate_tree::{CrateTree, Module, ModulePath, attributes, is_for_tests},
    paths::{Leaf, WrittenPath, in_tokens, is_reexport, leaves},
};

/// A re-export that leads to itself ends here.
const LONGEST_CHAIN: usize = 8;

/// One file imports from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The importing module.
    pub from: ModulePath,
    /// The module whose file defines what is imported.
    pub to: ModulePath,
    /// The path as it is written.
    pub path: String,
}

/// The imports between the files of a crate.
///
/// A re-export counts as what it leads to: who imports `model::Grant` imports from `model/grant.rs`. The re-export itself
/// is no import. Paths that lead out of the crate are left out.
pub fn imports(tree: &CrateTree) -> BTreeSet<Import> {
    let scopes = Scopes::of(tree);
    tree.modules
        .iter()
        .flat_map(|(path, module)| imports_of(path, module, &scopes))
        .collect()
}

/// The file of a module.
pub fn file_of<'a>(tree: &'a CrateTree, module: &ModulePath) -> Option<&'a PathBuf> {
    tree.modules.get(module).map(|module| &module.file)
}

fn imports_of(from: &ModulePath, module: &Module, scopes: &Scopes<'_>) -> Vec<Import> {
    let import = |written: &WrittenPath| {
        let to = scopes.definition(from, written)?;
        (to != *from).then(|| Import {
            from: from.clone(),
            to,
            path: written.join("::"),
        })
    };
    written_paths(&module.items)
        .iter()
        .filter_map(import)
        .collect()
}

/// The paths that these items name; an inline module's count for its file.
fn written_paths(items: &[Item]) -> Vec<WrittenPath> {
    let mut found = vec![];
    for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
        match item {
            Item::Use(item) if is_reexport(&item.vis) => {}
            Item::Use(item) => found.extend(leaves(&item.tree).into_iter().map(|leaf| leaf.path)),
            Item::Mod(module) => {
                let inner = module
                    .content
                    .iter()
                    .flat_map(|(_, items)| written_paths(items));
                // `super::` of an inline module is its file.
                found.extend(inner.filter_map(|path| one_up(&path)));
            }
            other => found.extend(in_tokens(other.to_token_stream())),
        }
    }
    found
}

fn one_up(path: &WrittenPath) -> Option<WrittenPath> {
    match path.first()?.as_str() {
        "super" if path.len() > 2 => Some([&["self".to_owned()], &path[1..]].concat()),
        "super" | "self" => None,
        _ => Some(path.clone()),
    }
}

/// What each module's names stand for.
struct Scopes<'a> {
    tree: &'a CrateTree,
    /// By module: the names that a `use` brings in, with the paths that they stand for.
    names: BTreeMap<&'a ModulePath, Vec<Leaf>>,
}

impl<'a> Scopes<'a> {
    fn of(tree: &'a CrateTree) -> Self {
        let uses = |module: &Module| {
            let uses = module.items.iter().filter_map(|item| match item {
                Item::Use(item) => Some(leaves(&item.tree)),
                _ => None,
            });
            uses.flatten().collect()
        };
        let names = tree.modules.iter();
        Self {
            tree,
            names: names.map(|(path, module)| (path, uses(module))).collect(),
        }
    }

    /// The module that defines what this path names, seen from a module of this crate.
    fn definition(&self, from: &ModulePath, written: &WrittenPath) -> Option<ModulePath> {
        let absolute = self.absolute(from, written, LONGEST_CHAIN)?;
        self.follow(&absolute, LONGEST_CHAIN)
    }

    /// The same path from the crate's root; none for one that leads out of the crate.
    fn absolute(&self, from: &ModulePath, written: &[String], chain: usize) -> Option<ModulePath> {
        let (first, rest) = written.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([from.as_slice(), rest].concat()),
            "super" => {
                let (_, parent) = from.split_last()?;
                let ups = rest.iter().take_while(|part| *part == "super").count();
                let kept = parent.len().checked_sub(ups)?;
                Some([parent.get(..kept)?, rest.get(ups..)?].concat())
            }
            name => self.of_name(from, name, rest, chain),
        }
    }

    fn of_name(
        &self,
        from: &ModulePath,
        name: &str,
        rest: &[String],
        chain: usize,
    ) -> Option<ModulePath> {
        let child = [from.as_slice(), &[name.to_owned()]].concat();
        if self.tree.modules.contains_key(&child) {
            return Some([child.as_slice(), rest].concat());
        }
        let leaf = self.leaf(from, name)?;
        let chain = chain.checked_sub(1)?;
        (leaf.path.first().map(String::as_str) != Some(name)).then_some(())?;
        let stands_for = self.absolute(from, &leaf.path, chain)?;
        Some([stands_for.as_slice(), rest].concat())
    }

    fn leaf(&self, module: &ModulePath, name: &str) -> Option<&Leaf> {
        self.names
            .get(module)?
            .iter()
            .find(|leaf| leaf.name == name)
    }

    /// Walks down as far as there are modules, then through re-exports.
    fn follow(&self, path: &[String], chain: usize) -> Option<ModulePath> {
        let deepest = (0..=path.len()).rev().map(|length| path[..length].to_vec());
        let module = deepest
            .into_iter()
            .find(|module| self.tree.modules.contains_key(module))?;
        let Some(item) = path.get(module.len()) else {
            return Some(module);
        };
        let Some((leaf, chain)) = self.leaf(&module, item).zip(chain.checked_sub(1)) else {
            return Some(module);
        };
        let Some(target) = self.absolute(&module, &leaf.path, chain) else {
            return Some(module);
        };
        if target == path {
            return Some(module);
        }
        self.follow(&target, chain)
    }
}
