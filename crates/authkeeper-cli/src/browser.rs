//! Opening a browser: `$BROWSER` first, else the desktop's own. Never through a shell.

use std::process::{Command, Stdio};

use crate::settings::Environment;

/// What came of starting a browser.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Yes,
    /// There is none to start.
    None,
    /// `BROWSER` names what can't be started.
    Failed(String),
}

/// Starts a browser with this URL.
pub(crate) fn open(environment: &Environment, url: &str) -> Opened {
    let mut failed = Vec::new();
    for words in commands(environment) {
        match start(&words, url) {
            Ok(()) => return Opened::Yes,
            Err(error) => {
                let program = words.first().map_or("", String::as_str);
                failed.push(format!("{program}: {error}"));
            }
        }
    }
    // What the desktop has is our guess; that it is not there is nobody's mistake.
    if failed.is_empty() || environment.get("BROWSER").is_none() {
        return Opened::None;
    }
    Opened::Failed(failed.join("; "))
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

fn start(words: &[String], url: &str) -> std::io::Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(std::io::ErrorKind::NotFound.into());
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
    quiet.spawn().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_can_t_be_started_is_named() {
        let with = |browser: &str| {
            let pairs = [("BROWSER".to_owned(), browser.into())];
            open(&Environment::of(pairs), "http://127.0.0.1:1/")
        };
        assert!(
            matches!(with("/nowhere/firefux --new"), Opened::Failed(why) if why.contains("/nowhere/firefux: "))
        );
        assert_eq!(with("/nowhere/firefux:true"), Opened::Yes);
        let none = Environment::of([]);
        assert_eq!(open(&none, "http://127.0.0.1:1/"), Opened::None);
    }
}
