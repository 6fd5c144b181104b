//! The demo's workspace: a temporary folder as home directory, and the commands that run in it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::error::DemoError;

/// What a person's terminal and browser need; nothing else is passed on.
const PASSED: [&str; 11] = [
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TZ",
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "AUTHKEEPER_LOG",
];

/// The folder in which a demo is played. Dropped, it is removed.
pub struct Workspace {
    folder: TempDir,
    environment: Vec<(&'static str, OsString)>,
    /// The command that runs now, which leads a process group of its own.
    running: Option<Child>,
    /// The first word of each command so far.
    started: Vec<String>,
}

/// A command that ended.
#[derive(Debug)]
pub(super) struct CommandEnd {
    pub(super) status: ExitStatus,
    pub(super) stderr: String,
    pub(super) stdout: String,
}

impl CommandEnd {
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(super) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }
}

/// Where a command's output went.
#[derive(Clone, Debug)]
pub(super) struct CommandFiles {
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
}

impl Workspace {
    /// Makes the folder, with `program` on the `PATH` as `authkeeper`. `variable` reads the caller's environment.
    pub(super) fn build(
        program: &Path,
        variable: &dyn Fn(&str) -> Option<OsString>,
        own_browser: bool,
    ) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new()
            .prefix("authkeeper-demo-")
            .tempdir();
        let folder =
            folder.map_err(|error| DemoError::machine("no temporary folder can be made", error))?;
        furnish(folder.path(), program)
            .map_err(|error| DemoError::machine("the demo's folder", error))?;
        let environment = passed(variable, folder.path(), own_browser);
        Ok(Self {
            folder,
            environment,
            running: None,
            started: Vec::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn job_log(&self) -> PathBuf {
        self.path().join("job.log")
    }

    /// Writes a job with these options.
    pub(super) fn furnish_job(&self, name: &str, options: &str) -> Result<(), DemoError> {
        let written = write_job(&self.path().join("home").join(name), options);
        written.map_err(|error| DemoError::machine("the job can't be written", error))
    }

    /// How often this command was started.
    pub(super) fn times(&self, name: &str) -> u64 {
        self.started
            .iter()
            .filter(|started| *started == name)
            .count() as u64
    }

    /// What the owner's hook wrote.
    pub(super) fn notices(&self) -> String {
        fs::read_to_string(self.path().join("home/told")).unwrap_or_default()
    }

    /// Starts `authkeeper` with these arguments, as the leader of a group of its own.
    pub(super) fn start(&mut self, arguments: &[&str]) -> Result<CommandFiles, DemoError> {
        self.launch(arguments, Stdio::null(), None)
    }

    fn launch(
        &mut self,
        arguments: &[&str],
        stdin: Stdio,
        stdout: Option<Stdio>,
    ) -> Result<CommandFiles, DemoError> {
        let name = arguments.first().copied().unwrap_or_default();
        self.started.push(name.to_owned());
        let number = self.started.len();
        let base = self
            .path()
            .join(format!("output/{number}-{}", name.trim_start_matches("./")));
        let outputs = CommandFiles {
            stdout: base.with_extension("out"),
            stderr: base.with_extension("err"),
        };
        let failed = |error| DemoError::machine("a command can't be started", error);
        let stdout = match stdout {
            Some(stdout) => stdout,
            None => File::create(&outputs.stdout).map_err(failed)?.into(),
        };
        let program = match name {
            script if script.starts_with("./") => self.path().join("home").join(script),
            _ => self.path().join("bin/authkeeper"),
        };
        let words = arguments.iter().skip(usize::from(name.starts_with("./")));
        let child = Command::new(program)
            .args(words)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path().join("home"))
            .stdin(stdin)
            .stdout(stdout)
            .stderr(File::create(&outputs.stderr).map_err(failed)?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.running = Some(child);
        Ok(outputs)
    }

    /// Starts the command whose standard output is given to `job` through a pipe, and gives the job's outputs.
    pub(super) async fn pipe(
        &mut self,
        first: &[&str],
        job: &[&str],
    ) -> Result<CommandFiles, DemoError> {
        let failed = |error| DemoError::machine("a command can't be started", error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        let outputs = self.launch(first, Stdio::null(), Some(writer.into()))?;
        let ended = self.end_of(&outputs).await?;
        if ended.code() != Some(0) {
            let what = format!(
                "authkeeper {} failed: {}",
                first.join(" "),
                ended.stderr.trim()
            );
            return Err(DemoError::Command(what));
        }
        self.launch(job, reader.into(), None)
    }

    /// How the command that runs ended, if it did.
    pub(super) fn poll(&mut self) -> Option<ExitStatus> {
        let ended = self.running.as_mut()?.try_wait().ok().flatten();
        if ended.is_some() {
            self.running = None;
        }
        ended
    }

    /// Runs a command to its end.
    pub(super) async fn run(&mut self, arguments: &[&str]) -> Result<CommandEnd, DemoError> {
        let outputs = self.start(arguments)?;
        self.end_of(&outputs).await
    }

    /// Waits for the command that runs.
    pub(super) async fn end_of(&mut self, outputs: &CommandFiles) -> Result<CommandEnd, DemoError> {
        let Some(mut child) = self.running.take() else {
            let what = "a command that should run has ended".to_owned();
            return Err(DemoError::Command(what));
        };
        let status = child.wait().await;
        let status =
            status.map_err(|error| DemoError::machine("a command can't be waited for", error))?;
        Ok(read(status, outputs))
    }

    /// `kill -9` for the command and all it started.
    pub(super) async fn kill(&mut self, outputs: &CommandFiles) -> Result<CommandEnd, DemoError> {
        self.kill_group();
        self.end_of(outputs).await
    }

    /// The group's number is still its leader's, because the leader was not waited for.
    fn kill_group(&self) {
        let id = self.running.as_ref().and_then(Child::id);
        let group = id
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Ends every process that was started.
    pub(super) async fn clear(&mut self) {
        self.kill_group();
        if let Some(mut child) = self.running.take() {
            let _ = child.wait().await;
        }
    }

    /// Keeps the folder, and gives its path.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Removes the folder.
    ///
    /// # Errors
    ///
    /// A file in it can't be removed.
    pub fn remove(self) -> Result<(), DemoError> {
        let path = self.path().display().to_string();
        let removed = self.folder.close();
        removed.map_err(|error| DemoError::machine(format!("{path} can't be removed"), error))
    }
}

pub(super) fn read(status: ExitStatus, outputs: &CommandFiles) -> CommandEnd {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    CommandEnd {
        status,
        stderr: text(&outputs.stderr),
        stdout: text(&outputs.stdout),
    }
}

/// The owner is told by a command of their own choice: here it writes a file.
const CONFIG: &str = "on_incident = 'cat >> \"$HOME/told\"'\n";

/// A job is a script, as jobs are.
fn write_job(path: &Path, options: &str) -> io::Result<()> {
    let text = format!("#!/bin/sh\nexec authkeeper demo-job demo --log ../job.log {options}\n");
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn furnish(folder: &Path, program: &Path) -> io::Result<()> {
    for name in ["bin", "home/.config/authkeeper", "run", "output"] {
        fs::create_dir_all(folder.join(name))?;
    }
    write_job(&folder.join("home/job"), "")?;
    symlink(program, folder.join("bin/authkeeper"))?;
    fs::write(folder.join("home/.config/authkeeper/config.toml"), CONFIG)
}

fn passed(
    variable: &dyn Fn(&str) -> Option<OsString>,
    folder: &Path,
    own_browser: bool,
) -> Vec<(&'static str, OsString)> {
    let get = |name: &'static str| Some((name, variable(name)?));
    let mut passed: Vec<_> = PASSED.into_iter().filter_map(get).collect();
    let mut path = folder.join("bin").into_os_string();
    path.push(":");
    path.push(variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
    let home = folder.join("home");
    passed.extend([
        ("HOME", home.clone().into_os_string()),
        ("XDG_CONFIG_HOME", home.join(".config").into_os_string()),
        ("XDG_DATA_HOME", home.join(".local/share").into_os_string()),
        ("XDG_RUNTIME_DIR", folder.join("run").into_os_string()),
        ("PATH", path),
        ("NO_COLOR", "1".into()),
    ]);
    if !own_browser {
        passed.retain(|(name, _)| *name != "BROWSER");
        passed.push(("BROWSER", "authkeeper demo-person".into()));
    }
    passed
}
