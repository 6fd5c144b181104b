//! The command line as it is typed.

mod apply;
mod connect;
pub(crate) mod demo;
mod duration;
mod hold;
mod inspect;
mod mcp_config;
pub(crate) mod sandbox;
mod serve;

use std::{ffi::OsString, time::Duration};

use clap::{Args, Parser, Subcommand};

pub(crate) use self::apply::ApplyArgs;
pub(crate) use self::connect::{
    AssertionArgs, ClientArgs, ConnectArgs, ImportArgs, KeyArgs, ReauthorizeArgs, RequestArgs,
    RotateArgs, SecretSource, SignInArgs,
};
pub(crate) use self::inspect::{
    ConfigCommand, DoctorArgs, ManArgs, NotifyCommand, RotateKeyArgs, StatusArgs,
};
use self::{
    demo::{DemoArgs, JobArgs},
    sandbox::SandboxArgs,
};
pub(crate) use self::{
    duration::parse_duration,
    hold::HoldArgs,
    mcp_config::{McpClient, McpConfigArgs},
    serve::ServeArgs,
};

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
  authkeeper demo                                        see it work
  authkeeper connect notion https://mcp.notion.com/mcp   sign in once
  authkeeper run --with notion -- ./nightly.sh           outlives its tokens
  authkeeper mcp notion                                  for an MCP client
  printf 'Authorization: Bearer %s' \"$(authkeeper token notion)\" |
    curl -H @- https://…

Exit codes: 0 ok · 64 usage · 65 bad data · 66 no such connection
  69 provider unavailable, retry later · 70 bug · 74 store
  75 needs a person (sign in, decide) · 77 needs another policy or scope
  78 config; run: its command's own, 127 if there is no such command";

const RUN_EXAMPLES: &str = "\
Example, in a crontab:
  0 2 * * * authkeeper run --with notion --wait 15m -- $HOME/bin/nightly.sh

The command gets AUTHKEEPER_URL and AUTHKEEPER_TASK: a private loopback proxy
and the handle for it.
  printf 'X-Authkeeper-Task: %s' \"$AUTHKEEPER_TASK\" |
    curl -H @- \"$AUTHKEEPER_URL/c/notion\"

With --wait and --hold, what is missing at the start is waited for too. At the
end a table on stderr says how many calls, refreshes, waits and failures there
were; without a terminal only if a call failed or the start had to wait. With
--json it is one JSON line on stderr, always.

Exit codes: the command's own, but
  127 there is no such command
  126 it can't be executed
