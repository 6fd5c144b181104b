//! The demo: a job that outlives its tokens, an outage and a kill, played with a sandbox in about a minute.
//!
//! Every step is a real command of the binary that plays it. At the end the demo's claims are compared with the
//! sandbox's counters. The command line hands in the binary, the environment and the terminal.
//!
//! ```text
//! play ─▶ story, without_refresh ─▶ scene ─┬─▶ workspace  the folder, the commands
//!                                          ├─▶ screen     lines that stay; timeline, redrawn in place
//!                                          └─▶ job_log    what the job did
//! facts ─▶ claims   what the demo claims, and whether it holds
//! job, person       the job, and the person who signs in: hidden commands
//! ```

mod claims;
mod error;
mod facts;
mod http;
mod job;
mod job_log;
mod person;
mod play;
mod scene;
mod screen;
mod story;
mod terminal;
mod timeline;
mod traces;
mod without_refresh;
mod workspace;

pub use self::{
    claims::DemoClaim,
    error::DemoError,
    job::{JobAccess, JobError, JobOptions, work},
    person::{SignInError, sign_in},
    play::{Demo, DemoOptions, DemoOutcome, DemoReport, Story},
    terminal::{DemoTerminal, Tone},
    workspace::Workspace,
};
