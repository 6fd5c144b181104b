//! Why a case does not fit the source.

use std::path::PathBuf;

/// Why a case does not fit the source.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// No function or constant has this key.
    #[error("there is no function or constant {0:?} in the workspace")]
    NoFunction(String),
    /// No test has this key.
    #[error("there is no test {0:?} in the workspace")]
    NoTest(String),
    /// Several have it.
    #[error("{key:?} is ambiguous; add a segment of one of: {}", .candidates.join(", "))]
    Ambiguous {
        /// As written.
        key: String,
        /// The paths that it fits.
        candidates: Vec<String>,
    },
    /// The function has no such node.
    #[error(
        "{function} has no node {node:?}; of this kind it has these (all: cargo run -p breaks -- --nodes {function}):\n{listing}"
    )]
    NoNode {
        /// Its path.
        function: String,
        /// The address.
        node: String,
        /// The addresses of that kind; all where there is none.
        listing: String,
    },
    /// What a literal is to say otherwise is not in it exactly once.
    #[error("{passage:?} is not exactly once in: {literal}")]
    NoPassage {
        /// What is to be replaced.
        passage: String,
        /// The code of the node.
        literal: String,
    },
    /// `to` names a part that the node does not have.
    #[error("the node has no part for a placeholder of {0:?}")]
    NoPart(String),
    /// `to` uses a name that is used nowhere: it was renamed.
    #[error("the replacement uses {0:?}, which no code of the workspace does")]
    UnknownName(String),
    /// The replacement is what stands there.
    #[error("the replacement changes nothing")]
    NoChange,
    /// A file is not Rust.
    #[error("{}: {source}", .file.display())]
    Unparsable {
        /// From the root of the repository.
        file: PathBuf,
        /// Why.
        source: syn::Error,
    },
}
