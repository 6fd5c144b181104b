//! Acceptance G: every byte that was caused is searched for every secret there is: output and logs
//! (at their most talkative), the store and its log, journals, command lines and environments.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::home::{Home, Invocation};
use e2e::scenario::{SOON, assert_no_leaks, assert_none_of, refreshes, until_expired};
use e2e::secrets::{self, Secret};
use e2e::servers::Server;
use e2e::wait::wait_until;
use e2e::{python, script};

/// Hands the handle to the test, calls through the proxy, and uses the bridge for as long as it
/// takes a token to be refreshed.
const JOB: &str = r#"
import os, subprocess, sys, urllib.request
handle, outside, calls = os.environ["AUTHKEEPER_TASK"], sys.argv[1], sys.argv[2]
with open(outside, "w") as file:
    file.write(handle)
request = urllib.request.Request(
    os.environ["AUTHKEEPER_URL"] + "/c/api/echo",
    data=b"a body", headers={"Authorization": "Bearer " + handle},
)
print(urllib.request.urlopen(request, timeout=20).read().decode(), flush=True)
bridge = ["--", "authkeeper", "mcp", "fm"]
calls = [sys.executable, calls, "--seconds", sys.argv[3], "--every", "0.5", "--pass-env", "AUTHKEEPER_LOG"]
sys.exit(subprocess.run(calls + bridge).returncode)
"#;

struct Scene {
    home: Home,
    api: Server,
    mcp: Server,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        home.write_config("on_incident = \"cat >> $HOME/hook.log\"\n");
        let api = Server::oidc_provider(&home.outside(), &[("AT_TTL", "3")]);
        let mcp = Server::fastmcp(&home.outside(), &[("AT_TTL", "5")]);
        Self { home, api, mcp }
    }

    fn servers(&self) -> [&Server; 2] {
        [&self.api, &self.mcp]
    }

    fn talkative(&self, arguments: &[&str]) -> Invocation<'_> {
        self.home
            .authkeeper(arguments)
            .env("AUTHKEEPER_LOG", "trace")
    }

    /// As a confidential client, whose secret the owner keeps in a file.
    fn connect_both(&self) {
        let clients = self.api.ctl("clients");
        let file = self.home.outside().join("client_secret");
        fs::write(&file, clients["conf"]["client_secret"].as_str().unwrap()).unwrap();
        let (api, mcp) = (self.api.url("/api"), self.mcp.url("/mcp"));
        let connect = [
            "connect",
            "api",
            &api,
            "--client-id",
            "conf",
            "--client-secret-file",
        ];
        let connect = [connect.as_slice(), &[file.to_str().unwrap()]].concat();
        let denied = self
            .talkative(&connect)
            .env("SCRIPTED_ANSWER", "deny")
            .run();
        let _ = denied.expect_code(75);
        let _ = self.talkative(&connect).run().expect_code(0);
        let _ = self
            .talkative(&["connect", "fm", &mcp])
            .run()
            .expect_code(0);
    }

    fn tokens_and_status(&self) {
        for name in ["api", "fm"] {
            let _ = self
                .talkative(&["token", name, "--json"])
                .run()
                .expect_code(0);
        }
        let _ = self.talkative(&["status", "--json"]).run().expect_code(0);
        let _ = self.talkative(&["status"]).run().expect_code(0);
    }

    fn handle_file(&self) -> std::path::PathBuf {
        self.home.outside().join("handle")
    }

    fn job(&self, seconds: &str) -> Invocation<'_> {
        let (python, calls, handle) = (python(), script("mcp_calls.py"), self.handle_file());
        let with = [
            "run",
            "--with",
            "api,fm",
            "--",
            python.to_str().unwrap(),
            "-c",
            JOB,
        ];
        let arguments = [handle.to_str().unwrap(), calls.to_str().unwrap(), seconds];
        self.talkative(&[with.as_slice(), &arguments].concat())
    }

    /// A run that calls and refreshes; its processes are looked at all the while.
    fn good_run(&self) -> Secret {
        let before = (refreshes(&self.api), refreshes(&self.mcp));
        let mut run = self.job("4").spawn();
        let ended = wait_until(SOON, || {
            run.snapshot();
            !run.is_running()
        });
        assert!(ended, "{}", run.stderr());
        let output = run.finish(SOON).expect_code(0);
        assert!(output.stdout.contains("a body"));
        assert!(refreshes(&self.api) > before.0 && refreshes(&self.mcp) > before.1);
        Secret::new(
            "task_handle",
            fs::read_to_string(self.handle_file()).unwrap().trim(),
        )
    }

    /// An answer that is in the journal only, and one that never came.
    fn crashes(&self) {
        until_expired(&self.home, "api");
        let dies = self
            .talkative(&["token", "api"])
            .env("AUTHKEEPER_FAULT", "reply_durable");
        let died = dies.run();
        assert_eq!(died.status.signal(), Some(9), "{died:?}");
        assert_no_leaks(&self.home, &self.servers());
        let _ = self.talkative(&["token", "api"]).run().expect_code(0);
        until_expired(&self.home, "api");
        self.api.ctl("fail?n=1&status=503");
        let _ = self.talkative(&["token", "api"]).run().expect_code(69);
    }

    fn revoked_run(&self) -> Secret {
        // What the provider said to one process holds for the next, for as long as the provider said.
        let rested = || self.talkative(&["token", "api"]).run().code() == Some(0);
        assert!(wait_until(SOON, rested), "the rest ends");
        let run = self.job("2").spawn();
        let echoed = self.mcp.count("tool_calls", "echo");
        let called = wait_until(SOON, || self.mcp.count("tool_calls", "echo") > echoed);
        assert!(called, "{}", run.stderr());
        self.api.ctl("revoke-grants");
        self.mcp.ctl("revoke");
        let _ = run.finish(SOON).expect_code(75);
        assert!(self.home.path().join("hook.log").exists());
        Secret::new(
            "task_handle",
            fs::read_to_string(self.handle_file()).unwrap().trim(),
        )
    }

    fn disconnect_both(&self) {
        let _ = self.talkative(&["reauthorize", "api"]).run().expect_code(0);
        for name in ["api", "fm"] {
            let _ = self
                .talkative(&["disconnect", name, "--json"])
                .run()
                .expect_code(0);
        }
    }
}

