//! What it costs to have authkeeper in the middle: whole processes, beside mcp-remote in the same run.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use authkeeper_sandbox::{AuthMethod, ClientSpec, Rules, Sandbox, SandboxSettings};
use tempfile::TempDir;

use crate::{processes::binary, report::Watch};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A home with one connection, `c`, to the sandbox's MCP server, and a token for who goes there directly.
#[derive(Debug)]
pub struct Ground {
    home: TempDir,
    sandbox: Sandbox,
    token: String,
}

impl Ground {
    /// Connects it.
    ///
    /// # Panics
    ///
    /// When the binary is not built, or does not connect.
    pub async fn start() -> Self {
        let own = ClientSpec::secret("own", AuthMethod::Basic, "own-secret");
        let settings = SandboxSettings {
            rules: Rules {
                ttl: Duration::from_hours(1),
                ..Rules::default()
            },
            clients: vec![own],
            ..SandboxSettings::default()
        };
        let sandbox = Sandbox::start(settings).await.expect("a free port");
        let mut ground = Self {
            home: tempfile::tempdir().expect("a temporary folder"),
            sandbox,
            token: String::new(),
        };
        let secret = ground.home.path().join("secret");
        fs::write(&secret, "own-secret").expect("room");
        let secret = secret.to_str().expect("UTF-8");
        ground.ask(&[
            "connect",
            "c",
            &ground.mcp(),
            "--grant",
            "client_credentials",
            "--client-id",
            "own",
            "--client-secret-file",
            secret,
        ]);
        ground.token = ground.ask(&["token", "c"]);
        ground
    }

    /// How many MCP messages reached the server.
    pub fn calls(&self) -> u64 {
        self.sandbox.counters().mcp_calls
    }

    fn mcp(&self) -> String {
        format!("{}/mcp", self.sandbox.url())
    }

    fn ask(&self, words: &[&str]) -> String {
        let output = self
            .command(&binary())
            .args(words)
            .stderr(Stdio::inherit())
            .output();
        let output = output.expect("the binary runs");
        assert!(output.status.success(), "{words:?} failed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    /// `authkeeper mcp c`.
    pub fn bridge(&self) -> Bridge {
        let mut command = self.command(&binary());
        command.args(["mcp", "c"]);
        Bridge::start(command)
    }

    /// mcp-remote, whose token is given: it is spared its sign-in. None where it is not installed.
    pub fn mcp_remote(&self) -> Option<Bridge> {
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.servers/npm/node_modules");
        let program = servers.join("mcp-remote/dist/proxy.js");
        if !program.exists() {
            return None;
        }
        let mut command = self.command(&servers.join(".bin/node"));
        let header = format!("Authorization: Bearer {}", self.token);
        command
            .arg(program)
            .arg(self.mcp())
            .args(["--allow-http", "--header", &header]);
        Some(Bridge::start(command))
    }

    /// The server itself.
    pub fn direct(&self) -> Line {
        Line::open(self.sandbox.url(), "/mcp", &self.token)
    }

    /// `authkeeper serve`.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub fn daemon(&self) -> Daemon {
        let mut command = self.command(&binary());
        command
            .args(["serve", "--port", "0", "--json"])
            .stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut line).expect("it gets ready");
        let url = line
            .split(r#""url":""#)
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        Daemon {
            url: url.expect("it says its URL").to_owned(),
            handle: self.ask(&["serve", "--print-handle"]),
            child,
        }
    }
}

/// A running `authkeeper serve`.
#[derive(Debug)]
pub struct Daemon {
    url: String,
    handle: String,
    child: Child,
}

impl Daemon {
    /// Through `/mcp/c`.
    pub fn line(&self) -> Line {
        Line::open(&self.url, "/mcp/c", &self.handle)
    }

    /// What it takes in memory.
    pub fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process takes in memory, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All that is in memory of what it maps.
    pub resident: u64,
    /// The same, with what several processes share divided among them.
    pub proportional: u64,
}

impl Memory {
    fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number
                .and_then(|number| number.parse().ok())
                .unwrap_or_default()
        };
        Self {
            resident: field("Rss:"),
            proportional: field("Pss:"),
        }
    }
}

/// A stdio MCP server.
#[derive(Debug)]
pub struct Bridge {
    started: Watch,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Bridge {
    fn start(mut command: Command) -> Self {
        let started = Watch::start();
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = piped.spawn().expect("it runs");
        Self {
            started,
            input: child.stdin.take().expect("it is piped"),
            output: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        }
    }

    fn say(&mut self, message: &str) {
        let line = format!("{message}\n");
        self.input.write_all(line.as_bytes()).expect("it reads");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        assert!(line.contains(r#""result""#), "no result: {line}");
        line
    }

    /// How long it took from its start until `initialize` was answered.
    pub fn initialize(&mut self) -> Duration {
        self.say(INITIALIZE);
        self.answer();
        let took = self.started.elapsed();
        self.say(INITIALIZED);
        took
    }

    /// One call.
    pub fn call(&mut self) -> Duration {
        let watch = Watch::start();
        self.say(PING);
        self.answer();
        watch.elapsed()
    }

    /// What it takes in memory.
    pub fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kept connection to an MCP server over HTTP, with an open session.
#[derive(Debug)]
pub struct Line {
    socket: BufReader<TcpStream>,
    head: String,
}

impl Line {
    fn open(url: &str, path: &str, bearer: &str) -> Self {
        let address = url.trim_start_matches("http://").to_owned();
        let socket = TcpStream::connect(&address).expect("it listens");
        socket.set_nodelay(true).expect("a socket");
        let mut line = Self {
            socket: BufReader::new(socket),
            head: format!(
                "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {bearer}\r\ncontent-type: application/json\r\n\
                 accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n"
            ),
        };
        let (head, _) = line.post(INITIALIZE);
        let session = field(&head, "mcp-session-id").expect("a session");
        line.head = format!("{}mcp-session-id: {session}\r\n", line.head);
        line.post(INITIALIZED);
        line
    }

    /// One call.
    ///
    /// # Panics
    ///
    /// When there is no result.
    pub fn call(&mut self) -> Duration {
        let watch = Watch::start();
        let (_, body) = self.post(PING);
        let took = watch.elapsed();
        assert!(body.contains(r#""result""#), "no result: {body}");
        took
    }

    fn post(&mut self, body: &str) -> (String, String) {
        let request = format!("{}content-length: {}\r\n\r\n{body}", self.head, body.len());
        self.socket
            .get_mut()
            .write_all(request.as_bytes())
            .expect("it reads");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.socket.read_line(&mut head).expect("it answers") > 0,
                "it went away: {head}"
            );
        }
        let length = field(&head, "content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        self.socket.read_exact(&mut body).expect("it answers");
        (head, String::from_utf8_lossy(&body).into_owned())
    }
}

/// The value of a header, as it was sent.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next()
}
