//! What is typed to let calls wait for a person.

use std::time::Duration;

use clap::Args;

use super::duration::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// Let calls wait up to this long while a person signs in, instead of failing
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) hold: Option<Duration>,
    /// Open a browser for that person: one tab, however many processes wait
    #[arg(long, requires = "hold")]
    pub(crate) open_browser: bool,
}
