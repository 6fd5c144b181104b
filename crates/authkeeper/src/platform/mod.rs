//! What the operating system provides, each behind a seam: time, randomness, files, tasks, locks between processes.

pub mod clock;
mod clock_shift;
pub mod failpoint;
pub mod files;
pub mod filesystem;
pub mod process_lease;
pub mod tasks;

pub use self::files::FileError;
