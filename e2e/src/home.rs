//! A user's home directory in which `authkeeper` and other programs run, and which keeps every
//! byte they caused: output, files, command lines and environments.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::secrets::{self, Finding, Secret};
use crate::wait::wait_until;
use crate::{python, script};

/// No program of a test runs longer, unless the test says so.
const WITHIN: Duration = Duration::from_mins(1);
/// How many polls of a running program lie between two looks at its processes.
const POLLS_PER_SNAPSHOT: u32 = 10;

/// The home directory. Laid out so that the XDG directories are where a program finds them with
/// nothing but `HOME`: the MCP Python SDK passes on little more.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    runs: AtomicUsize,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        let home = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            runs: AtomicUsize::new(0),
        };
        for directory in [
            home.path(),
            home.config_dir(),
            home.data_dir(),
            home.runtime_dir(),
            home.outputs(),
            home.snapshots(),
            home.tokens_asked_for(),
            home.outside(),
        ] {
            fs::create_dir_all(directory).expect("the temporary directory is writable");
        }
        fs::set_permissions(home.runtime_dir(), Permissions::from_mode(0o700))
            .expect("our own directory");
        home
    }

    /// `$HOME`: everything below it is searched for secrets.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// `$XDG_CONFIG_HOME`.
    pub fn config_dir(&self) -> PathBuf {
        self.path().join(".config")
    }

    /// `$XDG_DATA_HOME`.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join(".local/share")
    }

    /// Where authkeeper keeps its store and everything beside it.
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir().join("authkeeper")
    }

    /// The store, all of it in one file: no log beside it holds what the test is about to break or to copy.
    pub fn settled_store(&self) -> PathBuf {
        let store = self.store_dir().join("store.db");
        let sql = rusqlite::Connection::open(&store).expect("there is a store");
        sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .expect("nobody else uses it");
        store
    }

    /// A file that holds a secret, where nobody searches for one.
    pub fn secret_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.outside().join(name);
        fs::write(&path, content).expect("our own directory");
        path
    }

    /// `$XDG_RUNTIME_DIR`.
    pub fn runtime_dir(&self) -> PathBuf {
        self.path().join("run")
    }

    /// Not searched: the servers' logs, and files in which a test hands a secret over.
    pub fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// How far the clock of this home's processes is moved, if there is this file.
    pub fn clock_file(&self) -> PathBuf {
        self.outside().join("clock")
    }

    fn outputs(&self) -> PathBuf {
        self.path().join("outputs")
    }

    fn snapshots(&self) -> PathBuf {
        self.path().join("snapshots")
    }

    /// What `authkeeper token` printed: the one place where an access token belongs.
    fn tokens_asked_for(&self) -> PathBuf {
        self.dir.path().join("tokens")
    }

    /// Writes `authkeeper`'s `config.toml`.
    pub fn write_config(&self, toml: &str) {
        let directory = self.config_dir().join("authkeeper");
        fs::create_dir_all(&directory).expect("our own directory");
        fs::write(directory.join("config.toml"), toml).expect("our own directory");
    }

    /// `authkeeper` with these arguments.
    pub fn authkeeper(&self, arguments: &[&str]) -> Invocation<'_> {
        let invocation = self.program(authkeeper_binary(), arguments);
        if arguments.first() == Some(&"token") {
            return invocation.prints_tokens();
        }
        invocation
    }

    /// `authkeeper` with these arguments, to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.authkeeper(arguments).run()
    }

    /// Any program in this home; `authkeeper` and the Python with the MCP SDK come first in `PATH`.
    pub fn program(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Invocation<'_> {
        Invocation {
            home: self,
            program: program.as_ref().to_owned(),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            environment: self.environment(),
            stdin: Vec::new(),
            within: WITHIN,
            prints_tokens: false,
        }
    }

    /// The whole environment a program gets.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let paths = [
            parent(&authkeeper_binary()),
            parent(&python()),
            "/usr/local/bin".into(),
            "/usr/bin".into(),
            "/bin".into(),
        ];
        let path = std::env::join_paths(paths).expect("no colon in a path");
        let moved = self.clock_file();
        let clock = moved
            .exists()
            .then(|| ("AUTHKEEPER_CLOCK".into(), moved.into()));
        let fixed = [
            ("HOME".into(), self.path().into()),
            ("XDG_CONFIG_HOME".into(), self.config_dir().into()),
            ("XDG_DATA_HOME".into(), self.data_dir().into()),
            ("XDG_RUNTIME_DIR".into(), self.runtime_dir().into()),
            ("PATH".into(), path),
            ("BROWSER".into(), script("browser.py").into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
        ];
        fixed.into_iter().chain(clock).collect()
    }

    /// Every place where one of these secrets can be found.
    pub fn search(&self, issued: &[Secret]) -> Vec<Finding> {
        let unexpected: Vec<Secret> = issued
            .iter()
            .filter(|secret| secret.kind != "access_token")
            .cloned()
            .collect();
        let mut findings = secrets::search(&self.path(), issued);
        findings.extend(secrets::search(&self.tokens_asked_for(), &unexpected));
        findings
    }

    /// Fails the test if a run's handles are anywhere but in the environments of its command and what that started, or
    /// if the search does not see them even there.
    pub fn assert_only_in_environments(&self, handles: &[Secret]) {
        let elsewhere = |finding: &Finding| {
            let file = finding.file.to_string_lossy().into_owned();
            !(file.contains("/snapshots/") && file.contains(".environ."))
        };
        let mut findings = self.search(handles);
        assert!(
            !findings.is_empty(),
            "the search does not see the environments"
        );
        findings.retain(elsewhere);
        assert!(findings.is_empty(), "leaked: {findings:#?}");
    }

    /// Keeps the command lines and environments of a process and all below it, for the search.
    pub fn snapshot(&self, pid: u32) {
        for process in with_descendants(pid) {
            for part in ["cmdline", "environ"] {
                let Ok(content) = fs::read(format!("/proc/{process}/{part}")) else {
                    continue; // it ended
                };
                self.keep_snapshot(process, part, &content);
            }
        }
    }

    /// A process can change its command line (exec): each new content gets its own file.
    fn keep_snapshot(&self, process: u32, part: &str, content: &[u8]) {
        for version in 0.. {
            let file = self.snapshots().join(format!("{process}.{part}.{version}"));
            match fs::read(&file) {
                Ok(kept) if kept == content => return,
                Ok(_) => {}
                Err(_) => return fs::write(file, content).expect("our own directory"),
            }
        }
    }
}

