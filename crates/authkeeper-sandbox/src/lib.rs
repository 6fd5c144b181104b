//! An OAuth authorization server, an MCP server and a plain API in one process, with faults on demand.
//!
//! It shares no code with the library that it tests.
//!
//! Each layer uses only those below it:
//!
//! ```text
//! demo         a story played with a sandbox and the authkeeper binary
//! trial        tries an MCP client in a built-in scenario, and reports
//! sandbox      the handles: start, stop, drive
//! server       sockets and waiting
//! scenarios    files and built-in scenarios; what they plan and how they judge
//! router       faults, dispatch, and the trait by which it tells a scenario of each request
//! handlers     oauth, resource, page, control
//! state        everything the handlers read and change, and the actions on it
//! values       store, settings, profile, fault, counters, events, wire, clock, random
//! ```
//!
//! Endpoints: `/authorize`, `/token`, `/register`, `/revoke`, `/introspect`, `/device_authorization`, `/device`,
//! `/userinfo`, `/mcp`, `/api/me`, `/api/items`, `/api/work`, `/api/admin`, the well-known documents, `/control/…`
//! ([`control`]), and a page for people at `/`.
//!
//! The issuer is the URL itself, whatever the profile: `FastMCP`, which is modelled by [`Profile::SingleUse`], puts a slash
//! behind its own.

pub mod action;
mod answers;
mod clock;
pub mod control;
mod counters;
pub mod demo;
mod events;
pub mod fault;
mod oauth;
mod overrides;
mod page;
mod profile;
mod random;
mod resource;
mod revision;
mod router;
mod sandbox;
mod scenarios;
mod server;
mod settings;
mod state;
mod store;
mod trial;
mod wire;

pub use self::{
    action::{Action, ActionError},
    counters::{Counters, GrantSummary},
    events::{Mood, SandboxEvent},
    fault::{Endpoint, Fault, FaultKind, InvalidFault},
    profile::{Profile, UnknownProfile},
    revision::{Revision, UnknownRevision},
    sandbox::{Control, Sandbox, StartError},
    scenarios::{
        BuiltIn, CheckStatus, ClientEnd, ExpectationResult, Runs, ScenarioCheck, ScenarioError,
        ScenarioFile, ScenarioVerdict, SpecReference,
    },
    settings::{AuthMethod, ClientSpec, Rules, SandboxSettings},
    trial::{ClientCommand, ClientContext, ClientError, ScenarioReport, ScenarioTrial},
};
