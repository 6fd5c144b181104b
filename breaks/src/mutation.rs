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

    /// Applies it to a function, whatever its name is.
    pub fn apply_in<'a>(&self, file: &'a SourceFile, item: &Item) -> Result<Mutant<'a>, Misfit> {
        let body = slice(&file.text, &item.body);
        let nodes = syntax::nodes(body).map_err(|source| Misfit::Unparsable {
            file: file.path.clone(),
            source,
        })?;
        let spot = syntax::find(&nodes, &self.node).ok_or_else(|| Misfit::NoNode {
            function: item.path(),
            node: self.node.clone(),
            listing: syntax::listing(body, &nodes),
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
        Ok(Mutant {
            file,
            text,
            fingerprint: self.fingerprint(body, &nodes, &spot),
        })
    }

    /// A hash (FNV-1a) of everything that decides whether the mutation is the one that was caught: the shape of the
    /// node's statement, of the node, and of the replacement. Names and formatting are not part of a shape. Neither is
    /// the test's name: a test is renamed more often than replaced, and the run looks for it by name anyway.
    ///
    /// Where several nodes of a function have the same shape, their number and the place among them count too: a
    /// statement put before them makes the address another one's.
    fn fingerprint(&self, body: &str, nodes: &[Node], spot: &Spot<'_>) -> String {
        let mut shapes = Shapes::default();
        let own = shape_of(&mut shapes, body, nodes, &spot.range);
        let alike: Vec<Range<usize>> = nodes
            .iter()
            .filter(|node| node.kind == spot.node.kind)
            .filter_map(|node| match spot.part {
                Some(part) => Some(node.part(part)?.range.clone()),
                None => Some(node.range.clone()),
            })
            .filter(|range| shape_of(&mut Shapes::default(), body, nodes, range) == own)
            .collect();
        let place = alike.iter().position(|range| *range == spot.range);
        let place = format!("{place:?} of {}", alike.len());
        let passage = self.passage.as_deref().unwrap_or_default();
        let pieces = [own, shapes.of(passage), shapes.of(&self.to), place];
        let bytes = pieces.iter().flat_map(|piece| piece.bytes().chain([0]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
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
