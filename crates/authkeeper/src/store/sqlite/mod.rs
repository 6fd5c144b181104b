//! One machine's store: an `SQLite` file in WAL mode with `synchronous=FULL`, so that what was answered is durable.
//!
//! Reads go straight to the file over a connection of their own (a few microseconds, never behind a writer); writes go
//! through one thread (`writer`). The same claim statements serve every SQL store.

mod api_keys;
mod claims;
mod clients;
mod connections;
mod copy_detection;
mod error;
mod failing;
mod file;
mod grants;
mod history;
mod incidents;
mod observations;
mod pending;
mod refusals;
mod repair;
mod reseal;
mod rows;
mod schema;
mod sign_in;
mod sqlite_store;
mod statement;
mod step_ups;
mod store_impl;
mod tasks;
mod token_fingerprint;
mod tokens;
mod validations;
mod writer;

pub use self::{
    repair::{Salvaged, examine, salvage},
    sqlite_store::SqliteStore,
};

#[cfg(test)]
mod tests;
