//! The addressable syntax nodes of a function body.
//!
//! A node's address is its kind and its ordinal among the nodes of that kind in the body, in source order: `method 2` is
//! the second method call. The name of one of its parts may follow: `method 2 receiver`, `call 1 argument 2`. Another kind
//! and ordinal after that count within it: `arm 3 body literal 1`. No address names an identifier, so that a rename leaves
//! it as it is.

use std::{fmt::Write as _, ops::Range};

use syn::{
    Arm, Block, Expr, ExprClosure, ExprLit, ExprMacro, Local, Macro, Pat, Stmt, StmtMacro, Token,
    parse::Parser,
    punctuated::Punctuated,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::macro_input::{Branch, Matched};

/// A syntax node that has an address.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its kind, the first word of its address.
    pub kind: &'static str,
    /// Its bytes in the body.
    pub range: Range<usize>,
    /// Its parts; the first is `$1` in a replacement.
    pub parts: Vec<Part>,
    /// Orders the nodes of a kind: where the operator, the keyword or the method's name stands.
    anchor: usize,
}

/// A part of a node.
#[derive(Clone, Debug)]
pub struct Part {
    /// The last words of its address.
    pub name: String,
    /// Its bytes in the body.
    pub range: Range<usize>,
}

/// Names of parts that have a number, and are no kinds of nodes.
const NUMBERED: &[&str] = &["argument", "element", "parameter"];

/// A node, or a part of it, that an address was resolved to.
#[derive(Clone, Debug)]
pub struct Spot<'a> {
    /// The node.
    pub node: &'a Node,
    /// The name of its part.
    pub part: Option<&'a str>,
    /// The addressed bytes: the node's or its part's.
    pub range: Range<usize>,
}

/// The nodes of a body: a function's block, or a constant's value.
pub fn nodes(body: &str) -> syn::Result<Vec<Node>> {
    let mut collector = Collector::default();
    if let Ok(block) = syn::parse_str::<Block>(body) {
        collector.visit_block(&block);
    } else {
        collector.visit_expr(&syn::parse_str(body)?);
    }
    let mut nodes = collector.nodes;
    nodes.sort_by_key(|node| node.anchor);
    Ok(nodes)
}

/// The node or part with this address.
pub fn find<'a>(nodes: &'a [Node], address: &str) -> Option<Spot<'a>> {
    let words: Vec<&str> = address.split(' ').collect();
    let mut rest = &words[..];
    let mut spot: Option<Spot<'a>> = None;
    while !rest.is_empty() {
        (spot, rest) = step(nodes, spot.as_ref(), rest)?;
    }
    spot
}

