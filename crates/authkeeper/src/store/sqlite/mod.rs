//! One machine's store: an `SQLite` file in WAL mode with `synchronous=FULL`, so that what was answered is durable.
//!
//! Reads go straight to the file over a connection of their own (a few microseconds, never behind a writer); writes go
//! through one thread (`writer`). What a change does to a grant is decided in the model; here it is read and written.

mod clients;
mod connections;
mod copy_detection;
mod error;
mod file;
mod grants;
mod history;
mod incidents;
mod names;
mod observations;
mod pending;
mod refusals;
mod remembered;
mod repair;
mod reseal;
mod row_sealer;
mod rows;
mod schema;
mod sign_in;
mod sqlite_store;
mod statement;
mod store_impl;
mod tasks;
mod token_fingerprint;
mod tokens;
mod writer;

pub use self::{
    names::connection_names,
    repair::{Salvaged, examine, salvage},
    sqlite_store::SqliteStore,
};

#[cfg(test)]
mod tests;
