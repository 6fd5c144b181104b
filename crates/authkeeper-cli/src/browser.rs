//! Opening a browser: `$BROWSER` first, else the desktop's own. Never through a shell.

use std::process::{Command, Stdio};

use crate::settings::Environment;

/// Starts a browser with this URL; false if there is none to start.
pub(crate) fn open(environment: &Environment, url: &str) -> bool {
    commands(environment).iter().any(|words| start(words, url))
}

/// `BROWSER` is a colon-separated list of commands to try; `%s` stands for the URL, which else comes last.
fn commands(environment: &Environment) -> Vec<Vec<String>> {
    let words = |command: &str| {
        command
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    if let Some(list) = environment.text("BROWSER") {
        return list
            .split(':')
            .map(words)
            .filter(|words| !words.is_empty())
            .collect();
    }
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| environment.get(name).is_some());
    if cfg!(target_os = "macos") {
        vec![words("open")]
    } else if desktop {
        vec![words("xdg-open"), words("firefox"), words("chromium")]
    } else {
        vec![]
    }
}

fn start(words: &[String], url: &str) -> bool {
    let Some((program, arguments)) = words.split_first() else {
        return false;
    };
    let mut command = Command::new(program);
    let placed = arguments.iter().any(|word| word.contains("%s"));
    command.args(arguments.iter().map(|word| word.replace("%s", url)));
    if !placed {
        command.arg(url);
    }
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().is_ok()
}
