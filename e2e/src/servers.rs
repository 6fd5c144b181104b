//! Real servers as child processes: started on a port the system chooses, asked over `/__ctl`,
//! stopped when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::{http, node, python, script};

/// `FastMCP` takes some seconds to import on a busy machine.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    ready: Value,
    port: u16,
}

impl Server {
    /// oidc-provider: strict rotation, a second use of a refresh token kills the grant.
    ///
    /// `settings` are environment variables (`AT_TTL`, `RT_TTL`, `PORT`); `logs` is the directory
    /// for its standard error.
    pub fn oidc_provider(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(node());
        command.arg(script("oidc-provider.mjs"));
        Self::start("oidc-provider", command, logs, settings)
    }

    /// `FastMCP`: an MCP server that destroys the refresh token of an expired access token shown to
    /// it. Settings as above.
    pub fn fastmcp(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        command.arg(script("fastmcp_server.py"));
        Self::start("fastmcp", command, logs, settings)
    }

    /// django-oauth-toolkit: a second use of a refresh token gets the same answer within the grace
    /// period. Settings as above, and `GRACE`, `REUSE`, `ROTATE`.
    pub fn django(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        command.arg(script("django_server.py"));
        let settings = [settings, &[keeps_files_in(logs)]].concat();
        Self::start("django", command, logs, &settings)
    }

    /// `LemonLDAP::NG`, of Debian's packages: refresh tokens stay, a dead one is an `invalid_request`.
    /// Settings as for oidc-provider.
    pub fn lemonldap(logs: &Path, settings: &[(&str, &str)]) -> Self {
        Self::behind_front("lemonldap", logs, settings)
    }

    /// authgent-server: families of refresh tokens, and no revocation for a public client. Settings as
    /// for oidc-provider.
    pub fn authgent(logs: &Path, settings: &[(&str, &str)]) -> Self {
        Self::behind_front("authgent", logs, settings)
    }

    fn behind_front(name: &'static str, logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        command.arg(script(&format!("{name}_server.py")));
        let settings = [settings, &[keeps_files_in(logs)]].concat();
        Self::start(name, command, logs, &settings)
    }

    /// A proxy, and servers that only it can find: see `corporate_network.py`.
    pub fn corporate(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        command.arg(script("corporate_network.py"));
        Self::start("corporate", command, logs, settings)
    }

    /// oidc-provider with an nginx that asks for client certificates before its token endpoint and its API: see
    /// `mtls_server.py`. Settings as for oidc-provider.
    pub fn mutual_tls(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        command.arg(script("mtls_server.py"));
        let settings = [settings, &[keeps_files_in(logs)]].concat();
        Self::start("mutual-tls", command, logs, &settings)
    }

    /// nginx with TLS at `port` before the server at `upstream`, with this location block: see `reverse_proxy.py`.
    pub fn reverse_proxy(logs: &Path, (port, upstream): (u16, u16), location: &str) -> Self {
        let mut command = Command::new(python());
        command.arg(script("reverse_proxy.py"));
        let (port, upstream) = (port.to_string(), upstream.to_string());
        let settings = [
            ("PORT", port.as_str()),
            ("UPSTREAM", &upstream),
            ("LOCATION", location),
        ];
        Self::start("reverse-proxy", command, logs, &settings)
    }

    /// `FastMCP` with API keys in the place of OAuth.
    pub fn with_keys(logs: &Path, keys: &[&str]) -> Self {
        let mut command = Command::new(python());
        command.arg(script("keys_server.py"));
        Self::start("keys", command, logs, &[("KEYS", &keys.join(","))])
    }

    /// The TypeScript MCP SDK's example: an MCP server without refresh tokens, and an authorization
    /// server on another port. It knows itself as `localhost` only: see [`Self::resource`].
    pub fn mcp_example(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(node());
        command.arg(script("mcp_example.mjs"));
        Self::start("mcp-example", command, logs, settings)
    }

    /// A server of one era behind a front that wants this key: `new` is the TypeScript SDK 2 that knows
    /// 2026-07-28 only, `old` is server-everything, that knows 2025-11-25 and before.
    pub fn of_era(logs: &Path, era: &str, key: &str) -> Self {
        let mut command = Command::new(node());
        command.arg(script("era_server.mjs"));
        Self::start("era", command, logs, &[("ERA", era), ("KEY", key)])
    }

    /// haproxy before the nodes at these ports, with a cookie for a session: see `balancer.py`.
    pub fn balancer(logs: &Path, nodes: &str) -> Self {
        let mut command = Command::new(python());
        command.arg(script("balancer.py"));
        // Debian has it where only the superuser looks.
        let settings = [("NODES", nodes), ("PATH", "/usr/sbin:/usr/bin:/bin")];
        Self::start("balancer", command, logs, &settings)
    }

