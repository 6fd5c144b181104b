//! Bounds of the bridge.

use std::time::Duration;

use super::version::VersionCache;

/// Bounds of the bridge. The defaults suit an MCP client on the same machine.
#[derive(Debug, Clone)]
pub struct BridgeOptions {
    /// Bytes in a line, a JSON body or an event.
    pub max_message: usize,
    /// Requests sent and not answered; more wait. A 2026-07-28 subscription counts as one.
    pub in_flight: usize,
    /// Messages accepted and not done; at this many the client's next line is not read.
    pub queued: usize,
    /// How long calls may still take after the client closed its end.
    pub drain: Duration,
    /// How long ending the session may take after that.
    pub goodbye: Duration,
    /// How long the connection of a handshake-era call stays open after it was cancelled: to close it is no cancellation in
    /// that era, and the server need not answer. What it answers is dropped.
    pub cancel_grace: Duration,
    /// How long the answer to an accepted request (202) may take to come on the session's own stream.
    pub late_answer: Duration,
    /// How long the messages of a new session wait until the server's own stream is open.
    pub hearing: Duration,
    /// Speak the other era to a server that does not know the client's.
    pub translate: bool,
    /// What earlier processes found out about the server's era.
    pub memory: Option<VersionCache>,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            max_message: 64 << 20,
            in_flight: 128,
            queued: 1024,
            drain: Duration::from_secs(5),
            goodbye: Duration::from_secs(2),
            cancel_grace: Duration::from_secs(5),
            late_answer: Duration::from_mins(10),
            hearing: Duration::from_millis(250),
            translate: true,
            memory: None,
        }
    }
}
