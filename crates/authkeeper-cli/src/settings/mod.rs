//! Settings and paths, parsed once from the environment and the configuration file.

mod environment;
mod file;
mod network;
mod notify;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use self::file::ConfigFile;
pub(crate) use self::{
    environment::Environment,
    file::{OldSetting, Origin, Setting, without_password},
    network::NetworkSettings,
    notify::{NotifySettings, setting_of},
};
use crate::{exit::Exit, failure::Failure};
use authkeeper::{
    http::{HttpUrl, Network},
    model::{ProviderHabits, ReplayRule},
    refresh::RefreshRules,
    runtime,
};
use authkeeper_gateway::signin_link::PublicUrl;

/// Everything that is set, as it is meant.
#[derive(Clone, Debug)]
pub(crate) struct CliSettings {
    pub(crate) runtime: runtime::Settings,
    /// Who is told of incidents.
    pub(crate) notify: NotifySettings,
    /// The URL of our client metadata document.
    pub(crate) client_metadata_url: Option<String>,
    /// How often connections are validated while nobody calls; zero: never.
    pub(crate) validate_every: Duration,
    /// Where a reverse proxy lets people reach the daemon.
    pub(crate) public_url: Option<PublicUrl>,
    /// The proxies, and the authorities that are trusted beside the platform's.
    pub(crate) network: NetworkSettings,
    /// The configuration file, and whether it is there.
    pub(crate) file: (PathBuf, bool),
    /// What the file may set, with where each value comes from.
    pub(crate) listed: Vec<Setting>,
    /// The settings that the file writes by their old names.
    pub(crate) old_settings: Vec<OldSetting>,
    /// Where things are, with where that comes from.
    pub(crate) places: Vec<Setting>,
}

/// Often enough to know of a dead credential before the next run, and a few hundred small calls a day.
const VALIDATE_EVERY: Duration = Duration::from_mins(5);

/// The variables that are read beside those of the XDG base directory specification.
pub(crate) const VARIABLES: [&str; 11] = [
    "AUTHKEEPER_CONFIG",
    "AUTHKEEPER_STORE",
    "AUTHKEEPER_KEY_FILE",
    "AUTHKEEPER_LOG",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "BROWSER",
    "NO_COLOR",
];

impl CliSettings {
    /// The ways out of this machine. Nothing is read yet.
    pub(crate) fn network(&self) -> Network {
        Network::new(&self.network.proxies, self.network.tls.clone())
    }

    pub(crate) fn load(environment: &Environment) -> Result<Self, Failure> {
        let path = config_path(environment)?;
        let named = environment.get("AUTHKEEPER_CONFIG").is_some();
        let (file, there) = read_config(&path, named)?;
        Self::taken_from(environment, path, (file, there))
    }

    /// The defaults and the environment, whatever the file says.
    pub(crate) fn without_file(environment: &Environment) -> Result<Self, Failure> {
        let path = config_path(environment)?;
        let there = path.exists();
        Self::taken_from(environment, path, (ConfigFile::default(), there))
    }

    fn taken_from(
        environment: &Environment,
        path: PathBuf,
        (mut file, there): (ConfigFile, bool),
    ) -> Result<Self, Failure> {
        let named = environment.get("AUTHKEEPER_CONFIG").is_some();
        let mut runtime = runtime::Settings::in_folder(data_folder(environment)?);
        let places = place(environment, &mut runtime, (&path, named))?;
        runtime.rules = rules(&mut file)?;
        Ok(Self {
            runtime,
            notify: NotifySettings::load(&mut file, &path)?,
            client_metadata_url: file.text(&["client_metadata_url"])?,
            validate_every: file.duration_or(&["validate", "every"], VALIDATE_EVERY)?,
            public_url: file.take(&["serve", "public_url"], None, public_url)?,
            network: NetworkSettings::load(environment, &mut file, &path)?,
            old_settings: file.old_settings(),
            listed: file.all_taken()?,
            file: (path, there),
            places,
        })
    }
}

fn public_url(text: &str) -> Result<PublicUrl, String> {
    let url = HttpUrl::parse(text).map_err(|invalid| invalid.to_string())?;
    PublicUrl::new(url).ok_or_else(|| "must have no query".to_owned())
}