    /// The server that misbehaves: each fault under its own path.
    pub fn faulty(logs: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python());
        command.arg(script("faulty.py"));
        Self::start("faulty", command, logs, settings)
    }

    /// A receiver of webhooks signed with this secret.
    pub fn webhook(logs: &Path, secret: &str) -> Self {
        let mut command = Command::new(python());
        command.arg(script("webhook_receiver.py"));
        Self::start("webhook", command, logs, &[("SECRET", secret)])
    }

    /// A mailbox, Slack's incoming webhooks and ntfy, which check what they get: see `notification_receiver.py`. The mail
    /// account is `jobs`.
    pub fn notifications(logs: &Path, password: &str, token: &str) -> Self {
        let mut command = Command::new(python());
        command.arg(script("notification_receiver.py"));
        let settings = [("USER", "jobs"), ("PASSWORD", password), ("TOKEN", token)];
        Self::start("notifications", command, logs, &settings)
    }

    /// An MCP server that wants this token, and the ways to it that are compared: see `transparent.mjs`.
    pub fn transparent(logs: &Path, upstream: &str, token: &str) -> Self {
        let mut command = Command::new(node());
        command.arg(script("transparent.mjs"));
        let settings = [("UPSTREAM", upstream), ("TOKEN", token)];
        Self::start("transparent", command, logs, &settings)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        logs: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let log = free_name(logs, name);
        let child = command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            // The pipe closes even if this process is killed: no server is left behind.
            .env("EXIT_WITH_STDIN", "1")
            .env("PORT", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the log directory is writable"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let mut server = Self {
            name,
            child,
            ready: Value::Null,
            port: 0,
        };
        server.await_ready(&log);
        server
    }

    fn await_ready(&mut self, log: &Path) {
        let stdout = self.child.stdout.take().expect("stdout is piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // After the ready line nobody listens; reading on keeps the pipe from filling up.
                let _ = sender.send(line);
            }
        });
        let Ok(line) = receiver.recv_timeout(READY_WITHIN) else {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            panic!("{} did not get ready: {said}", self.name);
        };
        self.ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{} said {line:?} instead of being ready", self.name));
        let port = self.ready["port"]
            .as_u64()
            .expect("the ready line names the port");
        self.port = u16::try_from(port).expect("a port");
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The issuer, byte for byte as its metadata spells it (`FastMCP`'s ends with a slash).
    pub fn issuer(&self) -> &str {
        self.ready["issuer"]
            .as_str()
            .expect("this server has one issuer")
    }

    /// The protected resource, as the server itself spells its URL.
    pub fn resource(&self) -> &str {
        let url = self.ready["mcp"].as_str();
        url.or(self.ready["api"].as_str())
            .expect("this server has one resource")
    }

    /// A URL that its ready line names.
    pub fn named(&self, what: &str) -> Option<&str> {
        self.ready[what].as_str()
    }

    /// A number that its ready line names.
    pub fn number(&self, what: &str) -> u64 {
        self.ready[what].as_u64().expect("the ready line names it")
    }

    /// The URL of a path, which starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks `/__ctl/{operation}`, for example `stats` or `hold?mode=after`.
    pub fn ctl(&self, operation: &str) -> Value {
        let answer = http::get(self.port, &format!("/__ctl/{operation}"))
            .unwrap_or_else(|error| panic!("{}: {operation}: {error}", self.name));
        assert_eq!(answer.status, 200, "{}: {operation}", self.name);
        answer.json()
    }

    /// One number of `/__ctl/stats`: `count("received", "refresh_token")`; 0 if there is none.
    pub fn count(&self, table: &str, key: &str) -> u64 {
        self.ctl("stats")[table][key].as_u64().unwrap_or(0)
    }

    /// How many access tokens were shown to the protected resource in this state (`valid`,
    /// `expired`, `revoked` or `replaced`, `unknown`).
    pub fn presented(&self, state: &str) -> usize {
        let presented = self.ctl("presented");
        let all = presented.as_array().expect("a list");
        all.iter().filter(|shown| shown["state"] == state).count()
    }

    /// Stops it at once, as dropping does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its own process group: whatever it started goes with it.
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Its files lie in a directory of its own, which a killed server leaves behind.
fn keeps_files_in(logs: &Path) -> (&'static str, &str) {
    ("TMPDIR", logs.to_str().expect("a path in UTF-8"))
}

/// `name.log`, `name.2.log`, …: a restarted server does not overwrite its first life.
fn free_name(logs: &Path, name: &str) -> PathBuf {
    let mut path = logs.join(format!("{name}.log"));
    let mut life = 1;
    while path.exists() {
        life += 1;
        path = logs.join(format!("{name}.{life}.log"));
    }
    path
}
