//! What a person may have meant whose command line is not understood.

use std::ffi::OsString;

use clap::{
    Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

const STATUS: &str = "authkeeper status lists what is connected";
const SIGN_IN: &str = "authkeeper connect NAME URL signs in; authkeeper reauthorize NAME does it again for what is connected";
const SIGN_OUT: &str = "authkeeper disconnect NAME revokes the access and forgets it";
const VERSION: &str = "authkeeper --version prints it";
const REFRESH: &str =
    "nothing is to be refreshed by hand: authkeeper token NAME prints a fresh token";
const SERVE: &str = "authkeeper serve is the daemon; a service manager starts and stops it";

/// The commands of other programs, and where the same is found here.
const ELSEWHERE: [(&str, &str); 24] = [
    ("list", STATUS),
    ("ls", STATUS),
    ("show", STATUS),
    ("info", STATUS),
    ("connections", STATUS),
    ("whoami", STATUS),
    ("login", SIGN_IN),
    ("log-in", SIGN_IN),
    ("signin", SIGN_IN),
    ("sign-in", SIGN_IN),
    ("auth", SIGN_IN),
    ("add", SIGN_IN),
    ("authorize", SIGN_IN),
    ("logout", SIGN_OUT),
    ("log-out", SIGN_OUT),
    ("signout", SIGN_OUT),
    ("sign-out", SIGN_OUT),
    ("remove", SIGN_OUT),
    ("rm", SIGN_OUT),
    ("revoke", SIGN_OUT),
    ("version", VERSION),
    ("refresh", REFRESH),
    ("start", SERVE),
    ("daemon", SERVE),
];

/// The error with a hint that leads on, where it is known what was meant. `typed`: the whole command line.
pub(crate) fn explained(mut error: Error, typed: &[OsString]) -> Error {
    let hint = match error.kind() {
        ErrorKind::InvalidSubcommand => elsewhere(&error),
        ErrorKind::UnknownArgument => command_without_dashes(&error, typed),
        _ => None,
    };
    if let Some(hint) = hint {
        // Nothing that only looks like it.
        let _ = error.remove(ContextKind::SuggestedSubcommand);
        let hint = ContextValue::StyledStrs(vec![StyledStr::from(hint)]);
        let _ = error.insert(ContextKind::Suggested, hint);
    }
    error
}

fn of(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn elsewhere(error: &Error) -> Option<String> {
    let typed = of(error, ContextKind::InvalidSubcommand)?;
    let found = ELSEWHERE.iter().find(|(word, _)| *word == typed);
    found.map(|(_, hint)| (*hint).to_owned())
}

/// `run` without `--` before its command: the same command line with it.
fn command_without_dashes(error: &Error, typed: &[OsString]) -> Option<String> {
    let unknown = of(error, ContextKind::InvalidArg)?;
    let words: Vec<&str> = typed
        .iter()
        .skip(1)
        .filter_map(|word| word.to_str())
        .collect();
    let is_run = words.iter().find(|word| !word.starts_with('-')) == Some(&"run");
    if !is_run || unknown.starts_with('-') || words.contains(&"--") {
        return None;
    }
    let begins = words.iter().position(|word| *word == "run")? + 1;
    let of_flag = |at: usize| {
        words
            .get(at - 1)
            .is_some_and(|before| before.starts_with("--") && !before.contains('='))
    };
    let mut places = (begins..words.len()).filter(|at| words.get(*at) == Some(&unknown));
    let at = places.find(|at| !of_flag(*at))?;
    let (options, command) = words.split_at_checked(at)?;
    let whole = ["authkeeper"]
        .iter()
        .chain(options)
        .chain(&["--"])
        .chain(command);
    let whole: Vec<String> = whole.map(|word| as_typed(word)).collect();
    Some(format!("-- comes before the command: {}", whole.join(" ")))
}

/// A word as a shell takes it.
fn as_typed(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::args::Cli;

    fn said(words: &[&str]) -> String {
        let typed: Vec<OsString> = ["authkeeper"].iter().chain(words).map(Into::into).collect();
        let error = Cli::try_parse_from(&typed).unwrap_err();
        explained(error, &typed).render().to_string()
    }

    #[test]
    fn other_programs_words_lead_to_a_command() {
        for (word, hint) in ELSEWHERE {
            let said = said(&[word]);
            assert!(said.contains(&format!("tip: {hint}")), "{word}: {said}");
            assert_eq!(said.matches("tip:").count(), 1, "{word}: {said}");
        }
        assert!(
            said(&["statsu"]).contains("'status'"),
            "a slip is left to clap"
        );
    }

    #[test]
    fn no_word_of_another_program_is_one_of_ours_and_every_hint_names_one() {
        let ours: Vec<String> = Cli::command()
            .get_subcommands()
            .map(|one| one.get_name().to_owned())
            .collect();
        for (word, hint) in ELSEWHERE {
            assert!(!ours.iter().any(|own| own == word), "{word}");
            for (_, after) in hint
                .match_indices("authkeeper ")
                .map(|(at, found)| hint.split_at(at + found.len()))
            {
                let first = after.split([' ', ';']).next().unwrap();
                assert!(
                    first == "--version" || ours.iter().any(|own| own == first),
                    "{first}"
                );
            }
        }
    }

    #[test]
    fn a_run_without_dashes_is_said_with_them() {
        let with = "tip: -- comes before the command: authkeeper run --with x -- ";
        assert!(said(&["run", "--with", "x", "true"]).contains(&format!("{with}true")));
        let quoted = said(&["run", "--with", "x", "sh", "-c", "echo 'a b'"]);
        assert!(
            quoted.contains(&format!(r"{with}sh -c 'echo '\''a b'\'''")),
            "{quoted}"
        );
        let run = said(&["run", "--with", "x", "run", "me"]);
        assert!(run.contains(&format!("{with}run me")), "{run}");
        let same = said(&["run", "--with", "true", "true"]);
        assert!(same.contains("run --with true -- true"), "{same}");
        assert!(!said(&["run", "--wiht", "x", "--", "true"]).contains("comes before"));
        assert!(!said(&["token", "x", "y"]).contains("comes before"));
    }
}