#[test]
fn no_secret_is_anywhere_and_a_planted_one_is_found() {
    let scene = Scene::new();
    scene.connect_both();
    scene.tokens_and_status();
    let first = scene.good_run();
    scene.crashes();
    let second = scene.revoked_run();
    assert_no_leaks(&scene.home, &scene.servers());
    scene.disconnect_both();
    assert_no_leaks(&scene.home, &scene.servers());
    scene.home.assert_only_in_environments(&[first, second]);

    let issued = secrets::issued_by(&scene.servers());
    for kind in [
        "access_token",
        "refresh_token",
        "code",
        "code_verifier",
        "client_secret of conf",
    ] {
        assert!(
            issued.iter().any(|secret| secret.kind == kind),
            "no {kind} was at stake"
        );
    }
    a_planted_leak_is_found(&scene.home, &issued);
}

/// The search itself can turn red.
fn a_planted_leak_is_found(home: &Home, issued: &[Secret]) {
    assert_none_of(home, issued);
    let secret = issued
        .iter()
        .find(|secret| secret.kind == "refresh_token")
        .unwrap();
    let planted = home.path().join("planted.log");
    let encoded = STANDARD.encode(format!("Bearer {}", secret.value));
    fs::write(&planted, format!("debug: {encoded}\n")).unwrap();
    let findings = home.search(issued);
    assert!(
        findings.iter().any(|found| {
            (found.kind.as_str(), found.form, &found.file) == ("refresh_token", "base64", &planted)
        }),
        "the planted leak is not found: {findings:?}"
    );
    fs::remove_file(planted).unwrap();
}
