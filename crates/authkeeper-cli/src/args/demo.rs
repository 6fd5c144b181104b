//! The arguments of `demo`.

use std::path::PathBuf;

use clap::Args;

pub(crate) const EXAMPLES: &str = "\
Examples:
  authkeeper demo                     a minute; no account, nothing left behind
  authkeeper demo --browser           you sign in yourself
  authkeeper demo --without-refresh   the same job as most programs do it today

What it claims is compared with what the sandbox counted.

Exit codes: 0 every claim holds · 70 one does not (the folder is kept)
  75 with --without-refresh, where the job must fail · 130 stopped by Ctrl-C";

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Sign in yourself, in your browser
    #[arg(long, conflicts_with = "without_refresh")]
    pub(crate) browser: bool,
    /// The job gets one key and holds it to the end; it fails, and this says so (exit code 75)
    #[arg(long)]
    pub(crate) without_refresh: bool,
    /// Keep the temporary folder with the store, the configuration and the logs
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The connection
    pub(crate) name: String,
    /// Where it notes what it did; a restarted job goes on from there
    #[arg(long)]
    pub(crate) log: PathBuf,
    /// How many calls are under way at once
    #[arg(long, default_value_t = 4)]
    pub(crate) workers: u32,
    /// How long a worker rests after a call, in milliseconds
    #[arg(long, default_value_t = 350)]
    pub(crate) rest: u64,
    /// Ends by itself after this many seconds
    #[arg(long, default_value_t = 180)]
    pub(crate) seconds: u64,
    /// Without authkeeper: the API's URL; the key is read from standard input and kept to the end
    #[arg(long)]
    pub(crate) direct: Option<String>,
}
