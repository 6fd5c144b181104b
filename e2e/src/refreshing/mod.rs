//! The sandbox's built-in scenarios, played with the real `authkeeper` and with other people's clients.

mod page;
mod run;

pub use page::page;
pub use run::{Case, Client, Outcome, all, bad, ours_and_a_sample, run};
