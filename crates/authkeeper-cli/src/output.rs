//! The only printer. Data goes to stdout, everything else to stderr; colours only where a person looks.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::OnceLock,
};

use authkeeper::model::Record;
pub(crate) use authkeeper_gateway::duration::in_words as span;
use authkeeper_gateway::report::Report;
use jiff::Timestamp;

use crate::{exit::Exit, failure::Failure, old_names, record_text, wrap::wrapped};

/// What is written where, and how. Everything is printed through this one object, so that it can be told how once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandOutput {
    pub(crate) json: bool,
    colour_out: bool,
    colour_err: bool,
}

/// Why a result was not written, the first time. Standard output is one for the whole process.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

fn unwritten(error: &io::Error) -> Failure {
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
            colour_out: !no_color && io::stdout().is_terminal(),
            colour_err: !no_color && io::stderr().is_terminal(),
        }
    }

    /// Whether a person sees what is said beside the data.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn is_watched(self) -> bool {
        io::stderr().is_terminal()
    }

    /// How many columns a line of data has where a person looks at it.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn columns(self) -> Option<usize> {
        columns_of(&io::stdout())
    }

    /// The same of a line that is said beside the data.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn columns_beside(self) -> Option<usize> {
        columns_of(&io::stderr())
    }

    /// One line of data; on a terminal as many as it needs.
    pub(crate) fn data(self, line: &str) {
        self.data_hanging(line, None);
    }

    /// The same, with a margin for the lines after the first: an entry of a list.
    pub(crate) fn data_hanging(self, line: &str, hang: impl Into<Option<usize>>) {
        self.data_whole(&wrapped(line, self.columns(), hang.into()));
    }

    /// One line of data that stays one, for a program or to be copied: the terminal itself breaks it.
    pub(crate) fn data_whole(self, line: &str) {
        self.data_bytes(format!("{line}\n").as_bytes());
    }

    /// One JSON value as one line of data.
    pub(crate) fn data_json(self, value: &serde_json::Value) {
        let mut value = value.clone();
        old_names::add_old_json_keys(&mut value);
        self.data_bytes(format!("{value}\n").as_bytes());
    }

    /// Data as it is, to be read by a program.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn data_bytes(self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
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
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.failure(&unwritten(error));
        }
        Exit::Store.code()
    }

    /// One line for a person; on a terminal as many as it needs.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn say(self, line: &str) {
        let _ = Stderr.write_all(format!("{line}\n").as_bytes());
    }

    /// Text for a person's terminal as it is, its line ends included.
    #[expect(clippy::unused_self, reason = "printing goes through this object")]
    pub(crate) fn raw(self, text: &str) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Whether a record is told as a text, because a person reads it.
    pub(crate) fn tells_records(self) -> bool {
        self.is_watched() && !self.json
    }

    /// One record: a JSON line on stderr, or a text for a person.
    pub(crate) fn record(self, record: &Record) {
        self.report().record(record);
    }

    /// What other parts say on stderr while they work.
    pub(crate) fn report(self) -> Report {
        if self.tells_records() {
            Report::new(Stderr).telling(record_text::text)
        } else {
            Report::new(io::stderr())
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

/// How many columns a stream has, if it is a terminal.
fn columns_of(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (stream.is_terminal() && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Standard error, in lines that fit the terminal.
struct Stderr;

impl Write for Stderr {
    /// What is written at once is whole lines.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut err = io::stderr().lock();
        match (columns_of(&err), std::str::from_utf8(text)) {
            (columns @ Some(_), Ok(lines)) => {
                let lines = wrapped(lines.strip_suffix('\n').unwrap_or(lines), columns, None);
                writeln!(err, "{lines}")?;
            }
            _ => err.write_all(text)?,
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
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
