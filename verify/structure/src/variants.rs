//! Which files name which variants of an enum.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use quote::ToTokens as _;
use syn::{
    Item, ItemUse,
    visit::{self, Visit},
};

use crate::{
    crate_tree::{CrateTree, Module, attributes, is_for_tests},
    paths::{in_tokens, leaves},
};

/// The files of a crate that name variants of this enum, with the variants. `*` is a glob import of them.
///
/// `Self::Variant` does not count: it is in the enum's own file.
pub fn variants(tree: &CrateTree, name: &str) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let modules = tree.modules.values();
    let named = modules.map(|module| (module.file.clone(), named(module, name)));
    named.filter(|(_, found)| !found.is_empty()).collect()
}

fn named(module: &Module, name: &str) -> BTreeSet<String> {
    let mut reader = Reader {
        names: BTreeSet::from([name.to_owned()]),
        paths: vec![],
    };
    for item in &module.items {
        reader.visit_item(item);
    }
    let found = reader.paths.iter();
    found
        .filter_map(|path| variant_in(path, &reader.names))
        .collect()
}

struct Reader {
    /// What the enum is called in this file.
    names: BTreeSet<String>,
    paths: Vec<Vec<String>>,
}

impl Visit<'_> for Reader {
    fn visit_item(&mut self, item: &Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        if !matches!(item, Item::Use(_) | Item::Mod(_)) {
            self.paths.extend(in_tokens(item.to_token_stream()));
        }
        visit::visit_item(self, item);
    }

    /// Also one within a function.
    fn visit_item_use(&mut self, item: &ItemUse) {
        for leaf in leaves(&item.tree) {
            if leaf
                .path
                .last()
                .is_some_and(|last| self.names.contains(last))
            {
                self.names.insert(leaf.name);
            } else {
                self.paths.push(leaf.path);
            }
        }
    }
}

/// A constant or a function of the enum is no variant.
fn variant_in(path: &[String], names: &BTreeSet<String>) -> Option<String> {
    let at = path.iter().position(|part| names.contains(part))?;
    let next = path.get(at + 1)?;
    let is_variant = next.starts_with(char::is_uppercase) && next.contains(char::is_lowercase);
    (is_variant || next == "*").then(|| next.clone())
}
