//! The command line as it is typed.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{commands::sandbox::SandboxArgs, settings::parse_duration};

/// OAuth that survives the night: connect once, then unattended runs outlive their tokens.
#[derive(Debug, Parser)]
#[command(name = "authkeeper", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  authkeeper connect notion https://mcp.notion.com/mcp     sign in once, in a browser
  authkeeper run --with notion -- ./nightly.sh             a run that outlives its tokens
  authkeeper mcp notion                                    put this in any MCP client's config
  printf 'Authorization: Bearer %s' \"$(authkeeper token notion)\" | curl -H @- https://…

Exit codes: 0 ok · 64 usage · 65 bad data · 66 no such connection · 69 provider unavailable, retry later ·
70 bug · 74 store · 75 a person can mend it · 77 nobody can without changing policy or scope · 78 config";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in once, in a browser
    #[command(
        after_help = "Examples:\n  authkeeper connect notion https://mcp.notion.com/mcp\n  authkeeper connect \
        api https://api.example/v1 --issuer https://login.example --client-id abc --scope 'openid offline_access'"
    )]
    Connect(ConnectArgs),
    /// The same sign-in again, in place
    Reauthorize(ReauthorizeArgs),
    /// Revoke at the provider (RFC 7009) and forget
    Disconnect {
        /// The connection
        name: String,
    },
    /// Print a fresh access token
    #[command(
        after_help = "Example, with the token off the command line, where every user could read it:\n  printf \
        'Authorization: Bearer %s' \"$(authkeeper token notion --min-ttl 10m)\" | curl -H @- https://…"
    )]
    Token(TokenArgs),
    /// Show what is connected, how long it is good, and what needs a person
    Status {
        /// One connection
        name: Option<String>,
    },
    /// A stdio MCP server that bridges to the remote one
    #[command(
        after_help = "In an MCP client's config:\n  {\"mcpServers\": {\"notion\": {\"command\": \
        \"authkeeper\", \"args\": [\"mcp\", \"notion\"]}}}"
    )]
    Mcp {
        /// The connection
        name: String,
    },
    /// Run a command and keep its connections fresh for as long as it takes
    #[command(
        after_help = "Example, in a crontab:\n  0 2 * * * authkeeper run --with notion -- \
        $HOME/bin/nightly.sh\n\nThe command gets AUTHKEEPER_URL and AUTHKEEPER_TASK: a private loopback proxy and \
        the handle for it.\n  printf 'X-Authkeeper-Task: %s' $AUTHKEEPER_TASK | curl -H @- $AUTHKEEPER_URL/c/notion"
    )]
    Run(RunArgs),
    /// An authorization server, an MCP server and an API to try things on, with faults on demand
    #[command(after_help = crate::commands::sandbox::EXAMPLES)]
    Sandbox(SandboxArgs),
    /// Check the store and the key; repair a damaged store
    Doctor {
        /// Save what can be read of a damaged store into a new one; the damaged file is kept
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// What to call it
    pub(crate) name: String,
    /// The MCP server or API
    pub(crate) url: String,
    /// On whose authority calls are made
    #[arg(long, default_value = "local")]
    pub(crate) principal: String,
    /// Plain OAuth without MCP: the authorization server's issuer
    #[arg(long)]
    pub(crate) issuer: Option<String>,
    /// The resource to ask tokens for (RFC 8707), if the server's metadata does not say it
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// The scopes to ask for, separated by spaces
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// A client id registered by hand
    #[arg(long)]
    pub(crate) client_id: Option<String>,
    /// The file that holds its secret
    #[arg(long, requires = "client_id")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The URL of a client metadata document that serves as client id
    #[arg(long)]
    pub(crate) client_metadata_url: Option<String>,
    #[command(flatten)]
    pub(crate) sign_in: SignInArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SignInArgs {
    /// The port on 127.0.0.1 that the sign-in comes back to
    #[arg(long)]
    pub(crate) callback_port: Option<u16>,
    /// How long to wait for the sign-in
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ReauthorizeArgs {
    /// The connection
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) sign_in: SignInArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The connection
    pub(crate) name: String,
    /// The token should live at least this much longer
    #[arg(long, value_parser = parse_duration)]
    pub(crate) min_ttl: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A connection the command may use; may be given several times
    #[arg(long = "with", required = true, value_name = "NAME")]
    pub(crate) with: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
