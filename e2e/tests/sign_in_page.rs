//! What the browser shows at the end of a sign-in.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use authkeeper_sandbox::Profile;
use e2e::home::{Home, Output};
use e2e::python;
use e2e::sandbox::Running as Sandbox;

/// A browser that keeps the last page.
const BROWSER: &str = "\
import sys, urllib.error, urllib.request
try:
    page = urllib.request.urlopen(sys.argv[1]).read()
except urllib.error.HTTPError as error:
    page = error.read()
open(sys.argv[2], 'wb').write(page)
";

/// Connects, and gives the page that the browser ended at.
fn connected(home: &Home, sandbox: &Sandbox) -> (Output, String) {
    let folder = home.outside();
    let (code, page) = (folder.join("browser.py"), folder.join("page.html"));
    fs::write(&code, BROWSER).unwrap();
    let browser = folder.join("browser");
    let line = format!(
        "#!/bin/sh\nexec '{}' '{}' \"$1\" '{}'\n",
        python().display(),
        code.display(),
        page.display()
    );
    fs::write(&browser, line).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let url = format!("{}/mcp", sandbox.url());
    let connect = home.authkeeper(&["connect", "x", &url, "--timeout", "20s"]);
    let output = connect.env("BROWSER", &browser).run();
    (output, fs::read_to_string(page).unwrap())
}

#[test]
fn it_says_signed_in_with_the_connection_once_the_tokens_are_kept() {
    let home = Home::new();
    let sandbox = Sandbox::start(Profile::Strict, Duration::ZERO);
    sandbox.fault("slow-answer=1s,times=1,at=code");
    let (output, page) = connected(&home, &sandbox);
    let _ = output.expect_code(0);
    for part in [
        "<h1>Signed in</h1>",
        "<dt>Connection</dt><dd>x</dd>",
        sandbox.url(),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn it_says_what_went_wrong_and_what_to_do() {
    for (fault, words) in [
        ("status=500,at=code", "Not signed in"),
        ("html,at=code", "Not signed in"),
    ] {
        let home = Home::new();
        let sandbox = Sandbox::start(Profile::Strict, Duration::ZERO);
        sandbox.fault(fault);
        let (output, page) = connected(&home, &sandbox);
        assert_ne!(output.code(), Some(0), "{fault}");
        assert!(
            page.contains(words) && !page.contains("<h1>Signed in"),
            "{fault}: {page}"
        );
        assert!(
            page.contains("<b>Next:</b>") && page.contains("<dd>x</dd>"),
            "{fault}: {page}"
        );
        let next = output
            .stderr
            .lines()
            .find_map(|line| line.trim().strip_prefix("next: "));
        let next = next.unwrap().replace('&', "&amp;");
        assert!(
            page.contains(&next),
            "{fault}: the page says what the terminal does: {next}\n{page}"
        );
    }
}
