//! The commands, a file each.

pub(crate) mod advise;
pub(crate) mod attend;
pub(crate) mod check;
mod client_certificate;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod doctor;
mod health;
pub(crate) mod hold_flags;
pub(crate) mod import;
pub(crate) mod incident;
mod lost_answer;
pub(crate) mod manual;
pub(crate) mod mcp;
pub(crate) mod mcp_config;
pub(crate) mod notify;
pub(crate) mod rotate;
pub(crate) mod rotate_key;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod secret_input;
pub(crate) mod serve;
pub(crate) mod start_run;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod why;
