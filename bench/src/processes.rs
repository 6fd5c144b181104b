//! Sixteen processes on one store file: what the slowest call waited.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use authkeeper_sandbox::{AuthMethod, ClientSpec, Rules, Sandbox, SandboxSettings};
use tempfile::TempDir;

use crate::report::Watch;

/// Our binary, a home, and a server on this machine.
#[derive(Debug)]
pub struct Processes {
    binary: PathBuf,
    home: TempDir,
    sandbox: Sandbox,
}

/// One run of the binary.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How long it took, from its start to its end.
    pub took: Duration,
    /// Whether it printed a token.
    pub good: bool,
}

impl Processes {
    /// Connects so many connections, `p0` and on, whose tokens live so long.
    ///
    /// # Panics
    ///
    /// When the binary is not built.
    pub async fn start(connections: usize, lifetime: Duration) -> Self {
        let own = ClientSpec::secret("own", AuthMethod::Basic, "own-secret");
        let settings = SandboxSettings {
            rules: Rules {
                ttl: lifetime,
                ..Rules::default()
            },
            clients: vec![own],
            ..SandboxSettings::default()
        };
        let sandbox = Sandbox::start(settings).await.expect("a free port");
        let processes = Self {
            binary: binary(),
            home: tempfile::tempdir().expect("a temporary folder"),
            sandbox,
        };
        let secret = processes.home.path().join("secret");
        std::fs::write(&secret, "own-secret").expect("room");
        for number in 0..connections {
            processes.connect(&format!("p{number}"), &secret);
        }
        processes
    }

    fn connect(&self, name: &str, secret: &Path) {
        let url = format!("{}/api", self.sandbox.url());
        let mut command = self.command();
        let command = command
            .args(["connect", name, &url, "--grant", "client_credentials"])
            .args(["--issuer", self.sandbox.url(), "--client-id", "own"])
            .arg("--client-secret-file")
            .arg(secret)
            .stderr(Stdio::inherit());
        let status = command.status().expect("the binary runs");
        assert!(status.success(), "{name} is not connected");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs `authkeeper token NAME` again and again for so long.
    pub fn ask(&self, name: &str, during: Duration) -> Vec<Run> {
        let whole = Watch::start();
        let mut runs = vec![];
        while whole.elapsed() < during {
            let watch = Watch::start();
            let status = self.command().args(["token", name]).status();
            runs.push(Run {
                took: watch.elapsed(),
                good: status.is_ok_and(|status| status.success()),
            });
        }
        runs
    }
}

/// `authkeeper` as it was built beside this program.
pub(crate) fn binary() -> PathBuf {
    let here = std::env::current_exe().expect("this program is a file");
    let folder = here
        .parent()
        .and_then(Path::parent)
        .expect("target/release");
    let binary = folder.join("authkeeper");
    let missing = "build it first: cargo build --release -p authkeeper-cli";
    assert!(
        binary.exists(),
        "{} is missing; {missing}",
        binary.display()
    );
    binary
}
