//! The sandbox's counters.

use serde::Serialize;

/// The sandbox's counters since its start or its last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Grants made by a person's sign-in, by browser or device.
    pub sign_ins: u64,
    /// Tokens issued for client credentials.
    pub client_credentials: u64,
    /// Refreshes that were answered with tokens, resends included.
    pub refreshes_accepted: u64,
    /// Refreshes that were refused.
    pub refreshes_refused: u64,
    /// Refreshes with a refresh token that was spent before.
    pub refreshes_replayed: u64,
    /// Replays that got the identical answer.
    pub same_answers: u64,
    /// The most requests with the same refresh token.
    pub most_sends_of_one_refresh_token: u64,
    /// Token requests refused because of the client's credentials.
    pub clients_refused: u64,
    /// Token requests, successful or not.
    pub token_requests: u64,
    /// The most token requests under way at once.
    pub max_concurrent_token_requests: u64,
    /// Requests with an expired access token.
    pub expired_tokens_presented: u64,
    /// Requests with an access token that was revoked or replaced.
    pub revoked_tokens_presented: u64,
    /// Access tokens issued.
    pub access_tokens_issued: u64,
    /// Used access tokens that expired after their grant had got a newer one.
    pub access_tokens_outlived: u64,
    /// Calls of the plain API that were answered.
    pub api_ok: u64,
    /// Calls of the plain API or the MCP server answered with 401.
    pub unauthorized: u64,
    /// Calls of the plain API or the MCP server answered with 403.
    pub forbidden: u64,
    /// MCP requests that were answered.
    pub mcp_calls: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Pieces of work done.
    pub work_done: u64,
    /// Pieces of work sent again under an idempotency key that was done.
    pub work_duplicates: u64,
    /// Tokens revoked by their client.
    pub revocations: u64,
    /// Grants that ended, for any reason.
    pub grants_killed: u64,
    /// How often a fault struck.
    pub faults_struck: u64,
    /// Every grant, oldest first.
    pub grants: Vec<GrantSummary>,
}

/// One grant, without its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantSummary {
    /// Its number.
    pub grant: u32,
    /// The user; none for a client that acts for itself.
    pub user: Option<String>,
    /// The client.
    pub client: String,
    /// How many times tokens were issued.
    pub generation: u32,
    /// Whether the grant is valid.
    pub alive: bool,
    /// Why it ended.
    pub reason: Option<&'static str>,
}
