//! How long functions and files are, and which type names mean several things.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use proc_macro2::Span;
use syn::{
    ImplItem, Item, Signature, TraitItem,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::crate_tree::{CrateTree, attributes, is_for_tests};

/// One crate's measures, without its tests.
#[derive(Debug)]
pub struct Measures {
    /// Each function: its lines, its name and its file, the longest first.
    pub functions: Vec<(usize, String, PathBuf)>,
    /// Each file: its lines without those that only tests compile, the longest first.
    pub files: Vec<(usize, PathBuf)>,
    /// Each type's name with the files that define a type of this name.
    pub types: BTreeMap<String, BTreeSet<PathBuf>>,
}

/// Measures the files of a crate.
pub fn measure(tree: &CrateTree) -> Measures {
    let mut measures = Measures {
        functions: vec![],
        files: vec![],
        types: BTreeMap::new(),
    };
    for module in tree.modules.values() {
        let mut reader = Reader::default();
        let all = syn::parse_file(&module.text)
            .map(|file| file.items)
            .unwrap_or_default();
        for item in &all {
            reader.visit_item(item);
        }
        let lines = module.text.lines().count() - reader.test_lines;
        measures.files.push((lines, module.file.clone()));
        let functions = reader.functions.into_iter();
        let with_file = functions.map(|(lines, name)| (lines, name, module.file.clone()));
        measures.functions.extend(with_file);
        for name in reader.types {
            measures
                .types
                .entry(name)
                .or_default()
                .insert(module.file.clone());
        }
    }
    measures.functions.sort_by(|a, b| b.cmp(a));
    measures.files.sort_by(|a, b| b.cmp(a));
    measures
}

impl Measures {
    /// The length that nine of ten functions do not exceed, and the median.
    pub fn percentiles(&self) -> (usize, usize) {
        let at = |share: usize| {
            let from_the_end = self.functions.len() * (100 - share) / 100;
            self.functions
                .get(from_the_end)
                .map_or(0, |(lines, ..)| *lines)
        };
        (at(50), at(90))
    }

    /// The names that types in more than one file have.
    pub fn shared_names(&self) -> impl Iterator<Item = (&String, &BTreeSet<PathBuf>)> {
        self.types.iter().filter(|(_, files)| files.len() > 1)
    }

    /// These measures and those of another crate.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.functions.extend(other.functions);
        self.functions.sort_by(|a, b| b.cmp(a));
        self.files.extend(other.files);
        self.files.sort_by(|a, b| b.cmp(a));
        for (name, files) in other.types {
            self.types.entry(name).or_default().extend(files);
        }
        self
    }
}

#[derive(Default)]
struct Reader {
    functions: Vec<(usize, String)>,
    types: Vec<String>,
    test_lines: usize,
}

impl Reader {
    /// From its signature to the end of its body: its documentation is not counted.
    fn function(&mut self, signature: &Signature, body: Span) {
        let lines = body.end().line - signature.span().start().line + 1;
        self.functions.push((lines, signature.ident.to_string()));
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            self.test_lines += lines_of(item.span());
            return;
        }
        match item {
            Item::Fn(function) => self.function(&function.sig, function.span()),
            Item::Struct(one) => self.types.push(one.ident.to_string()),
            Item::Enum(one) => self.types.push(one.ident.to_string()),
            Item::Trait(one) => self.types.push(one.ident.to_string()),
            Item::Type(one) => self.types.push(one.ident.to_string()),
            Item::Union(one) => self.types.push(one.ident.to_string()),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item
            && !is_for_tests(&function.attrs)
        {
            self.function(&function.sig, function.span());
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(function) = item
            && function.default.is_some()
        {
            self.function(&function.sig, function.span());
        }
        visit::visit_trait_item(self, item);
    }
}

fn lines_of(span: Span) -> usize {
    span.end().line - span.start().line + 1
}
