//! The official MCP conformance suite against the real `authkeeper`: every scenario for clients, one at a time, its exit code
//! honoured.

mod page;
mod run;
mod scenarios;

pub use page::page;
pub use run::{Outcome, run};
pub use scenarios::{Case, List, all};
