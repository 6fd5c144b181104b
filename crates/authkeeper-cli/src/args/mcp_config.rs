//! What is typed to put the bridge into an MCP client's configuration.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::hold::HoldArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  authkeeper mcp-config notion --client claude-code           print it
  authkeeper mcp-config notion --client claude-code --write   put it there
  authkeeper mcp-config notion --client cursor --hold 30m     calls may wait
  authkeeper mcp-config notion --client vscode --write --file .vscode/mcp.json
  authkeeper mcp-config notion --client codex --json

--write keeps everything else in the file, comments too, shows what changes and
leaves the old file beside it. Nothing is changed where it is there already.
A YAML file (goose) is not edited: --write shows what to paste into it.

Exit codes: 0 printed, written or there · 64 another server has the name: see
--force, or the file is YAML · 65 the file is torn or too strange to edit ·
74 it can't be written";

/// A program that starts MCP servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum McpClient {
    ClaudeCode,
    ClaudeDesktop,
    Cursor,
    Vscode,
    Zed,
    Inspector,
    Codex,
    GeminiCli,
    Goose,
}

#[derive(Debug, Args)]
pub(crate) struct McpConfigArgs {
    /// The connection
    pub(crate) name: String,
    /// The MCP client
    #[arg(long)]
    pub(crate) client: McpClient,
    #[command(flatten)]
    pub(crate) hold: HoldArgs,
    /// Put it into the client's configuration file
    #[arg(long)]
    pub(crate) write: bool,
    /// The configuration file [default: the user's own of that client]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Replace a server of this name that starts something else
    #[arg(long, requires = "write")]
    pub(crate) force: bool,
}
