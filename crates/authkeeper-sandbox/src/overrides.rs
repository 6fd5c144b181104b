//! What a built-in scenario changes in the handlers: plain data that the scenario writes and the handlers read.

use std::time::Duration;

use crate::revision::Revision;

/// The tool that the built-in scenarios call, named as in the official MCP conformance suite.
pub(crate) const TEST_TOOL: &str = "test-tool";

/// The only event with an id on the first stream that the MCP server opens.
pub(crate) const FIRST_EVENT_ID: &str = "1-0";

/// The overrides of the built-in scenario that plays.
#[derive(Clone, Debug)]
pub(crate) struct Overrides {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// The only MCP revision that is served.
    pub(crate) revision: Revision,
    /// The person denies every further sign-in.
    pub(crate) deny_sign_ins: bool,
    /// The MCP server offers a stream of its own (GET, or `subscriptions/listen`).
    pub(crate) offers_stream: bool,
    /// How many of those streams were opened.
    pub(crate) streams_opened: usize,
    /// The test tool answers with an event stream that outlives the access token.
    pub(crate) long_answer: bool,
    /// How long the test tool takes.
    pub(crate) tool_takes: Duration,
}
