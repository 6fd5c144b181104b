//! The configuration file, read setting by setting: each is named only where it is taken, and a setting that is not taken
//! is unknown.

use std::{collections::BTreeMap, path::Path, time::Duration};

use authkeeper::{http::HttpUrl, text::similar};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{args::parse_duration, exit::Exit, failure::Failure, old_names};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is not set.
    Default,
    /// A line of the configuration file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(&'static str),
}

/// One setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    /// As a person writes it; none if there is none.
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// A setting that the file writes by its old name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldSetting {
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
    pub(crate) line: usize,
}

/// A name in the file: the tables around it and its key.
type Name = Vec<String>;

#[derive(Debug)]
struct Typed {
    /// None where it is no text.
    text: Option<String>,
    line: usize,
}

/// The file, emptied setting by setting.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    place: String,
    typed: BTreeMap<Name, Typed>,
    taken: Vec<Setting>,
    old_settings: Vec<OldSetting>,
}

impl ConfigFile {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let place = path.display().to_string();
        let parsed = DeTable::parse(text).map_err(|error| {
            // It shows the line, whatever stands in it.
            let told = error.to_string();
            let told = told.trim().chars();
            let printable = told.filter(|c| !c.is_control() || *c == '\n');
            wrong(format!("{place}: {}", printable.collect::<String>()))
        })?;
        let mut typed = BTreeMap::new();
        flatten(text, &[], parsed.get_ref(), &mut typed);
        let mut file = Self {
            place,
            typed,
            taken: Vec::new(),
            old_settings: Vec::new(),
        };
        file.rename_old_settings()?;
        Ok(file)
    }

    /// Renames settings that are written by their old name; both names at once are an error.
    fn rename_old_settings(&mut self) -> Result<(), Failure> {
        for (new, old) in old_names::settings() {
            let Some(typed) = self.typed.remove(&parts(old)) else {
                continue;
            };
            let line = typed.line;
            if let Some(other) = self.typed.insert(parts(new), typed) {
                let what = format!(
                    "{old} is the old name of {new}, which line {} sets too; keep only {new}",
                    other.line
                );
                return Err(self.fault(line, &what));
            }
            self.old_settings.push(OldSetting { old, new, line });
        }
        Ok(())
    }

    pub(super) fn old_settings(&self) -> Vec<OldSetting> {
        self.old_settings.clone()
    }

    /// A text, if one is set.
    pub(super) fn text(&mut self, name: &[&str]) -> Result<Option<String>, Failure> {
        self.take(name, None, |text| Ok(text.to_owned()))
    }

    /// A text that may hold private data: only its first word is shown.
    pub(super) fn command(&mut self, name: &[&str]) -> Result<Option<String>, Failure> {
        let command = self.text(name)?;
        if let Some(shown) = self.taken.last_mut().and_then(|last| last.value.as_mut()) {
            *shown = first_word(shown);
        }
        Ok(command)
    }

    /// A URL whose path may be a secret: of it only the origin is shown.
    pub(super) fn url(&mut self, name: &[&str]) -> Result<Option<HttpUrl>, Failure> {
        let url = self.take(name, None, |text| {
            // The error would show it.
            HttpUrl::parse(text)
                .map_err(|_invalid| "must be an https URL, or http on this machine".to_owned())
        })?;
        if let (Some(url), Some(taken)) = (&url, self.taken.last_mut()) {
            taken.value = Some(format!("{}/…", url.origin()));
        }
        Ok(url)
    }

    /// The URL of a proxy: it is shown without user and password.
    pub(super) fn proxy(&mut self, name: &[&str]) -> Result<Option<String>, Failure> {
        let url = self.text(name)?;
        if let Some(shown) = self.taken.last_mut().and_then(|last| last.value.as_mut()) {
            *shown = without_password(shown);
        }
        Ok(url)
    }

    pub(super) fn duration(&mut self, name: &[&str]) -> Result<Option<Duration>, Failure> {
        self.take(name, None, parse_duration)
    }

    pub(super) fn duration_or(
        &mut self,
        name: &[&str],
        default: Duration,
    ) -> Result<Duration, Failure> {
        let shown = format!("{}s", default.as_secs());
        Ok(self
            .take(name, Some(shown), parse_duration)?
            .unwrap_or(default))
    }

    /// Takes a setting, and notes its value and where it comes from.
    pub(super) fn take<T>(
        &mut self,
        name: &[&str],
        default: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let key: Name = name.iter().map(|&part| part.to_owned()).collect();
        let shown = spelled(&key);
        let Some(typed) = self.typed.remove(&key) else {
            self.taken.push(Setting {
                name: shown,
                value: default,
                origin: Origin::Default,
            });
            return Ok(None);
        };
        let line = typed.line;
        let text = typed
            .text
            .ok_or_else(|| self.fault(line, &format!("{shown} must be a text in quotes")))?;
        let value = parse(&text).map_err(|why| self.fault(line, &format!("{shown}: {why}")))?;
        self.taken.push(Setting {
            name: shown,
            value: Some(text),
            origin: Origin::Line(line),
        });
        Ok(Some(value))
    }

    /// The names of the tables under this one.
    pub(super) fn tables_of(&self, table: &str) -> Vec<String> {
        let below = |name: &Name| match name.as_slice() {
            [first, second, _, ..] if first == table => Some(second.clone()),
            _ => None,
        };
        let mut names: Vec<String> = self.typed.keys().filter_map(below).collect();
        names.dedup();
        names
    }

    /// The names of the tables under this one, within another.
    pub(super) fn tables_below(&self, above: &str, table: &str) -> Vec<String> {
        let below = |name: &Name| match name.as_slice() {
            [first, second, third, _, ..] if first == above && second == table => {
                Some(third.clone())
            }
            _ => None,
        };
        let mut names: Vec<String> = self.typed.keys().filter_map(below).collect();
        names.dedup();
        names
    }

    /// Whether a setting is set and not taken yet.
    pub(super) fn has(&self, name: &[&str]) -> bool {
        let key: Name = name.iter().map(|&part| part.to_owned()).collect();
        self.typed.contains_key(&key)
    }

    /// All that was taken; what was not is not known.
    pub(super) fn all_taken(self) -> Result<Vec<Setting>, Failure> {
        let unknown: Vec<String> = self
            .typed
            .iter()
            .map(|(name, typed)| format!("{} (line {})", spelled(name), typed.line))
            .collect();
        if unknown.is_empty() {
            return Ok(self.taken);
        }
        let what = format!("{}: no such setting: {}", self.place, unknown.join(", "));
        Err(Failure {
            next: self.meant() + NEXT,
            ..wrong(what)
        })
    }

    /// Which settings may have been meant by those that are not known.
    fn meant(&self) -> String {
        let known = || self.taken.iter().map(|setting| setting.name.as_str());
        let unknown = self.typed.keys();
        let near: Vec<&str> = unknown
            .filter_map(|name| similar::nearest(&spelled(name), known()))
            .collect();
        if near.is_empty() {
            return String::new();
        }
        format!("did you mean {}? ", near.join(", "))
    }

    fn fault(&self, line: usize, what: &str) -> Failure {
        wrong(format!("{}, line {line}: {what}", self.place))
    }
}

