//! What is typed to see how things stand.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::duration::parse_duration;

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  authkeeper doctor                      what is wrong or soon will be
  authkeeper doctor --verbose --offline  what is right too; no provider is asked
  authkeeper doctor --repair             save what is left of a damaged store
  mkdir -p ~/.config/authkeeper/profiles
  authkeeper doctor --snapshot > ~/.config/authkeeper/profiles/prod.json
  authkeeper doctor --against prod       where this installation differs from it
  authkeeper doctor --against ./prod.json
  authkeeper doctor --reread notion      after an upgrade, or with tokens_in set

A snapshot holds settings, servers, scopes and lifetimes: no secrets, no paths.

Exit codes, the worst finding's: 0 nothing worse than a warning
  74 the store
  78 the configuration, permissions, or a difference from the profile
  75 a person must act
  69 the provider's answer is awaited, or it gives none where no token is
     left; also a repair while other processes use the store
  65 the profile, or a kept answer, can't be read
  66 there is no such connection (--reread)";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  authkeeper status             what is connected, and what needs a person
  authkeeper status --check     the same, with an exit code for a monitor
  authkeeper status --nagios    one line for Nagios, Icinga, Sensu and others
  authkeeper status --json | jq '.[].health'

Exit codes of --check, the worst connection's: 0 calls work, or authkeeper is
about to heal it while they do
  66 nobody is signed in, or it is disconnected
  69 the provider gives no token      75 a person must act
  77 it refuses this account          78 our client is refused

Exit codes of --nagios: 0 OK, 1 WARNING (works until its token ends, or
something is to be known), 2 CRITICAL (calls fail now), 3 UNKNOWN";

/// What is shown of connections.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// One connection
    pub(crate) name: Option<String>,
    /// End with an exit code that says whether calls work
    #[arg(long, conflicts_with = "nagios")]
    pub(crate) check: bool,
    /// Print one line in the format of monitoring plugins, and end with 0 to 3
    #[arg(long)]
    pub(crate) nagios: bool,
}

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  authkeeper check notion      one call: the check URL, the provider's usual
                               one, or the MCP server's tools/list
  authkeeper check             one call over each connection
  authkeeper check notion --json

Exit codes, of several connections the worst's: 0 it answered
  65 its answer can't be understood    66 there is no such connection
  69 it can't be reached now           74 the store
  75 a person must act                 77 it refuses this account
  78 the configuration, the key, or our client's secret";

pub(super) const ROTATE_KEY_EXAMPLES: &str = "\
Examples:
  authkeeper rotate-key
  authkeeper rotate-key --wait 10m    wait for runs that began before

Everything stays readable at every moment, whatever ends this command. The old
key goes once nothing is sealed with it and no process holds it; until then the
key file holds both, and the same command goes on with it. A backup of the
store opens only with the key of its day: keep that with it.

Exit codes: 0 the new key is in use and the old one is gone
  64 the key is outside the store's folder: see --no-other-store
  75 the new key is in use; run it again once the old one is free
  74 the key or the store can't be written";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  echo 'source <(authkeeper completions bash)' >> ~/.bashrc

  echo 'source <(authkeeper completions zsh)' >> ~/.zshrc

  mkdir -p ~/.config/fish/completions
  echo 'authkeeper completions fish | source' \\
    > ~/.config/fish/completions/authkeeper.fish

Commands, options and the names of connections are completed: the script asks
authkeeper at each TAB. It belongs to this version, so that a shell had better
read it at its start, as above, than from a file.";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  authkeeper man                  show it in your pager
  authkeeper man > authkeeper.1
  authkeeper man --out ~/.local/share/man/man1";

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch on the command line"
)]
pub(crate) struct DoctorArgs {
    /// Save what can be read of a damaged store into a new one; the damaged file is kept
    #[arg(long)]
    pub(crate) repair: bool,
    /// No other copy of this store is used any more: it may spend its refresh tokens
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Read answers for NAME again that could not be read when they came
    #[arg(long, value_name = "NAME", conflicts_with_all = ["snapshot", "against", "adopt", "repair"])]
    pub(crate) reread: Option<String>,
    /// Show what is right, too
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Ask no provider
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print what matters of this installation, to compare another one with
    #[arg(long, conflicts_with_all = ["repair", "against"])]
    pub(crate) snapshot: bool,
    /// Compare with a snapshot: a file, or NAME for profiles/NAME.json beside the configuration file
    #[arg(long, value_name = "PROFILE", conflicts_with = "repair")]
    pub(crate) against: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RotateKeyArgs {
    /// How long to wait for processes that began with the old key
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// No other store is sealed with the key file, which is outside the store's folder
    #[arg(long)]
    pub(crate) no_other_store: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Tell everybody who would be told, that nothing is wrong
    #[command(
        after_help = "Examples:\n  authkeeper notify test\n  authkeeper notify test --json\n\nExit codes: 69 somebody \
        could not be told · 78 nobody is to be told"
    )]
    Test,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting with its value and where that comes from
    #[command(
        after_help = "Examples:\n  authkeeper config show\n  authkeeper config show --json\n\nOf a command only its first \
        word is shown."
    )]
    Show,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
