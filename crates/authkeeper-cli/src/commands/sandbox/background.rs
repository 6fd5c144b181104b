//! `--background`: the sandbox as a process of its own. Its URL is printed once it serves; without a URL, nothing that
//! follows in a script can reach another server by mistake.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Seek as _},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{exit::Exit, failure::Failure, output::CommandOutput};

/// The word that the other process is started without.
const BACKGROUND: &str = "--background";

/// Starts it, and waits until it serves or has failed. The exit code is its own if it failed.
pub(super) async fn start(output: CommandOutput) -> Result<u8, Failure> {
    let mut errors = tempfile::tempfile().map_err(|error| unstarted(&error))?;
    let mut child = spawn(&errors).map_err(|error| unstarted(&error))?;
    let printed = first_line(&mut child)
        .await
        .map_err(|error| unstarted(&error))?;
    if printed.is_empty() {
        let status = child.wait().await.map_err(|error| unstarted(&error))?;
        output.raw(&said(&mut errors).unwrap_or_default());
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.filter(|code| *code > 0).unwrap_or(Exit::Bug.code()));
    }
    output.data(printed.trim_end());
    if let Some(pid) = child.id() {
        output.say(&format!(
            "The sandbox runs in the background: kill {pid} ends it."
        ));
    }
    Ok(0)
}

/// This program with the same words. What it says is kept in a file that has no name: this process may be gone by then.
fn spawn(errors: &File) -> io::Result<Child> {
    let words: Vec<OsString> = std::env::args_os()
        .skip(1)
        .filter(|word| word != BACKGROUND)
        .collect();
    Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors.try_clone()?)
        // Ctrl-C at the terminal is for the commands that follow.
        .process_group(0)
        .spawn()
}

/// The line that it prints once it serves; empty if it ended before.
async fn first_line(child: &mut Child) -> io::Result<String> {
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).await?;
    }
    Ok(line)
}

fn said(errors: &mut File) -> io::Result<String> {
    let mut text = String::new();
    errors.rewind()?;
    errors.read_to_string(&mut text)?;
    Ok(text)
}

fn unstarted(error: &io::Error) -> Failure {
    let what = format!("the sandbox can't be started in the background: {error}");
    Failure::new(Exit::Store, what, "start it without --background")
}
