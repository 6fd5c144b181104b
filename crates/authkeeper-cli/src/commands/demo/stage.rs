//! Where the story plays: a temporary folder that is this user's whole world, and the commands that run in it.

use std::{
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

use crate::{
    exit::Exit,
    failure::{Failure, REPORT},
    settings::Environment,
};

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

pub(super) struct Stage {
    folder: TempDir,
    environment: Vec<(&'static str, std::ffi::OsString)>,
    /// The command that runs now, which leads a process group of its own.
    running: Option<Child>,
    /// The first word of each command so far.
    started: Vec<String>,
}

/// A command that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stderr: String,
    pub(super) stdout: String,
}

impl Ended {
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(super) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }
}

/// Where a command's output went.
#[derive(Clone, Debug)]
pub(super) struct Outputs {
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
}

/// A failure of this machine, not of the story.
pub(super) fn unusable(what: &str, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Store,
        format!("{what}: {error}"),
        "check TMPDIR, its free space and its permissions",
    )
}

impl Stage {
    /// Made anew, with the binary itself on the `PATH` as `authkeeper`.
    pub(super) fn build(environment: &Environment, own_browser: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("authkeeper-demo-")
            .tempdir();
        let folder = folder.map_err(|error| unusable("no temporary folder can be made", &error))?;
        furnish(folder.path()).map_err(|error| unusable("the demo's folder", &error))?;
        let environment = passed(environment, folder.path(), own_browser);
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
    pub(super) fn furnish_job(&self, name: &str, options: &str) -> Result<(), Failure> {
        let written = write_job(&self.path().join("home").join(name), options);
        written.map_err(|error| unusable("the job can't be written", &error))
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
    pub(super) fn start(&mut self, arguments: &[&str]) -> Result<Outputs, Failure> {
        self.launch(arguments, Stdio::null(), None)
    }

    fn launch(
        &mut self,
        arguments: &[&str],
        stdin: Stdio,
        stdout: Option<Stdio>,
    ) -> Result<Outputs, Failure> {
        let name = arguments.first().copied().unwrap_or_default();
        self.started.push(name.to_owned());
        let number = self.started.len();
        let base = self
            .path()
            .join(format!("output/{number}-{}", name.trim_start_matches("./")));
        let outputs = Outputs {
            stdout: base.with_extension("out"),
            stderr: base.with_extension("err"),
        };
        let failed = |error: io::Error| unusable("a command can't be started", &error);
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
    pub(super) async fn pipe(&mut self, first: &[&str], job: &[&str]) -> Result<Outputs, Failure> {
        let failed = |error: io::Error| unusable("a command can't be started", &error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        let outputs = self.launch(first, Stdio::null(), Some(writer.into()))?;
        let ended = self.end_of(&outputs).await?;
        if ended.code() != Some(0) {
            let what = format!(
                "authkeeper {} failed: {}",
                first.join(" "),
                ended.stderr.trim()
            );
            return Err(Failure::new(Exit::Bug, what, REPORT));
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
    pub(super) async fn run(&mut self, arguments: &[&str]) -> Result<Ended, Failure> {
        let outputs = self.start(arguments)?;
        self.end_of(&outputs).await
    }

    /// Waits for the command that runs.
    pub(super) async fn end_of(&mut self, outputs: &Outputs) -> Result<Ended, Failure> {
        let Some(mut child) = self.running.take() else {
            let what = "a command that should run has ended";
            return Err(Failure::new(Exit::Bug, what, REPORT));
        };
        let status = child.wait().await;
        let status = status.map_err(|error| unusable("a command can't be waited for", &error))?;
        Ok(read(status, outputs))
    }

    /// `kill -9` for the command and all it started.
    pub(super) async fn kill(&mut self, outputs: &Outputs) -> Result<Ended, Failure> {
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

    /// Nothing that was started goes on.
    pub(super) async fn clear(&mut self) {
        self.kill_group();
        if let Some(mut child) = self.running.take() {
            let _ = child.wait().await;
        }
    }

    /// The folder stays.
    pub(super) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// The folder goes.
    pub(super) fn remove(self) -> Result<(), Failure> {
        let path = self.path().display().to_string();
        let removed = self.folder.close();
        removed.map_err(|error| unusable(&format!("{path} can't be removed"), &error))
    }
}

pub(super) fn read(status: ExitStatus, outputs: &Outputs) -> Ended {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    Ended {
        status,
        stderr: text(&outputs.stderr),
        stdout: text(&outputs.stdout),
    }
}

/// The owner is told by a command of their own choice: here it writes a file.
const CONFIG: &str = "on_trouble = 'cat >> \"$HOME/told\"'\n";

/// A job is a script, as jobs are.
fn write_job(path: &Path, options: &str) -> io::Result<()> {
    let text = format!("#!/bin/sh\nexec authkeeper demo-job demo --log ../job.log {options}\n");
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn furnish(folder: &Path) -> io::Result<()> {
    for name in ["bin", "home/.config/authkeeper", "run", "output"] {
        fs::create_dir_all(folder.join(name))?;
    }
    write_job(&folder.join("home/job"), "")?;
    symlink(std::env::current_exe()?, folder.join("bin/authkeeper"))?;
    fs::write(folder.join("home/.config/authkeeper/config.toml"), CONFIG)
}

fn passed(
    environment: &Environment,
    folder: &Path,
    own_browser: bool,
) -> Vec<(&'static str, std::ffi::OsString)> {
    let get = |name: &'static str| Some((name, environment.get(name)?.clone()));
    let mut passed: Vec<_> = PASSED.into_iter().filter_map(get).collect();
    let usual = "/usr/local/bin:/usr/bin:/bin".into();
    let mut path = folder.join("bin").into_os_string();
    path.push(":");
    path.push(environment.get("PATH").unwrap_or(&usual));
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