/// Puts store and key where the environment wants them, and says why each thing is where it is.
fn place(
    environment: &Environment,
    runtime: &mut runtime::Settings,
    (config, named): (&Path, bool),
) -> Result<Vec<Setting>, Failure> {
    let by = |variable, set: bool| {
        if set {
            Origin::Variable(variable)
        } else {
            Origin::Default
        }
    };
    let (store, key) = (
        environment.path("AUTHKEEPER_STORE"),
        environment.path("AUTHKEEPER_KEY_FILE"),
    );
    let store_by = by("AUTHKEEPER_STORE", store.is_some());
    let key_by = key
        .as_ref()
        .map_or(store_by, |_| Origin::Variable("AUTHKEEPER_KEY_FILE"));
    if let Some(store) = store {
        if store.to_string_lossy().contains("://") {
            let what = "AUTHKEEPER_STORE is a URL, and only a file is supported yet";
            let next = "give the path of an SQLite file";
            return Err(Failure::new(Exit::Config, what, next));
        }
        runtime.data = store.parent().map(Path::to_owned).unwrap_or_default();
        runtime.key = runtime.data.join("key");
        runtime.store = store;
    }
    if let Some(key) = key {
        runtime.key = key;
    }
    let shown = |name: &str, path: &Path, origin| Setting {
        name: name.to_owned(),
        value: Some(path.display().to_string()),
        origin,
    };
    Ok(vec![
        shown("config", config, by("AUTHKEEPER_CONFIG", named)),
        shown("data", &runtime.data, store_by),
        shown("store", &runtime.store, store_by),
        shown("key", &runtime.key, key_by),
    ])
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

/// `named`: the file was named explicitly, so it must exist.
fn read_config(path: &Path, named: bool) -> Result<(ConfigFile, bool), Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            if missing && !named {
                return Ok((ConfigFile::default(), false));
            }
            let what = format!("{} can't be read: {error}", path.display());
            let next = if missing {
                "create it, or correct AUTHKEEPER_CONFIG, which names it"
            } else {
                "check its permissions"
            };
            return Err(Failure::new(Exit::Config, what, next));
        }
    };
    Ok((ConfigFile::parse(path, &text)?, true))
}

fn rules(file: &mut ConfigFile) -> Result<RefreshRules, Failure> {
    let mut rules = RefreshRules::default();
    rules.exchange_limit =
        file.duration_or(&["refresh", "exchange_limit"], rules.exchange_limit)?;
    rules.quiet_period = file.duration_or(&["refresh", "quiet_period"], rules.quiet_period)?;
    rules.reserve = file.duration_or(&["refresh", "reserve"], rules.reserve)?;
    rules.refused_for = file.duration_or(&["refresh", "refused_for"], rules.refused_for)?;
    rules.failing_after = file.duration_or(&["refresh", "failing_after"], rules.failing_after)?;
    for issuer in file.tables_of("provider") {
        let parse = |text: &str| ReplayRule::parse(text).map_err(|error| error.to_string());
        let unknown = Some(ReplayRule::default().to_string());
        let replay = file.take(&["provider", &issuer, "replay"], unknown, parse)?;
        let lifetime = file.duration(&["provider", &issuer, "default_lifetime"])?;
        let audience = file.text(&["provider", &issuer, "assertion_audience"])?;
        let habits = ProviderHabits::new(replay.unwrap_or_default(), lifetime);
        let idle = file.duration(&["provider", &issuer, "refresh_idle"])?;
        let habits = habits.assertion_audience(audience).refresh_idle(idle);
        let fixed = file.duration(&["provider", &issuer, "lifetime"])?;
        let tokens_in = file.text(&["provider", &issuer, "tokens_in"])?;
        let scope = file.take(
            &["provider", &issuer, "scope_in_refresh"],
            None,
            parse_switch,
        )?;
        let habits = habits
            .lifetime(fixed)
            .tokens_in(tokens_in)
            .scope_in_refresh(scope.unwrap_or_default());
        rules.providers.insert(issuer, habits);
    }
    Ok(rules)
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{text:?} is neither \"yes\" nor \"no\"")),
    }
}

#[cfg(test)]
#[path = "../../../../verify/fuzz/src/mutate.rs"]
mod mutate;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_browser_is_the_users_choice() {
        use authkeeper_gateway::browser::BrowserOutcome;

