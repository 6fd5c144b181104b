//! Secrets that a person brings: from a file or from standard input, never from the command line, where every user could
//! read them.

use std::{io::IsTerminal as _, path::Path};

use authkeeper::secret::SecretString;
use authkeeper_gateway::bounded_read::{self, LONGEST_SECRET, one_line, secret_line};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::{args::SecretSource, exit::Exit, failure::Failure, output::CommandOutput};

/// One secret, alone on its line, from a file.
pub(crate) fn one_line_of(path: &Path, what: &str) -> Result<SecretString, Failure> {
    secret_line(path, what).map_err(|error| wrong(error, what))
}

/// A secret of several lines, like a private key.
pub(crate) fn text_of(path: &Path, what: &str) -> Result<SecretString, Failure> {
    let text = bounded_read::read(path, LONGEST_SECRET)
        .map_err(|error| wrong(format!("{} can't be read: {error}", path.display()), what))?;
    Ok(text.into())
}

fn wrong(said: String, what: &str) -> Failure {
    Failure::new(
        Exit::Data,
        said,
        format!("put the {what} alone into that file"),
    )
}

/// One secret, from its file, or from standard input. At a terminal it is asked for and does not show; the terminal is as
/// it was whatever ends the waiting. Without one it must have been said that a secret comes, so that nothing waits for
/// nobody.
pub(crate) async fn given(
    output: CommandOutput,
    what: &str,
    source: SecretSource<'_>,
) -> Result<SecretString, Failure> {
    if let Some(path) = source.file {
        return one_line_of(path, what);
    }
    let terminal = std::io::stdin().is_terminal();
    if !terminal && !source.stdin {
        let said = format!("no source for the {what} was given");
        let next = format!("add {}", source.flags);
        return Err(Failure::new(Exit::Usage, said, next));
    }
    let quiet = terminal.then(|| {
        output.say(&format!(
            "Paste the {what} and press Enter (it does not show):"
        ));
        Quiet::begin()
    });
    let mut line = String::new();
    let mut stdin = BufReader::new(tokio::io::stdin()).take(LONGEST_SECRET);
    let read = stdin.read_line(&mut line).await;
    drop(quiet);
    let said = match read {
        Ok(_) => format!("standard input holds no {what}"),
        Err(error) => format!("standard input can't be read: {error}"),
    };
    one_line(&line).ok_or_else(|| {
        let next = format!("pipe the {what} in, like: authkeeper … < file");
        Failure::new(Exit::Data, said, next)
    })
}

/// A line from the person, if there is one to ask.
pub(crate) async fn ask(output: CommandOutput, question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() || !output.is_watched() {
        return None;
    }
    output.say(question);
    let mut line = String::new();
    let mut stdin = BufReader::new(tokio::io::stdin()).take(LONGEST_SECRET);
    stdin.read_line(&mut line).await.ok()?;
    let line = line.trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// A terminal that does not show what is typed, for as long as this lives.
struct Quiet(Option<Termios>);

impl Quiet {
    fn begin() -> Self {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(&stdin, OptionalActions::Now, &quiet);
        }
        Self(before)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_one_secret_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for bad in ["", "\n\n", "two\nlines"] {
            std::fs::write(&path, bad).unwrap();
            let failure = one_line_of(&path, "client secret").unwrap_err();
            assert_eq!(failure.exit, Exit::Data);
            assert!(failure.next.contains("alone"), "{}", failure.next);
        }
        std::fs::write(&path, " s3cret\r\n").unwrap();
        assert!(one_line_of(&path, "client secret").is_ok());
        assert!(one_line_of(Path::new("/nowhere"), "client secret").is_err());
    }
}
