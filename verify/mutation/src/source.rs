//! Finds functions, constants and tests by name anywhere in the workspace.
//!
//! A key is the last segments of a path, with gaps allowed: `due`, `decide::due` and `authkeeper::due` all name
//! `authkeeper::refresh::decide::due`. It needs as many segments as tell it from others; a whole path is always enough. The segments are the package,
//! the modules (by file), the trait and the type of an `impl`, and the name.

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use syn::{
    Attribute, Block, Expr, Ident, Type,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    misfit::Misfit,
    syntax::{self, Node},
};

/// The source of every package of the workspace.
#[derive(Debug)]
pub struct Workspace {
    files: Vec<SourceFile>,
}

/// A Rust file.
#[derive(Debug)]
pub struct SourceFile {
    /// From the root of the repository.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
    package: String,
    /// The package's folder has a `src/lib.rs`.
    library: bool,
    /// It lies in `tests/`, not in `src/`.
    integration: bool,
    segments: Vec<String>,
    declared: OnceCell<BTreeSet<String>>,
    items: OnceCell<Vec<Item>>,
}

/// A function or a constant.
#[derive(Clone, Debug)]
pub struct Item {
    segments: Vec<String>,
    /// The bytes of its block or value in its file.
    pub body: Range<usize>,
}

/// How cargo runs a test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The package.
    pub package: String,
    /// `--lib`, `--bins` or `--test=NAME`.
    pub flag: String,
}

/// A test, found by its key.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name without modules.
    pub name: String,
    /// The file that it is in, from the root of the repository.
    pub file: PathBuf,
    /// How cargo runs it.
    pub target: Target,
}