/// A program about to run.
#[derive(Debug)]
pub struct Invocation<'a> {
    home: &'a Home,
    program: OsString,
    arguments: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    within: Duration,
    prints_tokens: bool,
}

impl<'a> Invocation<'a> {
    /// Adds or replaces an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self = self.without_env(name);
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Takes an environment variable away.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.retain(|(key, _)| key != name);
        self
    }

    /// What [`run`](Self::run) gives the program on standard input; nothing otherwise.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.as_bytes().to_vec();
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn within(mut self, duration: Duration) -> Self {
        self.within = duration;
        self
    }

    /// An access token on its standard output is what was asked for, not a leak.
    #[must_use]
    pub fn prints_tokens(mut self) -> Self {
        self.prints_tokens = true;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        let within = self.within;
        self.spawn().finish(within)
    }

    /// Starts it. Its standard input stays open until [`Running::finish`] or
    /// [`Running::close_stdin`].
    pub fn spawn(self) -> Running<'a> {
        self.start(false)
    }

    /// Starts it to talk with: what it prints is the caller's to read, and is not kept.
    pub fn converse(self) -> (Running<'a>, BufReader<ChildStdout>) {
        let mut running = self.start(true);
        let stdout = running.child.stdout.take().expect("a pipe");
        (running, BufReader::new(stdout))
    }

    fn start(self, talks: bool) -> Running<'a> {
        let number = self.home.runs.fetch_add(1, Ordering::Relaxed);
        let outputs = self.home.outputs();
        let directory = if self.prints_tokens {
            self.home.tokens_asked_for()
        } else {
            outputs.clone()
        };
        let stdout = directory.join(format!("{number}.stdout"));
        let stderr = outputs.join(format!("{number}.stderr"));
        let kept = || File::create(&stdout).expect("our own directory").into();
        let printed: Stdio = if talks { Stdio::piped() } else { kept() };
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment)
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(printed)
            .stderr(File::create(&stderr).expect("our own directory"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let mut running = Running {
            home: self.home,
            stdin: None,
            child,
            stdout,
            stderr,
        };
        running.stdin = running.child.stdin.take();
        running.feed(&self.stdin);
        running.snapshot();
        running
    }
}