/// Resolves the first kind, ordinal and part of these words within what was found before.
fn step<'a, 'w>(
    nodes: &'a [Node],
    outer: Option<&Spot<'a>>,
    words: &'w [&'w str],
) -> Option<(Option<Spot<'a>>, &'w [&'w str])> {
    let [kind, ordinal, rest @ ..] = words else {
        return None;
    };
    let index = ordinal.parse::<usize>().ok()?.checked_sub(1)?;
    let of_kind = nodes.iter().filter(|node| node.kind == *kind);
    let mut inside = of_kind.filter(|node| outer.is_none_or(|outer| outer.holds(node)));
    let node = inside.nth(index)?;
    let part = (1..=rest.len().min(2)).rev().find_map(|length| {
        let (name, rest) = rest.split_at(length);
        // A numbered part is an arm, a statement or a field otherwise: a node of its own.
        let is_part = length == 1 || NUMBERED.contains(name.first()?);
        Some((node.part(&name.join(" ")).filter(|_| is_part)?, rest))
    });
    let range = part.map_or(&node.range, |(part, _)| &part.range).clone();
    let spot = Spot {
        node,
        part: part.map(|(part, _)| part.name.as_str()),
        range,
    };
    Some((Some(spot), part.map_or(rest, |(_, rest)| rest)))
}

/// The kind and the part, if any, that an address ends with.
pub fn last_step(address: &str) -> Option<(&str, Option<String>)> {
    let words: Vec<&str> = address.split(' ').collect();
    let is_kind = |pair: &[&str]| match pair {
        [word, ordinal] => !NUMBERED.contains(word) && ordinal.parse::<usize>().is_ok(),
        _ => false,
    };
    let index = words.windows(2).rposition(is_kind)?;
    let part = words.get(index + 2..).filter(|part| !part.is_empty());
    Some((words.get(index)?, part.map(|part| part.join(" "))))
}

/// The ordinal of a node among those of its kind.
pub fn ordinal(nodes: &[Node], node: &Node) -> usize {
    let of_kind = nodes.iter().filter(|other| other.kind == node.kind);
    1 + of_kind
        .take_while(|other| !std::ptr::eq(*other, node))
        .count()
}

/// The addresses of a body with the code that they stand for, a line each: of one kind, or all.
pub fn listing(body: &str, nodes: &[Node], kind: Option<&str>) -> String {
    let mut text = String::new();
    let listed = nodes
        .iter()
        .filter(|node| kind.is_none_or(|kind| node.kind == kind));
    for node in listed {
        let address = format!("{} {}", node.kind, ordinal(nodes, node));
        let _ = writeln!(text, "{address:<24} {}", excerpt(body, &node.range));
        for (number, part) in node.parts.iter().enumerate() {
            let address = format!("  ${} {}", number + 1, part.name);
            let _ = writeln!(text, "{address:<24}   {}", excerpt(body, &part.range));
        }
    }
    text
}

fn excerpt(body: &str, range: &Range<usize>) -> String {
    const WIDTH: usize = 90;
    let code = body.get(range.clone()).unwrap_or_default();
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= WIDTH {
        return line;
    }
    line.chars().take(WIDTH).chain(['…']).collect()
}

impl Spot<'_> {
    fn holds(&self, inner: &Node) -> bool {
        let inside = self.range.start <= inner.range.start && inner.range.end <= self.range.end;
        inside && !std::ptr::eq(self.node, inner)
    }
}

impl Node {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Whether it lies around these bytes.
    pub fn contains(&self, range: &Range<usize>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }
}

#[derive(Default)]
struct Collector {
    nodes: Vec<Node>,
}

impl Collector {
    fn add(
        &mut self,
        kind: &'static str,
        anchor: &impl Spanned,
        node: &impl Spanned,
        parts: Parts,
    ) {
        self.nodes.push(Node {
            kind,
            range: bytes(node),
            parts: parts.0,
            anchor: bytes(anchor).start,
        });
    }
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, part: &impl Spanned) -> Self {
        self.push(name, bytes(part));
        self
    }

    fn push(&mut self, name: &str, range: Range<usize>) {
        let name = name.to_owned();
        self.0.push(Part { name, range });
    }

    fn with_some<T: Spanned>(self, name: &str, part: Option<&T>) -> Self {
        match part {
            Some(part) => self.with(name, part),
            None => self,
        }
    }

    fn with_each<'a, T: Spanned + 'a>(
        self,
        name: &str,
        parts: impl IntoIterator<Item = &'a T>,
    ) -> Self {
        let numbered = parts.into_iter().zip(1..);
        numbered.fold(self, |all, (part, number): (_, u32)| {
            all.with(&format!("{name} {number}"), part)
        })
    }
}