and, whatever the command returned, or if it was not started:
  69  the provider gave no token
  75  a person has to sign in
  77  the provider refuses this account
  78  the provider refuses our client, or a setting is wrong";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: the whole story in about a minute, without an account anywhere
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArgs),
    /// Sign in once: in a browser, on another device, as the client itself, or with an API key
    #[command(after_help = connect::CONNECT_EXAMPLES)]
    Connect(Box<ConnectArgs>),
    /// Connect what a file lists, and change what is otherwise
    #[command(after_help = apply::EXAMPLES)]
    Apply(ApplyArgs),
    /// The same sign-in again, in place
    #[command(
        after_help = "Examples:\n  authkeeper reauthorize notion\n  authkeeper reauthorize notion --device\n  \
        authkeeper reauthorize --all          one after the other, where one is needed"
    )]
    Reauthorize(ReauthorizeArgs),
    /// Take over a refresh token that another program was given
    #[command(after_help = connect::IMPORT_EXAMPLES)]
    Import(Box<ImportArgs>),
    /// Put a new API key or client secret in the place of the current one, which serves on for an overlap
    #[command(after_help = connect::ROTATE_EXAMPLES)]
    Rotate(RotateArgs),
    /// Seal the store with a new key, while other processes work
    #[command(after_help = inspect::ROTATE_KEY_EXAMPLES)]
    RotateKey(RotateKeyArgs),
    /// Revoke at the provider (RFC 7009) and forget
    Disconnect {
        /// The connection
        name: String,
        /// Forget it here even if the provider can't be asked to revoke it
        #[arg(long)]
        forget: bool,
    },
    /// Print a fresh access token
    #[command(
        after_help = "Example, with the token off the command line, where every user could read it:\n  \
        printf 'Authorization: Bearer %s' \"$(authkeeper token notion --min-ttl 10m)\" |\n    curl -H @- https://…"
    )]
    Token(TokenArgs),
    /// Show what is connected, how long it is good, and what needs a person
    #[command(after_help = inspect::STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// A stdio MCP server that bridges to the remote one
    #[command(
        after_help = "In an MCP client's config:\n  {\"mcpServers\": {\"notion\":\n    {\"command\": \
        \"authkeeper\", \"args\": [\"mcp\", \"notion\", \"--hold\", \"30m\"]}}}"
    )]
    Mcp(McpArgs),
    /// Print what puts the bridge into an MCP client's configuration, or write it there
    #[command(after_help = mcp_config::EXAMPLES)]
    McpConfig(McpConfigArgs),
    /// Run a command and keep its connections fresh for as long as it takes
    #[command(
        after_help = RUN_EXAMPLES
    )]
    Run(RunArgs),
    /// Keep everything that is connected fresh, and be an MCP endpoint for each on this machine
    #[command(after_help = serve::EXAMPLES)]
    Serve(ServeArgs),
    /// An authorization server, an MCP server and an API to try things on, with faults on demand
    #[command(after_help = sandbox::EXAMPLES)]
    Sandbox(SandboxArgs),
    /// The demo's job
    #[command(hide = true)]
    DemoJob(JobArgs),
    /// Who signs in in the demo
    #[command(hide = true)]
    DemoPerson {
        /// The sign-in page
        url: String,
    },
    /// Serve sign-in links for a bridge that holds calls
    #[command(hide = true)]
    Attend(AttendArgs),
    /// Look for everything that is wrong or soon will be, each with its fix
    #[command(after_help = inspect::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Make a real call over a connection, or over all of them
    #[command(after_help = inspect::CHECK_EXAMPLES)]
    Check {
        /// One connection
        name: Option<String>,
    },
    /// Tell the last incident of a connection in plain words: what happened, what it means now, what to do
    #[command(after_help = "Examples:\n  authkeeper why notion\n  authkeeper why notion --json")]
    Why {
        /// The connection
        name: String,
    },
    /// Say what was measured of each provider, beside how long runs take, and what follows from it
    Advise,
    /// Try how incidents are told: sends a test by every route
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a shell's completions, of connection names too
    #[command(after_help = inspect::COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Show the manual page, or write all of them
    #[command(after_help = inspect::MAN_EXAMPLES)]
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The connection
    pub(crate) name: String,
    /// The token should live at least this much longer; if the provider gives none that does, the reason is on stderr
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) min_ttl: Option<Duration>,
    /// Print no token that lives shorter than --min-ttl, and fail with 69
    #[arg(long, requires = "min_ttl")]
    pub(crate) require_ttl: bool,
    /// With --json, for a token that is bound to a key: the proof for one request to its server
    #[arg(long, value_name = "METHOD URL")]
    pub(crate) proof: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// The connection
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) hold: HoldArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AttendArgs {
    /// The connection
    pub(crate) name: String,
    /// For so long at most
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) limit: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A connection the command may use; may be given several times
    #[arg(long = "with", required = true, value_name = "NAME")]
    pub(crate) with: Vec<String>,
    /// Wait up to this long while a provider is unavailable: before the command is started, and in its calls (20s or
    /// more)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) hold: HoldArgs,
    /// Keep the access token in this file while the command runs, for a program that can't use the proxy; NAME= says
    /// whose, where there are several connections
    #[arg(long, value_name = "[NAME=]PATH")]
    pub(crate) token_file: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl Command {
    /// Whose standard output is not ours to print JSON on, and why.
    pub(crate) fn prints_its_own(&self) -> Option<(&'static str, &'static str)> {
        match self {
            // A run's JSON is on standard error.
            Self::Mcp(_) => Some(("mcp", "the MCP client's messages")),
            Self::Completions { .. } => Some(("completions", "a shell's script")),
            Self::Man(ManArgs { out: None }) => Some(("man", "a manual page")),
            _ => None,
        }
    }
}

/// The whole command line, for what is made of it.
pub(crate) fn whole() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    fn too_long(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string);
        let lines = help.iter().flat_map(|help| help.lines());
        let long = lines.filter(|line| line.chars().count() > 80);
        let own = long.map(|line| format!("{}: {line}", command.get_name()));
        let below = command.get_subcommands().flat_map(too_long);
        own.chain(below).collect()
    }

    #[test]
    fn examples_do_not_break_at_eighty_columns() {
        assert_eq!(too_long(&super::Cli::command()), Vec::<String>::new());
    }
}
