//! Help on a narrow terminal: its examples are there to be copied, so that no line break of ours cuts a command.

use std::ffi::OsString;

use clap::Error;

use crate::args;

/// The examples are written for so many columns.
const WIDE: usize = 80;

/// Looks like a space, and clap breaks no line at it.
const UNBROKEN: &str = "\u{a0}";

/// What a line begins with that is copied.
const COPIED: [&str; 7] = [
    "authkeeper ",
    "curl ",
    "printf ",
    "claude ",
    "0 2 * * * ",
    "--",
    "url=",
];

/// The help that was asked for, made for this terminal; none if no other is needed.
pub(crate) fn narrow(error: &Error, typed: &[OsString], columns: Option<usize>) -> Option<String> {
    columns.filter(|columns| *columns < WIDE)?;
    if error.use_stderr() {
        return None;
    }
    rendered(uncut(args::whole()), typed)
}

fn rendered(command: clap::Command, typed: &[OsString]) -> Option<String> {
    let help = command.try_get_matches_from(typed).err()?;
    Some(help.render().ansi().to_string().replace(UNBROKEN, " "))
}

fn uncut(command: clap::Command) -> clap::Command {
    let help = command.get_after_help().map(ToString::to_string);
    let command = match help {
        Some(help) => command.after_help(paragraphs(&help)),
        None => command,
    };
    command.mut_subcommands(uncut)
}

/// The same text: its prose as one line for each paragraph, so that it is broken once.
fn paragraphs(help: &str) -> String {
    let mut text = String::new();
    let mut in_prose = false;
    for (number, one) in help.lines().enumerate() {
        let is_prose = !one.is_empty() && !one.starts_with(' ');
        text.push_str(match number {
            0 => "",
            _ if in_prose && is_prose => " ",
            _ => "\n",
        });
        text.push_str(&line(one));
        in_prose = is_prose;
    }
    text
}

/// A command in one piece, and below it what is said beside it.
fn line(line: &str) -> String {
    let words = line.trim_start();
    if !COPIED.iter().any(|begin| words.starts_with(begin)) || words.len() == line.len() {
        return line.to_owned();
    }
    let indent = " ".repeat(line.len() - words.len());
    let (command, beside) = words.split_once("  ").unwrap_or((words, ""));
    let command = format!("{indent}{}", command.replace(' ', UNBROKEN));
    match beside.trim_start() {
        "" => command,
        beside => format!("{command}\n{indent}    {beside}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(words: &[&str]) -> String {
        let typed: Vec<OsString> = ["authkeeper"].iter().chain(words).map(Into::into).collect();
        rendered(uncut(args::whole().term_width(40)), &typed).unwrap()
    }

    #[test]
    fn no_example_is_cut_and_what_is_said_beside_it_stands_below() {
        let run = help(&["run", "--help"]);
        for line in [
            "  0 2 * * * authkeeper run --with notion --wait 15m -- $HOME/bin/nightly.sh\n",
            "  printf 'X-Authkeeper-Task: %s' \"$AUTHKEEPER_TASK\" |\n    curl -H @- \"$AUTHKEEPER_URL/c/notion\"\n",
            "  77  the provider refuses this account\n",
        ] {
            assert!(run.contains(line), "{line}: {run}");
        }
        assert!(
            run.contains("calls, refreshes, waits and failures\nthere were; without"),
            "{run}"
        );
        let all = help(&["--help"]);
        let example =
            "  authkeeper connect notion https://mcp.notion.com/mcp\n      sign in once\n";
        assert!(all.contains(example), "{all}");
    }
}
