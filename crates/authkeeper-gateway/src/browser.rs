//! Opening a browser: `$BROWSER` first, else the desktop's own. Never through a shell.

use std::process::{Command, Stdio};

/// Which commands may open a browser.
#[derive(Clone, Debug)]
pub struct Browser {
    commands: Vec<Vec<String>>,
    /// The user named them.
    named: bool,
}

/// What came of starting a browser.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrowserOutcome {
    /// It was started.
    Yes,
    /// There is none to start.
    None,
    /// `BROWSER` names what can't be started.
    Failed(String),
}

impl Browser {
    /// The commands in `BROWSER`: a colon-separated list to try; `%s` stands for the URL, which else comes last.
    pub fn named(list: &str) -> Self {
        let commands = list.split(':').map(words);
        Self {
            commands: commands.filter(|words| !words.is_empty()).collect(),
            named: true,
        }
    }

    /// What the desktop has; `graphical` says whether there is one.
    pub fn of_desktop(graphical: bool) -> Self {
        let commands: &[&str] = if cfg!(target_os = "macos") {
            &["open"]
        } else if graphical {
            &["xdg-open", "firefox", "chromium"]
        } else {
            &[]
        };
        Self {
            commands: commands.iter().map(|command| words(command)).collect(),
            named: false,
        }
    }

    /// Starts a browser with this URL.
    pub fn open(&self, url: &str) -> BrowserOutcome {
        let mut failed = Vec::new();
        for words in &self.commands {
            match start(words, url) {
                Ok(()) => return BrowserOutcome::Yes,
                Err(error) => {
                    let program = words.first().map_or("", String::as_str);
                    failed.push(format!("{program}: {error}"));
                }
            }
        }
        // What the desktop has is our guess; that it is not there is nobody's mistake.
        if failed.is_empty() || !self.named {
            return BrowserOutcome::None;
        }
        BrowserOutcome::Failed(failed.join("; "))
    }
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
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
        let with = |list: &str| Browser::named(list).open("http://127.0.0.1:1/");
        assert!(
            matches!(with("/nowhere/firefux --new"), BrowserOutcome::Failed(why) if why.contains("/nowhere/firefux: "))
        );
        assert_eq!(with("/nowhere/firefux:true"), BrowserOutcome::Yes);
        let none = Browser::of_desktop(false);
        assert_eq!(none.open("http://127.0.0.1:1/"), BrowserOutcome::None);
    }
}
