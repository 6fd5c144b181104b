//! The only printer. Data goes to stdout, everything else to stderr; colours only where a person looks.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::OnceLock,
};

use authkeeper::model::Record;
pub(crate) use authkeeper_gateway::duration::in_words as span;
use jiff::Timestamp;

use crate::{exit::Exit, failure::Failure, old_names};

/// What is written where, and how. Everything is printed through this one object, so that it can be told how once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandOutput {
    pub(crate) json: bool,
    colour_out: bool,
    colour_err: bool,
}

/// Why a result was not written, the first time. Standard output is one for the whole process.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

fn unwritten(error: &std::io::Error) -> Failure {
    let what = format!("the result can't be written to standard output: {error}");
    let next = "free some space or write it elsewhere, then run the same command again";
    Failure::new(Exit::Store, what, next)
}

/// How a word is painted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Good,
    Warn,
    Bad,
    Dim,
    Strong,
    /// White on black, whatever the terminal's own colours are.
    Paper,
}

impl CommandOutput {
    pub(crate) fn new(json: bool, no_color: bool) -> Self {
        Self {
            json,
            colour_out: !no_color && std::io::stdout().is_terminal(),
            colour_err: !no_color && std::io::stderr().is_terminal(),
        }
    }

    /// Whether a person sees what is said beside the data.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn is_watched(self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// How many columns a line of data has where a person looks at it.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn columns(self) -> Option<usize> {
        let out = std::io::stdout();
        let size = rustix::termios::tcgetwinsize(&out).ok()?;
        (out.is_terminal() && size.ws_col > 0).then(|| usize::from(size.ws_col))
    }

    /// One line of data.
    pub(crate) fn data(self, line: &str) {
        self.data_bytes(format!("{line}\n").as_bytes());
    }

    /// One JSON value as one line of data.
    pub(crate) fn data_json(self, value: &serde_json::Value) {
        let mut value = value.clone();
        old_names::add_old_json_keys(&mut value);
        self.data(&value.to_string());
    }

    /// Data as it is, to be read by a program.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn data_bytes(self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        if let Err(error) = written {
            let _ = UNWRITTEN.set(error);
        }
    }

    /// How a command ends that ended with this code: who reads no result must not take it for a success. The code of a
    /// command that failed says more.
    pub(crate) fn code_of(self, code: u8) -> u8 {
        let (Some(error), 0) = (UNWRITTEN.get(), code) else {
            return code;
        };
        // A reader that has gone has seen what it wanted; programs that a signal ends then are silent too.
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            self.failure(&unwritten(error));
        }
        Exit::Store.code()
    }

    /// One line for a person.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn say(self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Text for a person's terminal as it is, its line ends included.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn raw(self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// One record, as one JSON line on stderr.
    pub(crate) fn record(self, record: &Record) {
        if let Ok(line) = serde_json::to_string(record) {
            self.say(&line);
        }
    }

    /// Why a command failed and what to do.
    pub(crate) fn failure(self, failure: &Failure) {
        let error = self.paint_err(Paint::Bad, "error:");
        let next = self.paint_err(Paint::Strong, "next:");
        self.say(&format!("authkeeper: {error} {}", failure.what));
        self.say(&format!("  {next} {}", failure.next));
        if self.json {
            self.say(&failure.json().to_string());
        }
    }

    /// Paints a word of the data.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        painted(self.colour_out, paint, text)
    }

    /// Paints a word of what is said beside the data.
    pub(crate) fn paint_err(self, paint: Paint, text: &str) -> String {
        painted(self.colour_err, paint, text)
    }
}

fn painted(colour: bool, paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Good => "32",
        Paint::Warn => "33",
        Paint::Bad => "31",
        Paint::Dim => "2",
        Paint::Strong => "1",
        Paint::Paper => "97;40",
    };
    if colour {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// A number of things: `1 connection`, `2 refreshes`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with("sh") => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}

/// A day.
pub(crate) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// A time that somebody plans by.
pub(crate) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A time at which something happened.
pub(crate) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_said_as_many() {
        for (number, thing, said) in [
            (0, "error", "0 errors"),
            (1, "connection", "1 connection"),
            (2, "connection", "2 connections"),
            (1, "refresh", "1 refresh"),
            (2, "refresh", "2 refreshes"),
        ] {
            assert_eq!(count(number, thing), said);
        }
    }

    #[test]
    fn without_a_terminal_there_is_no_colour() {
        assert_eq!(painted(false, Paint::Bad, "x"), "x");
        assert_eq!(painted(true, Paint::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
