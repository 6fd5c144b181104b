//! The modules of one crate, each with its file and its items.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

/// A module's path from the crate's root: empty for the root itself.
pub type ModulePath = Vec<String>;

/// One module that has a file of its own.
#[derive(Debug)]
pub struct Module {
    /// The file, from the root of the repository.
    pub file: PathBuf,
    /// The file's text.
    pub text: String,
    /// The file's items, without those that only tests compile.
    pub items: Vec<Item>,
}

/// One crate: the modules that are reachable from its root file.
#[derive(Debug)]
pub struct CrateTree {
    /// The package's name.
    pub name: String,
    /// The modules by path.
    pub modules: BTreeMap<ModulePath, Module>,
}

/// Why a crate can't be read: an I/O error, or a file that is no Rust.
pub type Result<T> = std::result::Result<T, io::Error>;

/// The packages below these folders of the repository, by the folders' names: each has `src/lib.rs` or `src/main.rs`.
pub fn read_crates(root: &Path, folders: &[&str]) -> Result<Vec<CrateTree>> {
    let mut crates = vec![];
    for folder in folders {
        let mut packages: Vec<PathBuf> = fs::read_dir(root.join(folder))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        packages.sort();
        for package in packages
            .iter()
            .filter(|package| package.join("src").is_dir())
        {
            crates.push(CrateTree::read(root, package)?);
        }
    }
    Ok(crates)
}

impl CrateTree {
    /// Reads the package in this folder.
    pub fn read(root: &Path, package: &Path) -> Result<Self> {
        let source = package.join("src");
        let root_file = ["lib.rs", "main.rs"].map(|name| source.join(name));
        let root_file = root_file.into_iter().find(|file| file.exists());
        let root_file = root_file.ok_or_else(|| io::Error::other("no lib.rs and no main.rs"))?;
        let name = package.file_name().unwrap_or_default();
        let mut tree = Self {
            name: name.to_string_lossy().into_owned(),
            modules: BTreeMap::new(),
        };
        tree.read_file(root, &root_file, vec![], &source)?;
        Ok(tree)
    }

    /// Reads a module's file and those of its children; `children` is the folder that they are looked for in.
    fn read_file(
        &mut self,
        root: &Path,
        file: &Path,
        path: ModulePath,
        children: &Path,
    ) -> Result<()> {
        let text = fs::read_to_string(file)?;
        let unreadable = |error| io::Error::other(format!("{}: {error}", file.display()));
        let mut items = syn::parse_file(&text).map_err(unreadable)?.items;
        items.retain(|item| !is_for_tests(attributes(item)));
        for item in &items {
            if let Item::Mod(module @ ItemMod { content: None, .. }) = item {
                let mut path = path.clone();
                path.push(module.ident.to_string());
                let (file, folder) = place_of(module, file, children);
                self.read_file(root, &file, path, &folder)?;
            }
        }
        let file = file.strip_prefix(root).unwrap_or(file).to_owned();
        self.modules.insert(path, Module { file, text, items });
        Ok(())
    }
}

/// The file of a module that is declared in `parent`, and the folder of its children.
fn place_of(module: &ItemMod, parent: &Path, children: &Path) -> (PathBuf, PathBuf) {
    let name = module.ident.to_string();
    let folder = children.join(&name);
    if let Some(place) = path_attribute(&module.attrs) {
        return (parent.with_file_name(place), folder);
    }
    let flat = children.join(format!("{name}.rs"));
    if flat.exists() {
        (flat, folder)
    } else {
        (folder.join("mod.rs"), folder)
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes
        .iter()
        .find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
}

/// Whether only tests compile what has these attributes: `#[cfg(test)]`, `#[test]`.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let of_test = |list: &syn::MetaList| list.tokens.to_string() == "test";
        attribute.path().is_ident("test")
            || matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg") && of_test(list))
    })
}

/// An item's attributes.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
