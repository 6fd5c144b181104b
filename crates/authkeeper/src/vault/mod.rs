//! Secrets at rest: sealing, the file of the seal key, and the change to another key.

mod error;
pub(crate) mod key_change;
pub mod key_file;
pub(crate) mod reseal_files;
pub mod seal;

pub use self::{error::VaultError, reseal_files::ResealCount};
