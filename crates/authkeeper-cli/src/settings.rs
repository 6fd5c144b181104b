//! Where things are and how they are set: the environment and the configuration file, read once, parsed into what they
//! mean.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use authkeeper::{
    model::ReplayRule,
    refresh::{ProviderHabits, RefreshRules},
    runtime,
};
use serde::Deserialize;

use crate::{exit::Exit, failure::Failure};

/// The environment as it was at the start; nothing else reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsString> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

/// Everything that is set, as it is meant.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) runtime: runtime::Settings,
    /// The command that is told of a trouble.
    pub(crate) on_trouble: Option<String>,
    /// The URL of our client metadata document.
    pub(crate) client_metadata_url: Option<String>,
}

/// The configuration file as it is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    on_trouble: Option<String>,
    client_metadata_url: Option<String>,
    #[serde(default)]
    refresh: RefreshSection,
    #[serde(default)]
    provider: BTreeMap<String, ProviderSection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshSection {
    exchange_limit: Option<String>,
    quiet_period: Option<String>,
    reserve: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderSection {
    replay: Option<String>,
    default_lifetime: Option<String>,
}

impl Settings {
    pub(crate) fn load(environment: &Environment) -> Result<Self, Failure> {
        let path = config_path(environment)?;
        let named = environment.get("AUTHKEEPER_CONFIG").is_some();
        let file = read_config(&path, named)?;
        let data = data_folder(environment)?;
        let mut runtime = runtime::Settings::in_folder(data);
        if let Some(store) = environment.path("AUTHKEEPER_STORE") {
            if store.to_string_lossy().contains("://") {
                let what = "AUTHKEEPER_STORE is a URL, and only a file is supported yet";
                return Err(Failure::new(
                    Exit::Config,
                    what,
                    "give the path of an SQLite file",
                ));
            }
            runtime.data = store.parent().map(Path::to_owned).unwrap_or_default();
            runtime.key = runtime.data.join("key");
            runtime.store = store;
        }
        if let Some(key) = environment.path("AUTHKEEPER_KEY_FILE") {
            runtime.key = key;
        }
        let wrong = |what: String| {
            Failure::new(
                Exit::Config,
                format!("{}: {what}", path.display()),
                "mend that line",
            )
        };
        runtime.rules = rules(&file).map_err(wrong)?;
        Ok(Self {
            runtime,
            on_trouble: file.on_trouble,
            client_metadata_url: file.client_metadata_url,
        })
    }
}

fn config_path(environment: &Environment) -> Result<PathBuf, Failure> {
    if let Some(path) = environment.path("AUTHKEEPER_CONFIG") {
        return Ok(path);
    }
    Ok(xdg(environment, "XDG_CONFIG_HOME", ".config")?.join("authkeeper/config.toml"))
}

fn data_folder(environment: &Environment) -> Result<PathBuf, Failure> {
    Ok(xdg(environment, "XDG_DATA_HOME", ".local/share")?.join("authkeeper"))
}

/// The XDG base directory specification: an absolute path in the variable, else its default under the home.
fn xdg(environment: &Environment, variable: &str, default: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = environment.path(variable).filter(|path| path.is_absolute()) {
        return Ok(path);
    }
    let home = environment.path("HOME").ok_or_else(|| {
        let what = format!("neither {variable} nor HOME is set");
        Failure::new(
            Exit::Config,
            what,
            "set HOME (cron does, a bare service may not)",
        )
    })?;
    Ok(home.join(default))
}

/// `named`: somebody wants this file, so it has to be there.
fn read_config(path: &Path, named: bool) -> Result<ConfigFile, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            if missing && !named {
                return Ok(ConfigFile::default());
            }
            let what = format!("{} can't be read: {error}", path.display());
            let next = if missing {
                "write it, or mend AUTHKEEPER_CONFIG, which names it"
            } else {
                "check its permissions"
            };
            return Err(Failure::new(Exit::Config, what, next));
        }
    };
    toml::from_str(&text).map_err(|error| {
        let what = format!("{}: {}", path.display(), error.to_string().trim());
        Failure::new(
            Exit::Config,
            what,
            "mend that line; docs/configuration.md lists every setting",
        )
    })
}

