//! Text: what may be shown of what a server said, and which known name a typed one is near to.

pub(crate) mod sanitize;
pub mod similar;
