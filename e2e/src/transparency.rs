//! The official conformance suite's `server` mode, sent to one and the same MCP server along several ways: what it sees
//! must not depend on the way. `e2e/servers/transparent.mjs` draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::home::{Home, authkeeper_binary};
use crate::http::form;
use crate::servers::Server;
use crate::{conformance_suite, node};

const TOKEN: &str = "the-token-of-the-transparent-server";
/// What follows a scenario's name in the name of its folder.
const STAMP: usize = "-2026-11-21T22-10-12-638Z".len();

/// A way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// With the token, and without authkeeper.
    Direct,
    /// Through `authkeeper serve`.
    Serve,
    /// Started on stdio, behind an adapter from HTTP.
    Stdio,
    /// Through `authkeeper mcp`, behind the same adapter.
    Bridge,
}

impl Way {
    /// Its name in the ready line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Serve => "serve",
            Self::Stdio => "stdio",
            Self::Bridge => "bridge",
        }
    }
}

/// What a check is called, and how it ended: with its message, in which numbers (ports, times, ids) are left out.
pub type Check = (String, String, String);

/// The checks of every scenario, in no order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(pub BTreeMap<String, Vec<Check>>);

impl Seen {
    fn read(folder: &Path) -> Self {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // server-SCENARIO-STAMP, and a scenario may be called server-… itself.
            let Some(name) = name.strip_prefix("server-") else {
                continue;
            };
            let Some(end) = name.len().checked_sub(STAMP) else {
                continue;
            };
            let scenario = name.chars().take(end).collect();
            all.insert(scenario, checks(&entry.path().join("checks.json")));
        }
        Self(all)
    }

    /// How many checks ended so.
    pub fn count(&self, status: &str) -> usize {
        let all = self.0.values().flatten();
        all.filter(|(_, ended, _)| ended == status).count()
    }

    /// How many checks there are.
    pub fn total(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The scenarios in which something is different.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let names = self.0.keys().chain(other.0.keys());
        let differs = |name: &&String| self.0.get(*name) != other.0.get(*name);
        names.filter(differs).cloned().collect()
    }

    /// The checks of a scenario that are not in this one.
    pub fn beyond(&self, other: &Self, scenario: &str) -> Vec<Check> {
        let theirs = other.0.get(scenario).cloned().unwrap_or_default();
        let ours = self.0.get(scenario).cloned().unwrap_or_default();
        let missing = ours.into_iter().filter(|check| !theirs.contains(check));
        missing.collect()
    }
}

fn checks(file: &Path) -> Vec<Check> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
    let word = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<Check> = all
        .iter()
        .map(|check| {
            let message = without_numbers(&word(check, "errorMessage"));
            (word(check, "id"), word(check, "status"), message)
        })
        .collect();
    all.sort();
    all
}

fn without_numbers(text: &str) -> String {
    text.split(|letter: char| letter.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("#")
}

/// The server, a home with a connection to it, and a daemon.
#[derive(Debug)]
pub struct Transparent<'a> {
    server: Server,
    requirements: &'static str,
    home: &'a Home,
    _daemon: Daemon<'a>,
}

impl<'a> Transparent<'a> {
    /// Starts the server of this name, and both of ours before it.
    pub fn start(home: &'a Home, upstream: &str) -> Self {
        let server = Server::transparent(&home.outside(), upstream, TOKEN);
        let key = home.secret_file("token", TOKEN);
        let key = key.to_str().expect("a path in UTF-8");
        let url = server.named("mcp").expect("it has one");
        let words = ["connect", "t", url, "--grant", "api_key", "--key-file", key];
        let _ = home.run(&words).expect_code(0);
        let daemon = Daemon::start(home, &[]);
        server.ctl(&format!(
            "serve?{}",
            form(&[
                ("port", &daemon.port.to_string()),
                ("path", "/mcp/t"),
                ("handle", &daemon.handle),
            ])
        ));
        let bridge = bridge_of(home);
        let bridge = bridge
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        server.ctl(&format!("bridge?{}", form(&bridge)));
        let requirements = if upstream == "own-2026" {
            "2026-07-28"
        } else {
            "2025-11-25"
        };
        Self {
            server,
            requirements,
            home,
            _daemon: daemon,
        }
    }

    /// Whether the server can be reached this way.
    pub fn has(&self, way: Way) -> bool {
        let counterpart = if way == Way::Bridge { Way::Stdio } else { way };
        self.server.named(counterpart.name()).is_some()
    }

    /// The requests that reached the server, by method and status.
    pub fn stats(&self) -> Value {
        self.server.ctl("stats")
    }

    /// Sends the suite along all these ways at once.
    pub fn along<const N: usize>(&self, ways: [Way; N]) -> [Seen; N] {
        std::thread::scope(|scope| {
            let walks = ways.map(|way| scope.spawn(move || self.walk(way)));
            walks.map(|walk| walk.join().expect("no panic"))
        })
    }

    fn walk(&self, way: Way) -> Seen {
        let url = self.server.named(way.name()).expect("there is such a way");
        let folder = self.home.outside().join(way.name());
        fs::create_dir_all(&folder).expect("our own directory");
        let log = fs::File::create(folder.join("log.txt")).expect("our own directory");
        // It ends with 1 where a check fails: that is for the comparison.
        Command::new(node())
            .arg(conformance_suite())
            .args(["server", "--url", url, "--requirements", self.requirements])
            // A busy machine is no finding.
            .args(["--timeout", "120000"])
            .arg("--output-dir")
            .arg(folder.join("results"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .status()
            .expect("Node runs");
        Seen::read(&folder.join("results"))
    }
}

/// How the adapter starts the bridge.
fn bridge_of(home: &Home) -> [(&'static str, String); 2] {
    let command = json!([authkeeper_binary(), "mcp", "t"]);
    let environment = json!({
        "HOME": home.path(),
        "XDG_CONFIG_HOME": home.config_dir(),
        "XDG_DATA_HOME": home.data_dir(),
        "XDG_RUNTIME_DIR": home.runtime_dir(),
        "PATH": "/usr/bin:/bin",
    });
    [
        ("command", command.to_string()),
        ("environment", environment.to_string()),
    ]
}
