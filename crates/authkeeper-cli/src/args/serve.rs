//! What is typed to start the daemon.

use clap::Args;

use super::hold::HoldArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  authkeeper serve
  authkeeper serve --hold 30m         calls wait while a person signs in
  authkeeper serve --print-handle     what a program shows to be let in
  claude mcp add --transport http notion http://127.0.0.1:8417/mcp/notion \\
    --header \"Authorization: Bearer $(authkeeper serve --print-handle)\"
  curl http://127.0.0.1:8417/healthz  503 while a connection needs attention

Only this machine reaches it. A client needs no sign-in of its own: it sends the
handle, and authkeeper puts the token in its place. SIGTERM or Ctrl-C lets the
calls under way finish; a second one doesn't.

Exit codes: 0 stopped · 64 usage · 69 port taken · 74 store
78 the handle's file is unusable";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The port on the loopback, IPv4 and IPv6; 0 takes a free one
    #[arg(long, default_value_t = 8417)]
    pub(crate) port: u16,
    /// Print the handle instead, made now if there is none yet
    #[arg(long, conflicts_with = "port")]
    pub(crate) print_handle: bool,
    #[command(flatten)]
    pub(crate) hold: HoldArgs,
}