const NEXT: &str = "correct that line; authkeeper config show lists every setting";

fn wrong(what: String) -> Failure {
    Failure::new(Exit::Config, what, NEXT)
}

fn flatten(text: &str, above: &[String], table: &DeTable<'_>, typed: &mut BTreeMap<Name, Typed>) {
    for (key, value) in table {
        let mut name = above.to_vec();
        name.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(below) if !below.is_empty() => flatten(text, &name, below, typed),
            // An empty table sets nothing.
            DeValue::Table(_) => {}
            other => {
                let line = line_of(text, key);
                let text = match other {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                };
                typed.insert(name, Typed { text, line });
            }
        }
    }
}

fn line_of<T>(text: &str, spanned: &Spanned<T>) -> usize {
    let before = text.get(..spanned.span().start).unwrap_or_default();
    1 + before.matches('\n').count()
}

fn parts(name: &str) -> Name {
    name.split('.').map(str::to_owned).collect()
}

/// As in the file: what is no plain word stands in quotes.
fn spelled(name: &Name) -> String {
    let part = |part: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if part.chars().all(plain) {
            part.clone()
        } else {
            format!("{part:?}")
        }
    };
    name.iter().map(part).collect::<Vec<_>>().join(".")
}

/// A proxy's URL as it may be shown: without user and password.
pub(crate) fn without_password(url: &str) -> String {
    let (scheme, rest) = url
        .split_once("://")
        .map_or(("", url), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map(|(_, host)| host);
    match (scheme, host) {
        (_, None) => url.to_owned(),
        ("", Some(host)) => format!("…@{host}"),
        (scheme, Some(host)) => format!("{scheme}://…@{host}"),
    }
}

fn first_word(command: &str) -> String {
    match command.trim().split_once(char::is_whitespace) {
        Some((first, _)) => format!("{first} …"),
        None => command.trim().to_owned(),
    }
}
