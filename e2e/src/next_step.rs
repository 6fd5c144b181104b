//! The next step that a failed command prints, read as a person would act on it.

use std::process::Command;

use crate::home::{Output, authkeeper_binary};

/// What a `next:` line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextStep {
    /// The line, without `next:`.
    pub line: String,
}

/// Flags that take no value.
const ALONE: [&str; 5] = [
    "--device",
    "--headless",
    "--no-resource",
    "--pkce-unadvertised",
    "--key-stdin",
];

const SAME: &str = "run the same command";

impl NextStep {
    /// Of a command's output; none if it prints none.
    pub fn of(output: &Output) -> Option<Self> {
        let mut lines = output.stderr.lines();
        let line = lines.find_map(|line| line.strip_prefix("  next: "))?;
        Some(Self {
            line: line.to_owned(),
        })
    }

    /// The command that it asks for, where that is the failed one with other flags or values. `fill` gives what the line
    /// leaves to the person, like the value of `ID`.
    pub fn same_command(&self, failed: &[&str], fill: &[(&str, &str)]) -> Option<Vec<String>> {
        let (_, rest) = self.line.split_once(SAME)?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let words: Vec<&str> = words.into_iter().map(bare).collect();
        let mut command: Vec<String> = failed.iter().map(|&word| word.to_owned()).collect();
        if words.first() != Some(&"with") {
            return Some(command);
        }
        let (flags, rest) = flags(words.get(1..)?);
        if let ["in", "the", "place", "of", old, ..] = rest {
            command.retain(|word| word != old);
        }
        let filled = |word: &str| {
            let given = fill.iter().find(|(name, _)| *name == word);
            given.map_or(word, |(_, value)| value).to_owned()
        };
        command.extend(flags.into_iter().map(filled));
        Some(command)
    }

    /// What stands in the place of what: the new value and the old one.
    pub fn in_place(&self) -> Option<(String, String)> {
        let (_, rest) = self.line.split_once("with ")?;
        let (new, rest) = rest.split_once(" in the place of ")?;
        let old = rest.split_whitespace().next()?;
        Some((new.to_owned(), bare(old).to_owned()))
    }
}

/// Flags with their values, and what comes after them.
fn flags<'a, 'b>(words: &'b [&'a str]) -> (Vec<&'a str>, &'b [&'a str]) {
    let mut found = vec![];
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with("--")) {
        found.push(*word);
        at += 1;
        if let Some(value) = words.get(at).filter(|_| !ALONE.contains(word)) {
            found.push(value);
            at += 1;
        }
    }
    (found, words.get(at..).unwrap_or_default())
}

/// Without the marks of the sentence around it.
fn bare(word: &str) -> &str {
    word.trim_matches([',', ';', '(', ')', '\''])
        .trim_end_matches('.')
}

/// The command that an action is or ends in, with `--help`: this version knows it, its flags and its place for a name.
pub fn assert_can_be_typed(action: &str) {
    for command in commands_of(action) {
        let typed = Command::new(authkeeper_binary())
            .args(&command)
            .arg("--help")
            .env_clear()
            .output()
            .expect("the binary is there");
        assert!(
            typed.status.success(),
            "{action:?} can't be typed: {}",
            String::from_utf8_lossy(&typed.stderr)
        );
    }
}

/// The words after each `authkeeper` that is a command and not the subject of a sentence.
fn commands_of(action: &str) -> Vec<Vec<&str>> {
    const PREDICATES: [&str; 3] = ["asks", "goes", "keeps"];
    let parts = action.split("authkeeper ").skip(1);
    let words = parts.map(|part| part.split([';', ',']).next().unwrap_or_default());
    let commands = words.map(|part| part.split_whitespace().collect::<Vec<_>>());
    commands
        .filter(|words| {
            words
                .first()
                .is_some_and(|first| !PREDICATES.contains(first))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(line: &str) -> Option<Vec<String>> {
        let step = NextStep {
            line: line.to_owned(),
        };
        step.same_command(&["connect", "x", "URL", "--device"], &[("ID", "me")])
    }

    #[test]
    fn a_step_is_read_as_a_person_would_act_on_it() {
        let all = |more: &str| Some(more.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let again = all("connect x URL --device");
        assert_eq!(
            same("ask somebody, then run the same command again: soon"),
            again
        );
        assert_eq!(
            same("so run the same command with --no-resource"),
            all("connect x URL --device --no-resource")
        );
        assert_eq!(
            same("run the same command with --headless in the place of --device"),
            all("connect x URL --headless")
        );
        assert_eq!(
            same(
                "run the same command with --redirect-uri http://127.0.0.1:1/c --client-id ID (or not)"
            ),
            all("connect x URL --device --redirect-uri http://127.0.0.1:1/c --client-id me")
        );
        assert_eq!(same("check the URL"), None);
    }

    #[test]
    fn the_commands_of_an_action_are_told_from_its_sentences() {
        let found = |action| -> Vec<String> {
            let commands = commands_of(action).into_iter();
            commands.map(|words| words.join(" ")).collect()
        };
        for (action, commands) in [
            ("authkeeper reauthorize a", &["reauthorize a"][..]),
            (
                "check client c at the provider, then authkeeper reauthorize a",
                &["reauthorize a"],
            ),
            (
                "nothing yet: authkeeper asks again as the provider's rule allows; see authkeeper status a",
                &["status a"],
            ),
            ("nothing at authkeeper: authkeeper goes on by itself", &[]),
        ] {
            assert_eq!(found(action), commands, "{action}");
        }
    }
}