#[derive(Deserialize)]
struct RootManifest {
    workspace: Members,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

impl Workspace {
    /// Reads the source of the workspace at this root.
    pub fn read(root: &Path) -> io::Result<Self> {
        let manifest = |folder: &Path| fs::read_to_string(root.join(folder).join("Cargo.toml"));
        let workspace: RootManifest =
            toml::from_str(&manifest(Path::new(""))?).map_err(io::Error::other)?;
        let mut files = Vec::new();
        for folder in workspace.workspace.members {
            let package: Manifest =
                toml::from_str(&manifest(&folder)?).map_err(io::Error::other)?;
            let library = root.join(&folder).join("src/lib.rs").exists();
            for integration in [false, true] {
                let top = folder.join(if integration { "tests" } else { "src" });
                for inside in rust_files(&root.join(&top))? {
                    let text = fs::read_to_string(root.join(&top).join(&inside))?;
                    let place = (package.package.name.as_str(), library, integration);
                    files.push(SourceFile::new(place, &top, &inside, text));
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// A workspace of one package `sample` whose `src/` has these files.
    pub fn of_sample(files: &[(&str, &str)]) -> Self {
        let file = |(name, text): &(&str, &str)| {
            let place = ("sample", true, false);
            SourceFile::new(
                place,
                Path::new("sample/src"),
                Path::new(name),
                (*text).to_owned(),
            )
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    /// The one function or constant with this key. Tests are not searched.
    pub fn item(&self, key: &str) -> Result<(&SourceFile, &Item), Misfit> {
        let wanted: Vec<&str> = key.split("::").collect();
        let name = wanted.last().copied().unwrap_or_default();
        let sources = self.files.iter().filter(|file| !file.is_for_tests());
        let mut found = Vec::new();
        for file in sources.filter(|file| file.declares(name)) {
            let items = file.items()?.iter();
            let matching = items.filter(|item| is_key_of(&wanted, &item.segments));
            found.extend(matching.map(|item| (file, item)));
        }
        if let Some(exact) = found.iter().find(|(_, item)| item.segments == wanted) {
            return Ok(*exact);
        }
        match found[..] {
            [one] => Ok(one),
            [] => Err(Misfit::NoFunction(key.to_owned())),
            _ => Err(Misfit::Ambiguous {
                key: key.to_owned(),
                candidates: found
                    .iter()
                    .map(|(_, item)| item.segments.join("::"))
                    .collect(),
            }),
        }
    }

    /// Every function and constant.
    pub fn items(&self) -> Result<Vec<(&SourceFile, &Item)>, Misfit> {
        let mut all = Vec::new();
        for file in self.files.iter().filter(|file| !file.is_for_tests()) {
            all.extend(file.items()?.iter().map(|item| (file, item)));
        }
        Ok(all)
    }

    /// The shortest key of a function or constant: its name, with the nearest segment before it that tells it apart.
    pub fn key(&self, item: &Item) -> String {
        let path = item.path();
        let (before, name) = path.rsplit_once("::").unwrap_or(("", &path));
        let nearest = before
            .rsplit("::")
            .map(|segment| format!("{segment}::{name}"));
        let mut keys = [name.to_owned()].into_iter().chain(nearest);
        let is_unique = |key: &String| self.item(key).is_ok();
        keys.find(is_unique).unwrap_or_else(|| path.clone())
    }

    /// Whether a name is used anywhere, in this file first.
    pub fn uses(&self, name: &str, file: &SourceFile) -> bool {
        file.uses(name) || self.files.iter().any(|other| other.uses(name))
    }

    /// The addresses of the nodes of a function or constant.
    pub fn listing(&self, key: &str) -> Result<String, Misfit> {
        let (file, item) = self.item(key)?;
        let listing = syntax::listing(file.body_of(item), &file.nodes_of(item)?, None);
        Ok(format!(
            "{} in {}\n{listing}",
            item.path(),
            file.path.display()
        ))
    }

    /// The one test with this key: a function, or an entry `name: "…"` of a table of tests.
    pub fn test(&self, key: &str) -> Result<Test, Misfit> {
        let mut wanted: Vec<&str> = key.split("::").collect();
        let name = wanted.pop().unwrap_or_default();
        let files = self.files.iter().filter(|file| file.has_test(name));
        let found: Vec<&SourceFile> = files
            .filter(|file| is_subsequence(&wanted, &file.segments))
            .collect();
        match found[..] {
            [file] => Ok(Test {
                name: name.to_owned(),
                file: file.path.clone(),
                target: file.target(),
            }),
            [] => Err(Misfit::NoTest(key.to_owned())),
            _ => Err(Misfit::Ambiguous {
                key: key.to_owned(),
                candidates: found.iter().map(|file| file.segments.join("::")).collect(),
            }),
        }
    }
}

/// The Rust files of a folder, from there.
fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&inside)) else {
            continue;
        };
        for entry in entries {
            let path = inside.join(entry?.file_name());
            if folder.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// The identifiers and numbers of a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty())
}

/// Whether the wanted segments are among these, in order, and the last one is the last.
fn is_key_of(wanted: &[&str], segments: &[String]) -> bool {
    wanted.last().copied() == segments.last().map(String::as_str)
        && is_subsequence(wanted, segments)
}

fn is_subsequence(wanted: &[&str], segments: &[String]) -> bool {
    let mut rest = segments.iter();
    wanted
        .iter()
        .all(|segment| rest.any(|other| other == segment))
}

impl SourceFile {
    fn new(place: (&str, bool, bool), top: &Path, inside: &Path, text: String) -> Self {
        let (package, library, integration) = place;
        let stem = inside.with_extension("");
        let parts = stem.iter().filter_map(|part| part.to_str());
        let modules = parts.filter(|part| !["lib", "main", "mod"].contains(part));
        let package_segment = package.replace('-', "_");
        let segments = [package_segment.as_str()].into_iter().chain(modules);
        Self {
            path: top.join(inside),
            text,
            package: package.to_owned(),
            library,
            integration,
            segments: segments.map(str::to_owned).collect(),
            declared: OnceCell::new(),
            items: OnceCell::new(),
        }
    }

    /// The code of a function's block or a constant's value.
    pub fn body_of(&self, item: &Item) -> &str {
        self.text.get(item.body.clone()).unwrap_or_default()
    }

    /// The addressable nodes of that code.
    pub fn nodes_of(&self, item: &Item) -> Result<Vec<Node>, Misfit> {
        syntax::nodes(self.body_of(item)).map_err(|source| self.unparsable(source))
    }

    fn unparsable(&self, source: syn::Error) -> Misfit {
        let file = self.path.clone();
        Misfit::Unparsable { file, source }
    }

    fn is_for_tests(&self) -> bool {
        let is_tests = |segment: &String| {
            segment == "tests" || segment.starts_with("tests_") || segment.ends_with("_tests")
        };
        self.integration || self.segments.iter().any(is_tests)
    }

    /// Whether its text declares this name; cheaper than to parse it.
    fn declares(&self, name: &str) -> bool {
        let declared = self.declared.get_or_init(|| {
            let mut words = words(&self.text).peekable();
            let mut names = BTreeSet::new();
            while let Some(word) = words.next() {
                if ["fn", "const", "static"].contains(&word) {
                    names.extend(words.peek().map(|name| (*name).to_owned()));
                }
            }
            names
        });
        declared.contains(name)
    }

    fn uses(&self, name: &str) -> bool {
        self.text.contains(name) && words(&self.text).any(|word| word == name)
    }

    fn items(&self) -> Result<&Vec<Item>, Misfit> {
        if let Some(items) = self.items.get() {
            return Ok(items);
        }
        let file = syn::parse_file(&self.text).map_err(|source| self.unparsable(source))?;
        let mut finder = Finder {
            segments: self.segments.clone(),
            items: Vec::new(),
        };
        finder.visit_file(&file);
        Ok(self.items.get_or_init(|| finder.items))
    }

    fn has_test(&self, name: &str) -> bool {
        let function = format!("fn {name}(");
        let entry = format!("    {name}: \"");
        if !self.text.contains(name) {
            return false;
        }
        let mut lines = self.text.lines().scan(false, |attributed, line| {
            let line_is_attribute = line.trim_start().starts_with("#[");
            let was_attributed = *attributed;
            *attributed = line_is_attribute && (was_attributed || line.contains("test"))
                || was_attributed && line.trim_start().starts_with("//");
            Some((was_attributed, line))
        });
        lines.any(|(attributed, line)| {
            attributed && line.contains(&function) || line.starts_with(&entry)
        })
    }

    fn target(&self) -> Target {
        let flag = match (self.integration, self.library) {
            (true, _) => format!("--test={}", self.segments.get(1).map_or("", String::as_str)),
            (false, true) => "--lib".to_owned(),
            (false, false) => "--bins".to_owned(),
        };
        Target {
            package: self.package.clone(),
            flag,
        }
    }
}

impl Item {
    /// Its full path.
    pub fn path(&self) -> String {
        self.segments.join("::")
    }
}

/// Finds the functions and constants of a file, except those that are for tests.
struct Finder {
    segments: Vec<String>,
    items: Vec<Item>,
}

impl Finder {
    fn add(&mut self, name: &Ident, body: &impl Spanned) {
        let segments = self.segments.iter().cloned().chain([name.to_string()]);
        self.items.push(Item {
            segments: segments.collect(),
            body: body.span().byte_range(),
        });
    }

    fn add_function(&mut self, attributes: &[Attribute], name: &Ident, block: &Block) {
        if is_for_tests(attributes) {
            return;
        }
        self.add(name, block);
        self.within(vec![name.to_string()], |finder| {
            visit::visit_block(finder, block);
        });
    }

    fn add_constant(&mut self, attributes: &[Attribute], name: &Ident, value: &Expr) {
        if !is_for_tests(attributes) {
            self.add(name, value);
        }
    }

    fn within(&mut self, segments: Vec<String>, visit: impl FnOnce(&mut Self)) {
        let depth = self.segments.len();
        self.segments.extend(segments);
        visit(self);
        self.segments.truncate(depth);
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        let condition = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => String::new(),
        };
        let words = condition.split(|letter: char| !letter.is_alphanumeric());
        last.is_some_and(|segment| segment.ident == "test")
            || !condition.contains("not") && words.into_iter().any(|word| word == "test")
    })
}

fn name_of(own: &Type) -> Option<String> {
    match own {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        Type::Reference(reference) => name_of(&reference.elem),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            self.within(vec![module.ident.to_string()], |finder| {
                visit::visit_item_mod(finder, module);
            });
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if is_for_tests(&block.attrs) {
            return;
        }
        let implemented = block
            .trait_
            .as_ref()
            .and_then(|(path, _)| path.segments.last());
        let implemented = implemented.map(|segment| segment.ident.to_string());
        let own = implemented.into_iter().chain(name_of(&block.self_ty));
        self.within(own.collect(), |finder| {
            visit::visit_item_impl(finder, block);
        });
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(vec![item.ident.to_string()], |finder| {
            visit::visit_item_trait(finder, item);
        });
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add_function(&function.attrs, &function.sig.ident, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add_function(&function.attrs, &function.sig.ident, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add_function(&function.attrs, &function.sig.ident, block);
        }
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        self.add_constant(&constant.attrs, &constant.ident, &constant.expr);
    }

    fn visit_impl_item_const(&mut self, constant: &'ast syn::ImplItemConst) {
        self.add_constant(&constant.attrs, &constant.ident, &constant.expr);
    }

    fn visit_item_static(&mut self, constant: &'ast syn::ItemStatic) {
        self.add_constant(&constant.attrs, &constant.ident, &constant.expr);
    }
}
