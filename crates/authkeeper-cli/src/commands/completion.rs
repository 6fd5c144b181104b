//! `completions`: a script that asks this program for the candidates, so that a shell completes connection names too.

use std::{ffi::OsString, path::Path};

use clap::{Arg, Command, builder::ArgExt};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCandidates, CompletionCandidate},
    env::Shells,
};

use authkeeper::store::sqlite::connection_names;

use crate::{
    args,
    exit::Exit,
    failure::{Failure, REPORT},
    output::CommandOutput,
    settings::{CliSettings, Environment},
};

const NAME: &str = "authkeeper";
/// The variable in which the script names its shell. One of ours: `COMPLETE` could be set for another program.
const VARIABLE: &str = "AUTHKEEPER_COMPLETE";
/// Their NAME is new.
const NAMES_NOTHING: [&str; 2] = ["connect", "import"];
/// Arguments besides NAME that name a connection.
const OTHERS: [(&str, &str); 2] = [("run", "with"), ("doctor", "reread")];

/// Prints the script. It calls the program by its name, so that it stays right after an upgrade.
pub(crate) fn script(shell: Shell, output: CommandOutput) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let mut script = Vec::new();
    let written = shells
        .completer(&shell.to_string())
        .map(|completer| completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script));
    if !matches!(written, Some(Ok(()))) {
        let what = format!("there is no script for {shell}");
        return Err(Failure::new(Exit::Bug, what, REPORT));
    }
    output.data_bytes(&script);
    Ok(())
}

/// Answers a script that asks for candidates. False if nobody asks, and the command line is one to be carried out.
pub(crate) fn answered(typed: &[OsString]) -> clap::error::Result<bool> {
    let completions = CompleteEnv::with_factory(command_line).var(VARIABLE);
    completions.try_complete(typed, None::<&Path>)
}

fn command_line() -> Command {
    with_candidates(args::whole(), &ArgValueCandidates::new(connected))
}

/// Adds the candidates to every argument that names a connection.
fn with_candidates(command: Command, candidates: &(impl ArgExt + Clone)) -> Command {
    let mut command = command;
    let below: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    for name in below {
        command = command.mut_subcommand(&name, |below| {
            let names = |argument: &Arg| is_connection(&name, argument.get_id().as_str());
            below.mut_args(|argument| {
                if names(&argument) {
                    argument.add(candidates.clone())
                } else {
                    argument
                }
            })
        });
    }
    command
}

fn is_connection(command: &str, argument: &str) -> bool {
    let named = argument == "name" && !NAMES_NOTHING.contains(&command);
    named || OTHERS.contains(&(command, argument))
}

/// What is connected here. Nothing is said of a store that can't be read: a person is typing.
fn connected() -> Vec<CompletionCandidate> {
    let environment = Environment::of_process();
    let settings =
        CliSettings::load(&environment).or_else(|_torn| CliSettings::without_file(&environment));
    let names = settings
        .ok()
        .and_then(|settings| connection_names(&settings.runtime.store).ok());
    names
        .unwrap_or_default()
        .into_iter()
        .map(CompletionCandidate::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(words: &[&str]) -> Vec<String> {
        let known = || Vec::from(["notion", "try"].map(CompletionCandidate::new));
        let mut command = with_candidates(args::whole(), &ArgValueCandidates::new(known));
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let at = words.len() - 1;
        let found = clap_complete::engine::complete(&mut command, words, at, None).unwrap();
        let text = |one: CompletionCandidate| one.get_value().to_string_lossy().into_owned();
        found.into_iter().map(text).collect()
    }

    #[test]
    fn connections_are_completed_wherever_one_is_named() {
        for command in [
            "token",
            "status",
            "mcp",
            "check",
            "why",
            "rotate",
            "reauthorize",
            "disconnect",
            "mcp-config",
        ] {
            assert_eq!(
                candidates(&["authkeeper", command, "no"]),
                ["notion"],
                "{command}"
            );
        }
        assert_eq!(candidates(&["authkeeper", "run", "--with", "t"]), ["try"]);
        assert_eq!(
            candidates(&["authkeeper", "doctor", "--reread", "t"]),
            ["try"]
        );
    }

    #[test]
    fn a_new_name_is_nobodys_and_commands_are_completed_too() {
        let none: [String; 0] = [];
        assert_eq!(candidates(&["authkeeper", "connect", "no"]), none);
        assert_eq!(candidates(&["authkeeper", "reau"]), ["reauthorize"]);
    }
}
