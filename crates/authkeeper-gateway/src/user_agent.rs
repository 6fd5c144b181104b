//! Who sends a request of authkeeper's own.

/// The value of its `User-Agent`.
pub const USER_AGENT: &str = concat!("authkeeper/", env!("CARGO_PKG_VERSION"));
