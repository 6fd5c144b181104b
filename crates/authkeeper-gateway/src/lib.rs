//! Serves calls on behalf of connections: the token is injected, a 401 recovered, a missing sign-in asked for.
//!
//! ```text
//! authkeeper (decides and keeps) ◀─ authkeeper-gateway (serves calls) ◀─ authkeeper-cli (talks to people)
//! ```
//!
//! Nothing here parses a command line or prints: a program passes settings in, and a [`Report`](report::Report) for lines
//! that a person should read.
//!
//! ```text
//! server ─▶ mcp ─▶ forward ─▶ signin_link ─▶ report, wait, browser
//! check ─▶ mcp, forward
//! server, mcp, forward ─▶ error
//! open_incidents ─▶ token_source ─▶ forward, alerts, signin_link
//! first_tokens ─▶ signin_link, error, report
//! server, signin_link ─▶ listener        everything ─▶ lifecycle
//! ```
//!
//! | module | contents |
//! | --- | --- |
//! | [`error`] | why a call got no answer, and the fixed words for it |
//! | [`forward`] | one authorized HTTP exchange: token, 401 recovery, step-up after a 403 |
//! | [`mcp`] | the stdio bridge to a remote MCP server, in every protocol version |
//! | [`check`] | the harmless call that proves a connection, and its repetition while nobody calls |
//! | [`server`] | the loopback servers: the proxy of a run, the MCP endpoint of the daemon |
//! | [`lifecycle`] | background tasks, and how they are told to end |
//! | [`signin_link`] | links by which a person signs in while calls wait |
//! | [`alerts`] | notifications of incidents: a command and a signed webhook |
//! | [`token_source`] | tokens of the [`Runtime`](authkeeper::runtime::Runtime), and failed calls |
//! | [`first_tokens`] | what a run waits for before it starts its command |
//! | [`open_incidents`] | open incidents of the runtime, for [`alerts`] |
//! | [`body`], [`report`], [`browser`], [`bounded_read`], [`duration`] | what the others share |

#![warn(missing_docs)]

pub mod alerts;
pub mod body;
pub mod bounded_read;
pub mod browser;
pub mod check;
pub mod duration;
pub mod error;
pub mod first_tokens;
pub mod forward;
pub mod lifecycle;
mod listener;
pub mod mcp;
pub mod open_incidents;
pub mod report;
pub mod server;
pub mod signin_link;
pub mod token_source;
mod wait;
