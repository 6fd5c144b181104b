//! The paths that an item names: those of its `use` trees, and every `a::b::c` in its tokens.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::{UseTree, Visibility};

/// A path as it is written.
pub(crate) type WrittenPath = Vec<String>;

/// One leaf of a `use` tree.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The whole path; the last segment is `*` for a glob.
    pub(crate) path: WrittenPath,
    /// The name that it has here.
    pub(crate) name: String,
}

/// The leaves of a `use` tree.
pub(crate) fn leaves(tree: &UseTree) -> Vec<Leaf> {
    let mut found = vec![];
    collect(tree, &[], &mut found);
    found
}

fn collect(tree: &UseTree, before: &[String], found: &mut Vec<Leaf>) {
    let with = |ident: &dyn ToString| [before, &[ident.to_string()]].concat();
    match tree {
        UseTree::Path(path) => collect(&path.tree, &with(&path.ident), found),
        UseTree::Group(group) => {
            for tree in &group.items {
                collect(tree, before, found);
            }
        }
        UseTree::Name(name) if name.ident == "self" => found.push(Leaf {
            path: before.to_vec(),
            name: before.last().cloned().unwrap_or_default(),
        }),
        UseTree::Name(name) => found.push(Leaf {
            path: with(&name.ident),
            name: name.ident.to_string(),
        }),
        UseTree::Rename(rename) if rename.ident == "self" => found.push(Leaf {
            path: before.to_vec(),
            name: rename.rename.to_string(),
        }),
        UseTree::Rename(rename) => found.push(Leaf {
            path: with(&rename.ident),
            name: rename.rename.to_string(),
        }),
        UseTree::Glob(_) => found.push(Leaf {
            path: with(&"*"),
            name: "*".to_owned(),
        }),
    }
}

/// Whether a `use` of this visibility is a re-export.
pub(crate) fn is_reexport(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}

/// Every path of two segments or more in these tokens, those within macros too.
pub(crate) fn in_tokens(tokens: TokenStream) -> Vec<WrittenPath> {
    let mut found = vec![];
    scan(tokens, &mut found);
    found
}

fn scan(tokens: TokenStream, found: &mut Vec<WrittenPath>) {
    let mut path: WrittenPath = vec![];
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Ident(ident) => {
                end(&mut path, found);
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                let joins = colons == 1 || punct.spacing() == Spacing::Joint;
                colons = if joins { colons + 1 } else { 0 };
            }
            other => {
                end(&mut path, found);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    scan(group.stream(), found);
                }
            }
        }
    }
    end(&mut path, found);
}

fn end(path: &mut WrittenPath, found: &mut Vec<WrittenPath>) {
    let path = std::mem::take(path);
    if path.len() > 1 {
        found.push(path);
    }
}