/// A running program. Dropped, it is killed, and all it started.
#[derive(Debug)]
pub struct Running<'a> {
    home: &'a Home,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running<'_> {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input. A program that does not read is no error.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
        }
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Keeps the command lines and environments of it and all it started, for the search.
    pub fn snapshot(&self) {
        self.home.snapshot(self.pid());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it has opened the store: from then on it waits for the refresh.
    pub fn has_opened_store(&self) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.into_iter().flatten().flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|path| path.ends_with("authkeeper/store.db"))
        })
    }

    /// Sends it alone a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = as_pid(self.pid()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// `kill -9` for it alone, and its output until then.
    pub fn kill_9(mut self) -> Output {
        self.signal(Signal::KILL);
        self.finish_within(WITHIN)
    }

    /// Ends its standard input and waits for its end; a program that does not end fails the test.
    pub fn finish(mut self, within: Duration) -> Output {
        self.close_stdin();
        self.finish_within(within)
    }

    fn finish_within(&mut self, within: Duration) -> Output {
        let mut polls = 0;
        let ended = wait_until(within, || {
            polls += 1;
            if polls % POLLS_PER_SNAPSHOT == 0 {
                self.home.snapshot(self.child.id());
            }
            matches!(self.child.try_wait(), Ok(Some(_)))
        });
        assert!(
            ended,
            "still running after {within:?}; standard error so far:\n{}",
            self.stderr()
        );
        Output {
            status: self.child.wait().expect("it has ended"),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Its own process group: whatever it started goes with it, even after its own end.
        if let Some(group) = as_pid(self.pid()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// What a program left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Fails the test unless it ended with this code.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            Some(code),
            "wrong exit code; standard error:\n{}",
            self.stderr
        );
        self
    }

    /// Fails the test unless `SIGKILL` ended it.
    #[must_use]
    pub fn expect_killed(self) -> Self {
        let killed = Some(Signal::KILL.as_raw());
        assert_eq!(
            self.status.signal(),
            killed,
            "not killed; standard error:\n{}",
            self.stderr
        );
        self
    }

    /// Fails the test unless it ended with this code and says what failed, why and what to do
    /// next, with all these words, without colours, and with nothing on standard output.
    pub fn expect_failure(self, code: i32, words: &[&str]) {
        let Self { stdout, stderr, .. } = self.expect_code(code);
        let line = |start: &str| stderr.lines().any(|line| line.starts_with(start));
        assert!(line("authkeeper: error: "), "no error line:\n{stderr}");
        assert!(line("  next: "), "no next line:\n{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is not said:\n{stderr}");
        }
        assert!(!stderr.contains('\x1b'), "colours: {stderr:?}");
        assert_eq!(stdout, "", "only data belongs on standard output");
    }

    /// The standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.stdout))
    }

    /// The records: the lines of standard error that are JSON objects.
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.stderr
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(serde_json::Value::is_object)
            .collect()
    }
}

/// The binary of this workspace, beside the directory of the test's own.
pub fn authkeeper_binary() -> PathBuf {
    let running = std::env::current_exe().expect("what runs has a binary");
    let beside = |folder: Option<&Path>| folder.map(|folder| folder.join("authkeeper"));
    // A test lies in `deps`, below what is built; a program beside it.
    let folder = running.parent();
    let places = [beside(folder), beside(folder.and_then(Path::parent))];
    let mut places = places.into_iter().flatten();
    let binary = places.find(|place| place.is_file()).unwrap_or_default();
    assert!(
        binary.exists(),
        "{} is missing: cargo build --workspace --all-features",
        binary.display()
    );
    binary
}

fn parent(path: &Path) -> PathBuf {
    path.parent()
        .expect("a file lies in a directory")
        .to_path_buf()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn as_pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// A process and all below it.
fn with_descendants(pid: u32) -> BTreeSet<u32> {
    let parents = parents_of_all();
    let mut family = BTreeSet::from([pid]);
    loop {
        let before = family.len();
        for (child, parent) in &parents {
            if family.contains(parent) {
                family.insert(*child);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

fn parents_of_all() -> Vec<(u32, u32)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect()
}

/// Field 4 of `/proc/PID/stat`; field 2, the name in parentheses, may hold anything.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}
