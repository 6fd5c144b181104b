//! The daemon: everything that is connected stays fresh and has an MCP endpoint, until a signal.
//!
//! ```text
//! serve ─┬─ Handle   who may call
//!        ├─ Tending  keeps every connection fresh, new ones too, and says whether the store can be read
//!        └─ proxy    /mcp/NAME, /healthz
//! ```

mod handle;
mod tend;

pub(crate) use self::{handle::Handle, tend::Tending};
