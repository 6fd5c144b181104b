//! Secrets at rest: sealing, the file that holds the seal key, and sealing files again under another key.

pub mod key_file;
pub(crate) mod reseal_files;
pub mod seal;