        let with = |browser: &str| {
            let environment = environment(&[("BROWSER", browser)]);
            environment.browser().open("http://127.0.0.1:1/")
        };
        assert!(
            matches!(with("/nowhere/firefux --new"), BrowserOutcome::Failed(why) if why.contains("/nowhere/firefux: "))
        );
        assert_eq!(with("/nowhere/firefux:true"), BrowserOutcome::Yes);
        let none = environment(&[]);
        assert_eq!(
            none.browser().open("http://127.0.0.1:1/"),
            BrowserOutcome::None
        );
    }

    pub(crate) fn environment(pairs: &[(&str, &str)]) -> Environment {
        let own =
            |(name, value): &(&str, &str)| ((*name).to_owned(), std::ffi::OsString::from(value));
        Environment(pairs.iter().map(own).collect())
    }

    fn parsed(text: &str) -> ConfigFile {
        ConfigFile::parse(Path::new("config.toml"), text).unwrap()
    }

    fn loaded(text: &str) -> Result<CliSettings, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let set = [
            ("HOME", "/nowhere/h"),
            ("AUTHKEEPER_CONFIG", path.to_str().unwrap()),
        ];
        CliSettings::load(&environment(&set))
    }

    #[test]
    fn a_setting_that_is_not_known_is_said_with_its_line() {
        let text = "\non_incidnt = \"x\"\n[refresh]\nreserv = \"3s\"\n[other]\nx = 1\n";
        let failure = loaded(text).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        let said = "other.x (line 6), refresh.reserv (line 4)";
        for said in ["on_incidnt (line 2)", said] {
            assert!(failure.what.contains(said), "{}", failure.what);
        }
        let said = "did you mean on_incident, refresh.reserve?";
        assert!(failure.next.contains(said), "{}", failure.next);
        assert!(failure.next.contains("authkeeper config show"));
        let alone = loaded("[other]\nx = 1\n").unwrap_err();
        assert!(!alone.next.contains("did you mean"), "{}", alone.next);
        let provider = loaded("[provider.\"https://a.b\"]\nreplai = \"grace 3s\"\n");
        let said = "did you mean provider.\"https://a.b\".replay?";
        assert!(provider.unwrap_err().next.contains(said));
    }

    #[test]
    fn a_setting_can_be_written_by_its_old_name() {
        let settings = loaded("\non_trouble = \"mail me\"\n").unwrap();
        assert_eq!(settings.notify.on_incident.as_deref(), Some("mail me"));
        let old = OldSetting {
            old: "on_trouble",
            new: "on_incident",
            line: 2,
        };
        assert_eq!(settings.old_settings, [old]);
        let mut listed = settings.listed.iter();
        let shown = listed.find(|setting| setting.name == "on_incident");
        assert_eq!(shown.unwrap().origin, Origin::Line(2));
        let both = loaded("on_incident = \"x\"\non_trouble = \"y\"\n").unwrap_err();
        assert_eq!(both.exit, Exit::Config);
        let said = "line 2: on_trouble is the old name of on_incident, which line 1 sets too";
        assert!(both.what.contains(said), "{}", both.what);
    }

    #[test]
    fn a_file_that_can_t_be_used_leaves_the_defaults_to_be_shown() {
        let settings = CliSettings::without_file(&environment(&[("HOME", "/nowhere/h")])).unwrap();
        let mut listed = settings.listed.iter();
        assert!(listed.any(|setting| setting.name == "on_incident"));
    }

    #[test]
    fn a_value_that_can_t_be_is_said_with_its_line() {
        for (text, said) in [
            ("[refresh]\nreserve = \"soon\"", "line 2: refresh.reserve: "),
            ("on_incident = 3", "line 1: on_incident must be a text"),
            ("[provider.\"https://a.b\"]\nreplay = \"maybe\"", "line 2: "),
            ("on_incident = ", "config.toml: "),
        ] {
            let failure = loaded(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Config);
            assert!(failure.what.contains(said), "{}", failure.what);
        }
    }

    #[test]
    fn a_webhook_is_https_or_here_and_always_signed() {
        let set = |url: &str| {
            let text = format!("[notify.webhook]\nurl = \"{url}\"\nsecret_file = \"s\"\n");
            loaded(&text)
        };
        let settings = set("https://hooks.example/T0/s3cret").unwrap();
        let webhook = settings.notify.webhook.unwrap();
        assert_eq!(webhook.url.as_str(), "https://hooks.example/T0/s3cret");
        assert!(webhook.secret_file.is_absolute(), "beside the file");
        let shown = settings
            .listed
            .iter()
            .find(|s| s.name == "notify.webhook.url");
        assert_eq!(
            shown.unwrap().value.as_deref(),
            Some("https://hooks.example/…")
        );
        assert!(set("http://127.0.0.1:9/x").is_ok());
        for bad in ["http://hooks.example/", "ftp://x", "hooks.example"] {
            assert_eq!(set(bad).unwrap_err().exit, Exit::Config, "{bad}");
        }
        let alone = loaded("[notify.webhook]\nurl = \"https://x.example\"\n").unwrap_err();
        assert!(alone.next.contains("whsec_"), "{}", alone.next);
    }

    #[test]
    fn every_value_says_where_it_comes_from() {
        let settings = loaded("on_incident = \"mail -s secret me\"\n").unwrap();
        let listed = |name: &str| {
            let found = settings.listed.iter().find(|setting| setting.name == name);
            let found = found.unwrap();
            (found.value.clone(), found.origin)
        };
        let mail = Some("mail …".to_owned());
        assert_eq!(listed("on_incident"), (mail, Origin::Line(1)));
        let default = (Some("30s".to_owned()), Origin::Default);
        assert_eq!(listed("refresh.reserve"), default);
        assert_eq!(listed("client_metadata_url"), (None, Origin::Default));
        let config = &settings.places[0];
        assert_eq!(config.origin, Origin::Variable("AUTHKEEPER_CONFIG"));
    }

    /// The example in the documentation sets everything there is, and nothing that is not.
    #[test]
    fn the_documentation_lists_every_setting_and_variable() {
        let document = include_str!("../../../../docs/configuration.md");
        let (_, example) = document.split_once("```toml\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let settings = loaded(example).unwrap();
        let left_out: Vec<&Setting> = settings
            .listed
            .iter()
            .filter(|setting| setting.origin == Origin::Default)
            .collect();
        assert_eq!(left_out, Vec::<&Setting>::new());
        let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        let mut documented: Vec<String> = document.lines().filter_map(row).collect();
        documented.retain(|name| name != "AUTHKEEPER_URL");
        assert_eq!(documented, VARIABLES);
    }

    /// Thousands of files made from the documented one: each is read whole, or refused with words that can be shown.
    #[test]
    fn any_file_is_read_or_refused() {
        let document = include_str!("../../../../docs/configuration.md");
        let seeds: Vec<Vec<u8>> = document
            .split("```")
            .filter_map(|block| block.strip_prefix("toml\n"))
            .map(|example| example.as_bytes().to_vec())
            .collect();
        let mut dice = mutate::Dice::new(0x5eed);
        let mut read = 0;
        for _ in 0..3_000 {
            let case = mutate::case(&seeds, &mut dice);
            let text = String::from_utf8_lossy(&case);
            read += usize::from(is_read_or_refused(&text));
        }
        assert!(read > 100, "hardly any file can be read: {read}");
    }

    fn is_read_or_refused(text: &str) -> bool {
        let path = Path::new("config.toml");
        let set = ConfigFile::parse(path, text).and_then(|mut file| {
            let rules = rules(&mut file)?;
            NotifySettings::load(&mut file, path)?;
            file.text(&["client_metadata_url"])?;
            NetworkSettings::load(&Environment::default(), &mut file, path)?;
            Ok((rules, file.all_taken()?))
        });
        match set {
            Ok((rules, listed)) => {
                assert!(listed.iter().all(|setting| !setting.name.is_empty()));
                let habits = rules.providers.values();
                habits.for_each(|habits| drop(habits.replay.to_string()));
                true
            }
            Err(failure) => {
                assert_eq!(failure.exit, Exit::Config);
                // The parser shows the line on lines of its own.
                let odd = failure.what.chars().find(|c| c.is_control() && *c != '\n');
                assert_eq!(odd, None, "{:?} of {text:?}", failure.what);
                false
            }
        }
    }

    #[test]
    fn a_file_that_is_named_has_to_be_there() {
        let set = [("HOME", "/nowhere/h"), ("AUTHKEEPER_CONFIG", "/nowhere/c")];
        let failure = CliSettings::load(&environment(&set)).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("/nowhere/c"), "{}", failure.what);
        let unset = [("HOME", "/nowhere/h"), ("AUTHKEEPER_CONFIG", "")];
        assert!(CliSettings::load(&environment(&unset)).is_ok());
    }

    #[test]
    fn providers_have_their_habits() {
        let file = r#"
            [provider."https://as.example"]
            replay = "grace 30s"
            default_lifetime = "1h"
            refresh_idle = "168h"
            lifetime = "30m"
            tokens_in = "data.auth"
            scope_in_refresh = "yes"
        "#;
        let rules = rules(&mut parsed(file)).unwrap();
        let habits = &rules.providers["https://as.example"];
        assert_eq!(habits.replay, ReplayRule::Grace(Duration::from_secs(30)));
        assert_eq!(habits.default_lifetime, Some(Duration::from_hours(1)));
        assert_eq!(habits.refresh_idle, Some(Duration::from_hours(168)));
        assert_eq!(habits.lifetime, Some(Duration::from_mins(30)));
        assert_eq!(habits.tokens_in.as_deref(), Some("data.auth"));
        assert!(habits.scope_in_refresh);
        let bad = "[provider.x]\nreplay = \"maybe\"";
        assert!(super::rules(&mut parsed(bad)).is_err());
    }

    #[test]
    fn the_folders_follow_xdg_and_the_variables_win() {
        let plain = CliSettings::load(&environment(&[("HOME", "/nowhere/h")])).unwrap();
        assert_eq!(
            plain.runtime.store,
            Path::new("/nowhere/h/.local/share/authkeeper/store.db")
        );
        let set = environment(&[
            ("HOME", "/nowhere/h"),
            ("AUTHKEEPER_STORE", "/nowhere/s/x.db"),
        ]);
        let set = CliSettings::load(&set).unwrap();
        assert_eq!(set.runtime.key, Path::new("/nowhere/s/key"));
        assert_eq!(
            CliSettings::load(&environment(&[])).unwrap_err().exit,
            Exit::Config
        );
    }
}
