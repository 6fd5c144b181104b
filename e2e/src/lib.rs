//! The test ground: real servers, a user's home, and a search for leaked secrets.
//!
//! - [`servers`] starts oidc-provider, django-oauth-toolkit, `FastMCP`, `LemonLDAP::NG`, authgent-server,
//!   the TypeScript SDK's example, a corporate network and the misbehaving server, and asks them what they saw.
//! - [`recorder`] plays one script against several authorization servers and compares what they
//!   answered; [`browser`] signs a person in.
//! - [`sandbox`] runs our own, which is compared with them; [`provider`] is any of them.
//! - [`home`] is a user's home directory in which `authkeeper` and other programs run.
//! - [`moved_clock`] lets hours pass within seconds.
//! - [`ground`] is a home with one good connection beside the misbehaving server.
//! - [`next_step`] reads the next step that a failed command prints.
//! - [`power`] cuts the power: what was not synced is gone.
//! - [`secrets`] searches everything a test left behind for everything the servers issued.
//! - [`conformance`] runs the official MCP conformance suite.
//! - [`refreshing`] plays the sandbox's built-in scenarios with authkeeper and with other people's clients.
//! - [`scenario`] is what the acceptance tests have in common.
//! - [`workers`] lets six processes hammer one connection while faults strike.
//! - [`soak`] lets bridges work for an hour while faults strike, and compares what failed with the sandbox's truth.
//! - [`transparency`] sends the conformance suite to one server along several ways.
//! - [`listener`] keeps the requests that it got; [`http`] and [`wait`] are the small tools of the others.
//!
//! The servers come from `e2e/servers/install.sh`, which `./test.sh` runs first. Everything here
//! fails its test by panicking: there is nobody to hand an error to.
#![expect(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a harness fails its test by panicking"
)]

pub mod browser;
pub mod compatibility;
pub mod conformance;
pub mod daemon;
pub mod ground;
pub mod home;
pub mod http;
pub mod listener;
pub mod moved_clock;
pub mod next_step;
pub mod power;
pub mod provider;
pub mod random;
pub mod recorder;
pub mod refreshing;
pub mod sandbox;
pub mod scenario;
pub mod secrets;
pub mod servers;
pub mod soak;
pub mod terminal;
pub mod transparency;
pub mod wait;
pub mod workers;

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e lies in the repository")
        .to_path_buf()
}

/// A file of `e2e/servers`.
pub fn script(name: &str) -> PathBuf {
    repository().join("e2e/servers").join(name)
}

/// The Python that has `FastMCP`, the MCP SDK, django-oauth-toolkit and authgent-server.
pub fn python() -> PathBuf {
    installed("venv/bin/python")
}

/// The Node 22 that oidc-provider needs, which has the TypeScript MCP SDK too.
pub fn node() -> PathBuf {
    installed("npm/node_modules/.bin/node")
}

/// The conformance suite's program, for Node 22.
pub fn conformance_suite() -> PathBuf {
    installed("npm/node_modules/@modelcontextprotocol/conformance/dist/index.js")
}

/// MCP Inspector, for Node 22.
pub fn inspector() -> PathBuf {
    installed("npm/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
}

fn installed(path: &str) -> PathBuf {
    let path = repository().join(".servers").join(path);
    assert!(
        path.exists(),
        "{} is missing: run e2e/servers/install.sh",
        path.display()
    );
    path
}
