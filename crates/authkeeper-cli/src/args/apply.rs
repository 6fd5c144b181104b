//! What is typed to connect what a file lists.

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Examples:
  authkeeper apply                          connections.toml beside config.toml
  authkeeper apply ./connections.toml
  authkeeper apply --check --json           in CI: changes nothing

connections.toml has a table for each connection; its keys are the flags of
connect:
  [notion]
  url = \"https://mcp.notion.com/mcp\"

  [orders]
  url = \"https://api.example/v1\"
  issuer = \"https://login.example\"
  grant = \"client_credentials\"
  client-id = \"job\"
  client-secret-file = \"orders.secret\"    # beside connections.toml
  param = [\"audience=orders\"]

What is connected and not listed is left alone.

Exit codes: 0 everything is as listed · 78 something would change (--check), or
the file can't be understood · 64 a connection can't be changed in place
else the gravest of the sign-ins that failed";

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The file [default: connections.toml beside the configuration file]
    pub(crate) file: Option<PathBuf>,
    /// Change nothing, and fail if something would change
    #[arg(long)]
    pub(crate) check: bool,
}
