//! The shape of code: its tokens without its names.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Words that are kept as they are: keywords, and names of the standard library one of which is often a mutation of
/// another. Every other identifier may be renamed and is a number in the shape.
const KEPT: &[&str] = &[
    // Keywords and primitive types.
    "_",
    "as",
    "async",
    "await",
    "bool",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "f64",
    "false",
    "fn",
    "for",
    "i32",
    "i64",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "ref",
    "return",
    "self",
    "Self",
    "static",
    "str",
    "struct",
    "super",
    "true",
    "type",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "unsafe",
    "use",
    "usize",
    "where",
    "while",
    // The standard library.
    "Err",
    "None",
    "Ok",
    "Some",
    "MAX",
    "MIN",
    "ZERO",
    "all",
    "and",
    "and_then",
    "any",
    "clamp",
    "filter",
    "first",
    "from_hours",
    "from_millis",
    "from_mins",
    "from_secs",
    "is_empty",
    "is_err",
    "is_none",
    "is_none_or",
    "is_ok",
    "is_some",
    "is_some_and",
    "is_zero",
    "last",
    "map",
    "map_or",
    "max",
    "min",
    "ok",
    "or",
    "or_else",
    "skip",
    "take",
    "unwrap_or",
];

/// Shapes of pieces of code that share their names.
#[derive(Debug, Default)]
pub struct Shapes {
    names: Vec<String>,
}

impl Shapes {
    /// The shape of the next piece: equal for equal code, however it is formatted and named.
    pub fn of(&mut self, code: &str) -> String {
        let mut shape = String::new();
        match code.parse::<TokenStream>() {
            Ok(tokens) => self.push(tokens, &mut shape),
            Err(_) => shape = words(code),
        }
        shape
    }

    fn push(&mut self, tokens: TokenStream, shape: &mut String) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let arms = tokens.windows(2).any(is_arrow);
        for (index, token) in tokens.iter().enumerate() {
            let (before, after) = tokens.split_at(index);
            match token {
                TokenTree::Group(group) if is_optional(before, group) => {
                    self.push(group.stream(), shape);
                }
                TokenTree::Group(group) => self.push_group(group, shape),
                TokenTree::Ident(name) => self.push_name(&name.to_string(), shape),
                TokenTree::Literal(literal) => push_word(&words(&literal.to_string()), shape),
                // rustfmt sets or drops a comma after the last of a list and after an arm.
                TokenTree::Punct(sign) if sign.as_char() == ',' && (arms || after.len() == 1) => {}
                TokenTree::Punct(sign) => push_word(&sign.to_string(), shape),
            }
        }
    }

    fn push_group(&mut self, group: &Group, shape: &mut String) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        push_word(open, shape);
        self.push(group.stream(), shape);
        push_word(close, shape);
    }

    fn push_name(&mut self, name: &str, shape: &mut String) {
        if is_kept(name) {
            return push_word(name, shape);
        }
        let known = self.names.iter().position(|other| other == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        push_word(&format!("#{number}"), shape);
    }
}

/// Whether a word is a keyword or one of the standard library's names that are kept.
pub fn is_kept(word: &str) -> bool {
    KEPT.contains(&word)
}

/// rustfmt sets or drops braces around a closure's or an arm's only expression.
fn is_optional(before: &[TokenTree], group: &Group) -> bool {
    let is_sign = |token: &TokenTree, sign: char| matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign);
    let is_closure = before.last().is_some_and(|last| is_sign(last, '|'));
    let is_arm = before.last_chunk::<2>().is_some_and(|pair| is_arrow(pair));
    let is_body = is_closure || is_arm;
    let one = !group.stream().into_iter().any(|token| is_sign(&token, ';'));
    is_body && one && group.delimiter() == Delimiter::Brace && !group.stream().is_empty()
}

fn is_arrow(pair: &[TokenTree]) -> bool {
    matches!(pair, [TokenTree::Punct(equals), TokenTree::Punct(greater)]
        if equals.as_char() == '=' && greater.as_char() == '>')
}

fn push_word(word: &str, shape: &mut String) {
    shape.push_str(word);
    shape.push(' ');
}

/// Text without its line breaks and indentation: SQL in a literal is indented like the code around it.
fn words(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| *word != "\\");
    words.collect::<Vec<_>>().join(" ")
}
