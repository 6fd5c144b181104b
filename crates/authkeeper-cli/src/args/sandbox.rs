//! The arguments of `sandbox`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use authkeeper_sandbox::{Fault, Profile, Revision};
use clap::Args;

use super::duration::parse_duration;

pub(crate) const EXAMPLES: &str = "\
Examples:
  url=$(authkeeper sandbox --background --ttl 20s)    a free port
  authkeeper connect try \"$url/mcp\"                 sign in as alice or bob
  authkeeper sandbox --profile grace --auto-approve   like django-oauth-toolkit
  authkeeper sandbox --fault status=503,times=3,at=refresh --fault cut,times=1
  authkeeper sandbox --scenario night.toml            faults, then a verdict

How does your own MCP client refresh? It gets the server's URL as its last
argument and MCP_CONFORMANCE_… variables, as from the official suite:
  authkeeper sandbox --list-scenarios
  authkeeper sandbox --scenario early-401 -- node my_client.mjs
  authkeeper sandbox --scenario all --json -- ./my_client

Profiles: strict, single-use, grace, idempotent-replay, two-generation,
dies-with-access-token, burns-on-error, no-rotation.

Faults: early-401, status=CODE, cut, outage, slow=TIME, slow-answer=TIME,
answer-lost, html, proxy-page, wrong-type, truncated, huge, no-expires-in,
error-in-200=CODE; each with times=N, at=ENDPOINT, user=U, client=C,
retry_after=TIME.

Open the printed URL in a browser to watch and to break things. Scripts do the
same; /control lists all there is:
  curl \"$url/control\"
  curl -d '{\"do\": \"disable alice\"}' \"$url/control/do\"
Ctrl-C stops it; in the background, kill with the number that is printed.

Exit codes: 0 stopped, or the scenario is met · 64 usage, or no such scenario
65 the scenario is not met or can't be read · 69 port taken";

#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Go on in the background, and print the URL once it serves; fails if the port is taken
    #[arg(long, conflicts_with_all = ["scenario", "list_scenarios"])]
    pub(crate) background: bool,
    /// How long access tokens live [default: 5m]
    #[arg(long, value_parser = parse_duration)]
    pub(crate) ttl: Option<Duration>,
    /// How long refresh tokens live [default: 1d]
    #[arg(long, value_parser = parse_duration)]
    pub(crate) refresh_ttl: Option<Duration>,
    /// How refresh tokens behave [default: strict]
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// Something that goes wrong; may be given several times
    #[arg(long = "fault", value_name = "SPEC")]
    pub(crate) faults: Vec<Fault>,
    /// A built-in scenario, all of them, or a file: a timeline of faults and what is expected at the end (TOML)
    #[arg(long, value_name = "NAME|all|FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// List the built-in scenarios: what each does and what it wants
    #[arg(long)]
    pub(crate) list_scenarios: bool,
    /// The revision of MCP in a built-in scenario [default: 2025-11-25]
    #[arg(long, value_name = "REVISION", requires = "scenario")]
    pub(crate) spec_version: Option<Revision>,
    /// How long the client may take
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s", requires = "client")]
    pub(crate) timeout: Duration,
    /// Sign everybody in without asking
    #[arg(long)]
    pub(crate) auto_approve: bool,
    /// The client to try, which gets the server's URL as its last argument
    #[arg(last = true, value_name = "CLIENT", requires = "scenario")]
    pub(crate) client: Vec<OsString>,
}
