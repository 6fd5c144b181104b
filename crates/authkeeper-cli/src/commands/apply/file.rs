//! `connections.toml`: a table for each connection, whose keys are the flags of `connect`. They are read by the same parser, so
//! that a key means what its flag means.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use authkeeper::text::similar;
use authkeeper_gateway::bounded_read;
use clap::Parser as _;
use toml::{Table, Value};

use crate::{
    args::{self, Cli, Command, ConnectArgs},
    exit::Exit,
    failure::Failure,
};

/// No list is longer.
const LONGEST: u64 = 1024 * 1024;
/// Flags that are no property of a connection.
const NO_KEYS: [&str; 4] = ["help", "json", "key-stdin", "timeout"];
/// Keys besides `…-file` whose value is a path.
const PATHS: [&str; 2] = ["client-cert", "client-key"];

/// The listed connections, by name.
pub(super) fn read(path: &Path) -> Result<Vec<ConnectArgs>, Failure> {
    let text = bounded_read::read(path, LONGEST).map_err(|error| {
        let what = format!("{} can't be read: {error}", path.display());
        let next = "write a table for each connection: authkeeper apply --help shows how";
        Failure::new(Exit::Config, what, next)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).map_err(|why| {
        let what = format!("{}: {}", path.display(), why.what);
        Failure::new(Exit::Config, what, why.next)
    })
}

/// What is wrong, and what to do.
struct Problem {
    what: String,
    next: String,
}

fn problem(what: impl Into<String>, next: impl Into<String>) -> Problem {
    Problem {
        what: what.into(),
        next: next.into(),
    }
}

fn parse(text: &str, folder: &Path) -> Result<Vec<ConnectArgs>, Problem> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let place = error.span().map(|span| {
            text.get(..span.start)
                .unwrap_or_default()
                .lines()
                .count()
                .max(1)
        });
        let place = place
            .map(|line| format!("line {line}: "))
            .unwrap_or_default();
        problem(format!("{place}{}", error.message()), "correct it as TOML")
    })?;
    let keys = keys();
    let of = |(name, value): (&String, &Value)| match value {
        Value::Table(settings) => listed(name, settings, &keys, folder),
        _ => Err(problem(
            format!("{name} belongs to no connection"),
            "write it below the name of a connection, as in [notion]",
        )),
    };
    table.iter().map(of).collect()
}

/// The keys: the flags of `connect`, and its URL.
fn keys() -> Vec<String> {
    let whole = args::whole();
    let connect = whole.find_subcommand("connect");
    let flags = connect
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(clap::Arg::get_long);
    let flags = flags
        .filter(|flag| !NO_KEYS.contains(flag))
        .map(str::to_owned);
    flags.chain(["url".to_owned()]).collect()
}

fn listed(
    name: &str,
    settings: &Table,
    keys: &[String],
    folder: &Path,
) -> Result<ConnectArgs, Problem> {
    let mut words = vec![
        "authkeeper".to_owned(),
        "connect".to_owned(),
        name.to_owned(),
    ];
    for (key, value) in settings {
        let flag = key.replace('_', "-");
        if !keys.contains(&flag) {
            return Err(unknown(name, key, keys));
        }
        words.extend(words_of(&flag, value, folder).ok_or_else(|| {
            let next = "write a text in quotes, a number, true, or a list of texts";
            problem(
                format!("[{name}]: {key} has a value that means nothing"),
                next,
            )
        })?);
    }
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let wrong = |error: clap::Error| {
        let said = error.to_string();
        let said = said
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        problem(
            format!("[{name}]: {said}"),
            "authkeeper connect --help says what each key takes",
        )
    };
    match Cli::try_parse_from(words).map_err(wrong)?.command {
        Command::Connect(args) => Ok(*args),
        _ => Err(problem(
            format!("[{name}] is no connection"),
            "choose another name",
        )),
    }
}

fn unknown(name: &str, key: &str, keys: &[String]) -> Problem {
    let near = similar::nearest(&key.replace('_', "-"), keys.iter().map(String::as_str));
    let next = match near {
        Some(meant) => format!("did you mean {meant}?"),
        None => "authkeeper connect --help lists the flags, which are the keys".to_owned(),
    };
    problem(format!("[{name}]: {key} is no key"), next)
}

/// The words that are typed for a key; none if its value has another type.
fn words_of(flag: &str, value: &Value, folder: &Path) -> Option<Vec<String>> {
    let is_path = flag.ends_with("-file") || PATHS.contains(&flag);
    let typed = |text: &str| match flag {
        "url" => text.to_owned(),
        _ if is_path => format!("--{flag}={}", from(folder, text).display()),
        _ => format!("--{flag}={text}"),
    };
    match value {
        Value::String(text) => Some(vec![typed(text)]),
        Value::Integer(number) => Some(vec![typed(&number.to_string())]),
        Value::Datetime(day) => Some(vec![typed(&day.to_string())]),
        Value::Boolean(true) => Some(vec![format!("--{flag}")]),
        Value::Boolean(false) => Some(vec![]),
        Value::Array(all) => all.iter().map(|one| one.as_str().map(typed)).collect(),
        _ => None,
    }
}

/// A relative path starts where the file is.
fn from(folder: &Path, text: &str) -> PathBuf {
    folder.join(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ConnectArgs>, (String, String)> {
        parse(text, Path::new("/etc/job")).map_err(|problem| (problem.what, problem.next))
    }

    #[test]
    fn a_key_is_a_flag_and_a_path_starts_at_the_file() {
        let text = "[notion]\nurl = \"https://mcp.notion.com/mcp\"\n\n[orders]\nurl = \"https://api.example/v1\"\n\
            grant = \"client_credentials\"\nclient_id = \"job\"\nclient-secret-file = [\"a.secret\", \"/b.secret\"]\n\
            param = [\"audience=orders\", \"x=--y\"]\nno-resource = true\npkce-unadvertised = false\n";
        let all = read(text).unwrap();
        assert_eq!(
            (all[0].name.as_str(), all[0].url.as_deref()),
            ("notion", Some("https://mcp.notion.com/mcp"))
        );
        let orders = &all[1];
        assert_eq!(orders.client.client_id.as_deref(), Some("job"));
        let secrets = &orders.client.client_secret_file;
        assert_eq!(
            secrets,
            &[
                PathBuf::from("/etc/job/a.secret"),
                PathBuf::from("/b.secret")
            ]
        );
        assert_eq!(orders.request.param, ["audience=orders", "x=--y"]);
        assert!(orders.request.no_resource && !orders.request.pkce_unadvertised);
    }

    #[test]
    fn what_means_nothing_is_said_with_its_place() {
        for (text, what, next) in [
            (
                "[x]\nurll = \"https://a.example\"",
                "[x]: urll is no key",
                "did you mean url?",
            ),
            ("[x]\nkey-stdin = true", "key-stdin is no key", "--help"),
            (
                "url = \"https://a.example\"",
                "url belongs to no connection",
                "[notion]",
            ),
            (
                "[x]\nurl = 1.5",
                "url has a value that means nothing",
                "in quotes",
            ),
            (
                "[x]\ngrant = \"password\"",
                "[x]: invalid value 'password'",
                "--help",
            ),
            (
                "[x]\nkey-id = \"k\"",
                "[x]: the following required",
                "--help",
            ),
            ("[x]\nurl =", "line 2: ", "TOML"),
        ] {
            let (said, hint) = read(text).unwrap_err();
            assert!(said.contains(what), "{text}: {said}");
            assert!(hint.contains(next), "{text}: {hint}");
        }
    }
}