fn rules(file: &ConfigFile) -> Result<RefreshRules, String> {
    let mut rules = RefreshRules::default();
    let set = |slot: &mut Duration, value: &Option<String>| -> Result<(), String> {
        if let Some(value) = value {
            *slot = parse_duration(value)?;
        }
        Ok(())
    };
    set(&mut rules.exchange_limit, &file.refresh.exchange_limit)?;
    set(&mut rules.quiet_period, &file.refresh.quiet_period)?;
    set(&mut rules.reserve, &file.refresh.reserve)?;
    for (issuer, section) in &file.provider {
        let replay = section.replay.as_deref().map(ReplayRule::parse).transpose();
        let lifetime = section
            .default_lifetime
            .as_deref()
            .map(parse_duration)
            .transpose()?;
        let replay = replay
            .map_err(|error| error.to_string())?
            .unwrap_or_default();
        rules
            .providers
            .insert(issuer.clone(), ProviderHabits::new(replay, lifetime));
    }
    Ok(rules)
}

/// `90s`, `10m`, `2h`, `1d`; a bare number counts seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let seconds = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => {
            return Err(format!(
                "{text:?} is not a duration; write 90s, 10m, 2h or 1d"
            ));
        }
    };
    let number = digits
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds));
    number
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is not a duration; write 90s, 10m, 2h or 1d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
        Environment(pairs.iter().map(own).collect())
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("10m").unwrap(), Duration::from_mins(10));
        assert_eq!(parse_duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("2 h").unwrap(), Duration::from_hours(2));
        for bad in ["", "soon", "-1s", "1w", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_setting_that_is_not_known_is_said_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "on_truble = \"x\"\n").unwrap();
        let failure = read_config(&path, false).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("on_truble"), "{}", failure.what);
    }

    #[test]
    fn a_file_that_is_named_has_to_be_there() {
        let set = [("HOME", "/nowhere/h"), ("AUTHKEEPER_CONFIG", "/nowhere/c")];
        let failure = Settings::load(&environment(&set)).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("/nowhere/c"), "{}", failure.what);
        let unset = [("HOME", "/nowhere/h"), ("AUTHKEEPER_CONFIG", "")];
        assert!(Settings::load(&environment(&unset)).is_ok());
    }

    #[test]
    fn providers_have_their_habits() {
        let file = r#"
            [provider."https://as.example"]
            replay = "grace 30s"
            default_lifetime = "1h"
        "#;
        let rules = rules(&toml::from_str(file).unwrap()).unwrap();
        let habits = &rules.providers["https://as.example"];
        assert_eq!(habits.replay, ReplayRule::Grace(Duration::from_secs(30)));
        assert_eq!(habits.default_lifetime, Some(Duration::from_hours(1)));
        let bad = "[provider.x]\nreplay = \"maybe\"";
        assert!(super::rules(&toml::from_str(bad).unwrap()).is_err());
    }

    #[test]
    fn the_folders_follow_xdg_and_the_variables_win() {
        let plain = Settings::load(&environment(&[("HOME", "/nowhere/h")])).unwrap();
        assert_eq!(
            plain.runtime.store,
            Path::new("/nowhere/h/.local/share/authkeeper/store.db")
        );
        let set = environment(&[
            ("HOME", "/nowhere/h"),
            ("AUTHKEEPER_STORE", "/nowhere/s/x.db"),
        ]);
        let set = Settings::load(&set).unwrap();
        assert_eq!(set.runtime.key, Path::new("/nowhere/s/key"));
        assert_eq!(
            Settings::load(&environment(&[])).unwrap_err().exit,
            Exit::Config
        );
    }
}
