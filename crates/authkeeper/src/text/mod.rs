//! Text: what may be shown of what a server said, bytes in hexadecimal, and which known name a typed one is near to.

pub mod hex;
pub(crate) mod sanitize;
pub mod similar;
