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
