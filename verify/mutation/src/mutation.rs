//! One change of the source that a test must catch.

use std::ops::Range;

use serde::Deserialize;

use crate::{
    misfit::Misfit,
    shape::{Shapes, is_kept},
    source::{Item, SourceFile, Workspace, words},
    syntax::{self, Node, Spot},
};

/// A case: what to change, and the test that must fail then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// Its name.
    pub name: String,
    /// The rules that it breaks, as `MARK.ID`.
    pub rules: Vec<String>,
    /// What the mutant does wrong.
    pub what: String,
    /// The function or constant to change: the shortest path that is unique in the workspace.
    pub function: String,
    /// The address of the node to replace in it.
    pub node: String,
    /// In a string literal, the passage to replace; otherwise the whole node is replaced.
    pub passage: Option<String>,
    /// The replacement: `$0` stands for the addressed code, `$1`, `$2`, … for the parts of its node.
    pub to: String,
    /// The test that fails: its name, with modules before it where the name is ambiguous.
    pub test: String,
}

/// A mutation applied to its file.
#[derive(Debug)]
pub struct Mutant<'a> {
    /// The file as it is.
    pub file: &'a SourceFile,
    /// Its content with the mutation.
    pub text: String,
    /// Changes with the code at the mutated spot, but not by renaming, moving or formatting it.
    pub fingerprint: String,
}

impl Mutation {
    /// Applies it to the source of the workspace.
    pub fn apply<'a>(&self, workspace: &'a Workspace) -> Result<Mutant<'a>, Misfit> {
        let (file, item) = workspace.item(&self.function)?;
        let unknown = words(&self.to).find(|name| {
            let is_name = name.starts_with(char::is_alphabetic) && !is_kept(name);
            is_name && self.passage.is_none() && !workspace.uses(name, file)
        });
        if let Some(name) = unknown {
            return Err(Misfit::UnknownName(name.to_owned()));
        }
        self.apply_in(file, item)
    }

    /// The function's name without its modules or type.
    pub fn function_name(&self) -> &str {
        self.function.rsplit("::").next().unwrap_or_default()
    }

    fn apply_in<'a>(&self, file: &'a SourceFile, item: &Item) -> Result<Mutant<'a>, Misfit> {
        let body = file.body_of(item);
        let nodes = file.nodes_of(item)?;
        let spot = syntax::find(&nodes, &self.node).ok_or_else(|| {
            let kind = syntax::last_step(&self.node).map(|(kind, _)| kind);
            let kind = kind.filter(|kind| nodes.iter().any(|node| node.kind == *kind));
            Misfit::NoNode {
                function: item.path(),
                node: self.node.clone(),
                listing: syntax::listing(body, &nodes, kind),
            }
        })?;
        let code = slice(body, &spot.range);
        let replacement = match &self.passage {
            Some(passage) => replace_once(code, passage, &self.to)?,
            None => fill(&self.to, body, &spot)?,
        };
        if replacement == code {
            return Err(Misfit::NoChange);
        }
        let start = item.body.start + spot.range.start;
        let mut text = file.text.clone();
        text.replace_range(start..start + code.len(), &replacement);
        let fingerprints = self.fingerprints(body, &nodes, spot.node.kind, spot.part);
        let own = fingerprints
            .into_iter()
            .find(|(node, _)| std::ptr::eq(*node, spot.node));
        Ok(Mutant {
            file,
            text,
            fingerprint: own.map(|(_, fingerprint)| fingerprint).unwrap_or_default(),
        })
    }

    /// The addresses in a function where the mutation has this fingerprint.
    pub fn places(
        &self,
        file: &SourceFile,
        item: &Item,
        fingerprint: &str,
    ) -> Result<Vec<String>, Misfit> {
        let nodes = file.nodes_of(item)?;
        let Some((kind, part)) = syntax::last_step(&self.node) else {
            return Ok(Vec::new());
        };
        let fingerprints = self.fingerprints(file.body_of(item), &nodes, kind, part.as_deref());
        let here = fingerprints
            .iter()
            .filter(|(_, other)| other == fingerprint);
        let address = |(node, _): &(&Node, String)| {
            let ordinal = syntax::ordinal(&nodes, node).to_string();
            let words = [Some(node.kind), Some(&ordinal), part.as_deref()];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        Ok(here.map(address).collect())
    }

    /// For each node of a kind (or its part): a hash (FNV-1a) of everything that decides whether the mutation there is the
    /// one that was caught: the shape of the node's statement, of the node, and of the replacement. Names and formatting are
    /// not part of a shape. Neither is the test's name: a test is renamed more often than replaced.
    ///
    /// Where several nodes of a function have the same shape, their number and the place among them count too: when a
    /// statement is put before them, the address means another one.
    fn fingerprints<'n>(
        &self,
        body: &str,
        nodes: &'n [Node],
        kind: &str,
        part: Option<&str>,
    ) -> Vec<(&'n Node, String)> {
        let passage = self.passage.as_deref().unwrap_or_default();
        let shapes = nodes
            .iter()
            .filter(|node| node.kind == kind)
            .filter_map(|node| {
                let range = match part {
                    Some(part) => &node.part(part)?.range,
                    None => &node.range,
                };
                let mut shapes = Shapes::default();
                let own = shape_of(&mut shapes, body, nodes, range);
                let change = format!("{}\n{}", shapes.of(passage), shapes.of(&self.to));
                Some((node, own, change))
            });
        let shapes: Vec<(&Node, String, String)> = shapes.collect();
        let fingerprint = |index: usize, own: &String, change: &String| {
            let alike = |shapes: &[(&Node, String, String)]| {
                shapes.iter().filter(|(_, other, _)| other == own).count()
            };
            let before = shapes.get(..index).map_or(0, alike);
            hash(&[own, change, &format!("{before} of {}", alike(&shapes))])
        };
        let each = shapes.iter().enumerate();
        each.map(|(index, (node, own, change))| (*node, fingerprint(index, own, change)))
            .collect()
    }
}

fn hash(pieces: &[&str]) -> String {
    let bytes = pieces.iter().flat_map(|piece| piece.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The shape of the smallest statement around some code, and of the code.
fn shape_of(shapes: &mut Shapes, body: &str, nodes: &[Node], range: &Range<usize>) -> String {
    let statements = nodes.iter().filter(|node| node.kind == "statement");
    let around = statements.filter(|node| node.contains(range));
    let statement = around.min_by_key(|node| node.range.len());
    let statement = statement.map_or("", |node| slice(body, &node.range));
    format!(
        "{}\n{}",
        shapes.of(statement),
        shapes.of(slice(body, range))
    )
}

fn slice<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

fn replace_once(literal: &str, passage: &str, to: &str) -> Result<String, Misfit> {
    if literal.matches(passage).count() == 1 {
        return Ok(literal.replace(passage, to));
    }
    Err(Misfit::NoPassage {
        passage: passage.to_owned(),
        literal: literal.to_owned(),
    })
}

/// The replacement with the source of what its placeholders stand for.
fn fill(to: &str, body: &str, spot: &Spot<'_>) -> Result<String, Misfit> {
    let mut pieces = to.split('$');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.chars().take_while(char::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        let range = match number.parse::<usize>() {
            Ok(0) => Some(&spot.range),
            Ok(number) => spot.node.parts.get(number - 1).map(|part| &part.range),
            Err(_) => None,
        };
        let range = range.ok_or_else(|| Misfit::NoPart(to.to_owned()))?;
        filled.push_str(slice(body, range));
        filled.push_str(rest);
    }
    Ok(filled)
}