fn bytes(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

impl<'ast> Visit<'ast> for Collector {
    /// Items within a function have names of their own.
    fn visit_item(&mut self, _: &'ast syn::Item) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_block(&mut self, block: &'ast Block) {
        let parts = Parts::new().with_each("statement", &block.stmts);
        self.add("block", block, block, parts);
        visit::visit_block(self, block);
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        let parts = match stmt {
            Stmt::Expr(value, _) => Parts::new().with("expression", value),
            Stmt::Macro(StmtMacro { mac, .. }) => Parts::new().with("expression", mac),
            Stmt::Local(_) | Stmt::Item(_) => Parts::new(),
        };
        self.add("statement", stmt, stmt, parts);
        visit::visit_stmt(self, stmt);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        let init = local.init.as_ref();
        let diverge = init.and_then(|init| init.diverge.as_ref());
        let parts = Parts::new()
            .with("pattern", &local.pat)
            .with_some("value", init.map(|init| &init.expr))
            .with_some("else", diverge.map(|(_, block)| block));
        self.add("let", local, local, parts);
        visit::visit_local(self, local);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let parts = match &arm.pat {
            Pat::Guard(guarded) => Parts::new()
                .with("pattern", &guarded.pat)
                .with("guard", &guarded.guard),
            pattern => Parts::new().with("pattern", pattern),
        };
        let parts = parts.with("body", &arm.body);
        self.add("arm", arm, arm, parts);
        self.visit_pat(&arm.pat);
        self.visit_body(&arm.body);
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        closure
            .inputs
            .iter()
            .for_each(|input| self.visit_pat(input));
        self.visit_body(&closure.body);
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        let parts = Parts::new().with("value", &field.expr);
        self.add("field", field, field, parts);
        visit::visit_field_value(self, field);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.len();
        let first = path.segments.first().map(bytes);
        let before = path.segments.iter().rev().nth(1).map(bytes);
        let mut parts = Parts::new();
        if let (2.., Some(first), Some(before)) = (segments, first, before) {
            let range = first.start..before.end;
            parts.push("qualifier", range);
        }
        self.add("path", path, path, parts);
        visit::visit_path(self, path);
    }

    fn visit_expr_lit(&mut self, literal: &'ast ExprLit) {
        self.add("literal", literal, literal, Parts::new());
    }

    fn visit_stmt_macro(&mut self, call: &'ast StmtMacro) {
        self.add_macro(&call.mac);
    }

    fn visit_expr_macro(&mut self, call: &'ast ExprMacro) {
        self.add_macro(&call.mac);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.add_expr(expr);
        visit::visit_expr(self, expr);
    }
}

impl Collector {
    /// rustfmt sets or drops braces around a body that is one expression: they are no block and no statement here.
    fn visit_body(&mut self, body: &Expr) {
        if let Expr::Block(block) = body
            && let [Stmt::Expr(only, None)] = &block.block.stmts[..]
            && block.label.is_none()
        {
            return self.visit_expr(only);
        }
        self.visit_expr(body);
    }

    fn add_expr(&mut self, expr: &Expr) {
        let new = Parts::new;
        match expr {
            Expr::Binary(e) => {
                let parts = new().with("left", &e.left).with("right", &e.right);
                self.add("binary", &e.op, e, parts);
            }
            Expr::Call(e) => {
                let parts = new().with("function", &e.func);
                let anchor = e.paren_token.span.open();
                self.add("call", &anchor, e, parts.with_each("argument", &e.args));
            }
            Expr::MethodCall(e) => {
                let parts = new().with("receiver", &e.receiver);
                self.add("method", &e.method, e, parts.with_each("argument", &e.args));
            }
            Expr::Field(e) => self.add("access", &e.member, e, new().with("object", &e.base)),
            Expr::Unary(e) => self.add("unary", &e.op, e, new().with("operand", &e.expr)),
            Expr::Reference(e) => self.add("reference", e, e, new().with("operand", &e.expr)),
            Expr::Cast(e) => self.add("cast", &e.as_token, e, new().with("value", &e.expr)),
            Expr::Try(e) => self.add("try", &e.question_token, e, new().with("value", &e.expr)),
            Expr::Await(e) => self.add("await", &e.await_token, e, new().with("future", &e.base)),
            Expr::Paren(e) => self.add("parenthesis", e, e, new().with("inner", &e.expr)),
            Expr::Assign(e) => {
                let parts = new().with("left", &e.left).with("right", &e.right);
                self.add("assignment", &e.eq_token, e, parts);
            }
            Expr::Index(e) => {
                let parts = new().with("object", &e.expr).with("index", &e.index);
                self.add("index", &e.bracket_token.span.open(), e, parts);
            }
            Expr::Range(e) => {
                let parts = new().with_some("start", e.start.as_ref());
                self.add(
                    "range",
                    &e.limits,
                    e,
                    parts.with_some("end", e.end.as_ref()),
                );
            }
            _ => self.add_compound(expr),
        }
    }

    /// Expressions that begin with their keyword, or hold a list.
    fn add_compound(&mut self, expr: &Expr) {
        let new = Parts::new;
        let (kind, parts) = match expr {
            Expr::If(e) => {
                let parts = new()
                    .with("condition", &e.cond)
                    .with("then", &e.then_branch);
                let otherwise = e.else_branch.as_ref().map(|(_, branch)| branch);
                ("if", parts.with_some("else", otherwise))
            }
            Expr::Match(e) => {
                let parts = new().with("value", &e.expr);
                ("match", parts.with_each("arm", &e.arms))
            }
            Expr::Let(e) => {
                let parts = new().with("pattern", &e.pat);
                ("let", parts.with("value", &e.expr))
            }
            Expr::Closure(e) => {
                let parts = new().with_each("parameter", &e.inputs);
                ("closure", parts.with("body", &e.body))
            }
            Expr::Struct(e) => {
                let parts = new().with_each("field", &e.fields);
                ("struct", parts.with_some("rest", e.rest.as_ref()))
            }
            Expr::ForLoop(e) => {
                let parts = new().with("pattern", &e.pat).with("value", &e.expr);
                ("for", parts.with("body", &e.body))
            }
            Expr::While(e) => {
                let parts = new().with("condition", &e.cond);
                ("while", parts.with("body", &e.body))
            }
            Expr::Loop(e) => ("loop", new().with("body", &e.body)),
            Expr::Async(e) => ("async", new().with("body", &e.block)),
            Expr::Return(e) => ("return", new().with_some("value", e.expr.as_ref())),
            Expr::Break(e) => ("break", new().with_some("value", e.expr.as_ref())),
            Expr::Continue(_) => ("continue", new()),
            Expr::Tuple(e) => ("tuple", new().with_each("element", &e.elems)),
            Expr::Array(e) => ("array", new().with_each("element", &e.elems)),
            _ => return,
        };
        self.add(kind, expr, expr, parts);
    }

    /// A macro's arguments are nodes where they are expressions, or those of `matches!` or `select!`.
    fn add_macro(&mut self, call: &Macro) {
        let tokens = call.tokens.clone();
        let list = Punctuated::<Expr, Token![,]>::parse_terminated;
        if let Ok(arguments) = list.parse2(tokens.clone()) {
            let parts = Parts::new().with_each("argument", &arguments);
            self.add("macro", call, call, parts);
            arguments
                .iter()
                .for_each(|argument| self.visit_expr(argument));
        } else if let Ok(matched) = Matched::parse.parse2(tokens.clone()) {
            let parts = Parts::new()
                .with("value", &matched.value)
                .with("pattern", &matched.pattern)
                .with_some("guard", matched.guard.as_ref());
            self.add("macro", call, call, parts);
            self.visit_expr(&matched.value);
            self.visit_pat(&matched.pattern);
            matched
                .guard
                .iter()
                .for_each(|guard| self.visit_expr(guard));
        } else {
            self.add("macro", call, call, Parts::new());
            let branches = Branch::parse_all.parse2(tokens).unwrap_or_default();
            for branch in &branches {
                self.add_branch(branch);
            }
        }
    }

    fn add_branch(&mut self, branch: &Branch) {
        let parts = Parts::new()
            .with("pattern", &branch.pattern)
            .with("value", &branch.value)
            .with("body", &branch.body);
        let body = bytes(&branch.body);
        let end = branch
            .comma
            .as_ref()
            .map_or(body.end, |comma| bytes(comma).end);
        self.nodes.push(Node {
            kind: "arm",
            range: bytes(&branch.pattern).start..end,
            anchor: bytes(&branch.pattern).start,
            parts: parts.0,
        });
        self.visit_pat(&branch.pattern);
        self.visit_expr(&branch.value);
        self.visit_body(&branch.body);
    }
}
