//! What the benchmarks stand on: a provider in memory with a fixed round trip, a machine with connections on it, and a
//! count of allocations.

pub mod cost;
pub mod machine;
pub mod processes;
pub mod provider;
pub mod report;
pub mod store;

#[cfg(feature = "allocations")]
use std::alloc::System;

#[cfg(feature = "allocations")]
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what Rust code allocates in the whole process; what `SQLite` allocates in C is not seen.
#[cfg(feature = "allocations")]
#[global_allocator]
pub static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
