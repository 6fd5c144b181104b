//! Versions and error codes of the protocol.

/// 2026-07-28, basic/index, "Error Codes".
pub(in crate::mcp) const HEADER_MISMATCH: i64 = -32020;
pub(in crate::mcp) const MISSING_CAPABILITY: i64 = -32021;
pub(in crate::mcp) const UNSUPPORTED_VERSION: i64 = -32022;

/// The stateless version that is translated from and to.
pub(in crate::mcp) const STATELESS: &str = "2026-07-28";
/// The handshake versions a client may ask for.
pub(in crate::mcp) const HANDSHAKES: [&str; 4] =
    ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
pub(in crate::mcp) const NEWEST_HANDSHAKE: &str = "2025-11-25";

/// JSON-RPC 2.0 §5.1, and MCP's "Invalid params".
pub(super) const INVALID_REQUEST: i64 = -32600;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;

/// The levels of log messages, the least first.
pub(super) const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];
