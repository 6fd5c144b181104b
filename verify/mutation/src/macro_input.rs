//! The input of macros that is neither an expression nor a list of them.

use syn::{Expr, Ident, Pat, Token, parse::ParseStream};

/// The arguments of `matches!`.
pub(crate) struct Matched {
    pub(crate) value: Expr,
    pub(crate) pattern: Pat,
    pub(crate) guard: Option<Expr>,
}

impl Matched {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let value = input.parse()?;
        input.parse::<Token![,]>()?;
        let pattern = Pat::parse_multi_with_leading_vert(input)?;
        let guard = match input.parse::<Option<Token![if]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        input.parse::<Option<Token![,]>>()?;
        Ok(Self {
            value,
            pattern,
            guard,
        })
    }
}

/// A branch of `tokio::select!`: an arm with a value of its own.
pub(crate) struct Branch {
    pub(crate) pattern: Pat,
    pub(crate) value: Expr,
    pub(crate) body: Expr,
    pub(crate) comma: Option<Token![,]>,
}

impl Branch {
    pub(crate) fn parse_all(input: ParseStream<'_>) -> syn::Result<Vec<Self>> {
        if input.peek2(Token![;]) {
            input.parse::<Ident>()?;
            input.parse::<Token![;]>()?;
        }
        let mut branches = Vec::new();
        while !input.is_empty() {
            branches.push(Self::parse(input)?);
        }
        Ok(branches)
    }

    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let pattern = Pat::parse_single(input)?;
        input.parse::<Token![=]>()?;
        let value = input.parse()?;
        input.parse::<Token![=>]>()?;
        let body = Expr::parse_with_earlier_boundary_rule(input)?;
        let comma = input.parse()?;
        Ok(Self {
            pattern,
            value,
            body,
            comma,
        })
    }
}
