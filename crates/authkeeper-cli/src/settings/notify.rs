//! Who is told of incidents: `on_incident`, and the tables below `notify`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use authkeeper::model::Severity;
use authkeeper_gateway::alerts::{ChannelSettings, NtfyTopic, RouteSettings, WebhookSettings};

use super::file::ConfigFile;
use crate::{exit::Exit, failure::Failure};

/// The routes that have settings of their own.
const ON_INCIDENT: &str = "on_incident";
const WEBHOOK: &str = "webhook";

/// What is set of notifications.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifySettings {
    /// The command that is told of every incident.
    pub(crate) on_incident: Option<String>,
    /// The receiver that is told of every incident.
    pub(crate) webhook: Option<WebhookSettings>,
    /// Those of the tables `notify.route.NAME`.
    pub(crate) others: Vec<RouteSettings>,
    /// How long a provider may be down while tokens live.
    pub(crate) outage_after: Option<Duration>,
}

impl NotifySettings {
    pub(super) fn load(file: &mut ConfigFile, config: &Path) -> Result<Self, Failure> {
        Ok(Self {
            on_incident: file.command(&[ON_INCIDENT])?,
            outage_after: file.duration(&["notify", "outage_after"])?,
            webhook: webhook(file, config)?,
            others: routes(file, config)?,
        })
    }

    /// Every route.
    pub(crate) fn routes(&self) -> Vec<RouteSettings> {
        let to_all = |name: &str, channel| RouteSettings {
            name: name.to_owned(),
            severity: Severity::Info,
            channel,
        };
        let command = self.on_incident.clone().map(ChannelSettings::Command);
        let webhook = self.webhook.clone().map(ChannelSettings::Webhook);
        let command = command.map(|channel| to_all(ON_INCIDENT, channel));
        let webhook = webhook.map(|channel| to_all(WEBHOOK, channel));
        let both = command.into_iter().chain(webhook);
        both.chain(self.others.clone()).collect()
    }
}

/// A route as the configuration names it.
pub(crate) fn setting_of(route: &RouteSettings) -> String {
    match route.name.as_str() {
        ON_INCIDENT => ON_INCIDENT.to_owned(),
        WEBHOOK => format!("notify.{WEBHOOK}"),
        name => format!("notify.route.{name}"),
    }
}

/// A relative path starts where the configuration is.
fn beside(config: &Path, file: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(file)
}

fn webhook(file: &mut ConfigFile, config: &Path) -> Result<Option<WebhookSettings>, Failure> {
    let url = file.url(&["notify", "webhook", "url"])?;
    let secret_file = file.text(&["notify", "webhook", "secret_file"])?;
    match (url, secret_file) {
        (Some(url), Some(secret)) => {
            let secret_file = beside(config, &secret);
            Ok(Some(WebhookSettings { url, secret_file }))
        }
        (None, None) => Ok(None),
        _ => Err(unsigned("notify.webhook")),
    }
}

fn unsigned(name: &str) -> Failure {
    let what = format!("{name} needs both, url and secret_file: what is not signed is not sent");
    let next = "printf 'whsec_%s' \"$(openssl rand -base64 32)\" > FILE makes a secret";
    Failure::new(Exit::Config, what, next)
}

fn routes(file: &mut ConfigFile, config: &Path) -> Result<Vec<RouteSettings>, Failure> {
    let names = file.tables_below("notify", "route");
    names.iter().map(|name| route(file, config, name)).collect()
}

fn route(file: &mut ConfigFile, config: &Path, name: &str) -> Result<RouteSettings, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) || [ON_INCIDENT, WEBHOOK].contains(&name) {
        let what = format!("notify.route.{name:?} is no name for a route");
        let next = "use letters, digits, - and _, and neither on_incident nor webhook";
        return Err(Failure::new(Exit::Config, what, next));
    }
    let of = |key| ["notify", "route", name, key];
    let severity = file.take(&of("severity"), Some("info".to_owned()), parse_severity)?;
    let channel = if file.has(&of("command")) {
        file.command(&of("command"))?.map(ChannelSettings::Command)
    } else {
        posted(file, config, name)?
    };
    let Some(channel) = channel else {
        let what = format!("notify.route.{name} says neither command nor format and url");
        let next = "see docs/notifications.md for recipes";
        return Err(Failure::new(Exit::Config, what, next));
    };
    Ok(RouteSettings {
        name: name.to_owned(),
        severity: severity.unwrap_or(Severity::Info),
        channel,
    })
}

/// A route that posts somewhere; none if it has no format or no URL.
fn posted(
    file: &mut ConfigFile,
    config: &Path,
    name: &str,
) -> Result<Option<ChannelSettings>, Failure> {
    let of = |key| ["notify", "route", name, key];
    let format = file.take(&of("format"), None, parse_format)?;
    let url = file.url(&of("url"))?;
    let (Some(format), Some(url)) = (format, url) else {
        return Ok(None);
    };
    Ok(Some(match format {
        Format::Slack => ChannelSettings::Slack(url),
        Format::Signed => {
            let secret = file.text(&of("secret_file"))?;
            let secret = secret.ok_or_else(|| unsigned(&format!("notify.route.{name}")))?;
            let secret_file = beside(config, &secret);
            ChannelSettings::Webhook(WebhookSettings { url, secret_file })
        }
        Format::Ntfy => {
            let token = if file.has(&of("token_file")) {
                file.text(&of("token_file"))?
            } else {
                None
            };
            let token = token.map(|token| beside(config, &token));
            let topic = NtfyTopic::parse(&url, token);
            ChannelSettings::Ntfy(topic.ok_or_else(|| no_topic(name))?)
        }
    }))
}

fn no_topic(name: &str) -> Failure {
    let what = format!("notify.route.{name}.url names no topic");
    let next = "write it as ntfy shows it: https://ntfy.sh/TOPIC";
    Failure::new(Exit::Config, what, next)
}

enum Format {
    Signed,
    Slack,
    Ntfy,
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "signed" => Ok(Format::Signed),
        "slack" => Ok(Format::Slack),
        "ntfy" => Ok(Format::Ntfy),
        _ => Err(format!(
            "{text:?} is none of \"signed\", \"slack\", \"ntfy\""
        )),
    }
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    let words = Severity::ALL.map(Severity::as_str).join(", ");
    Severity::parse(text).ok_or_else(|| format!("{text:?} is none of {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Vec<RouteSettings>, Failure> {
        let config = Path::new("/nowhere/config.toml");
        let mut file = ConfigFile::parse(config, text)?;
        let notify = NotifySettings::load(&mut file, config)?;
        file.all_taken()?;
        Ok(notify.routes())
    }

    #[test]
    fn each_route_says_from_which_severity_on_and_how() {
        let routes = loaded(
            r#"
            on_incident = "cat"
            [notify.route.mail]
            severity = "warning"
            command = "sendmail -t"
            [notify.route.chat]
            format = "slack"
            url = "https://hooks.slack.example/services/T/B/s3cret"
            [notify.route.phone]
            severity = "critical"
            format = "ntfy"
            url = "https://ntfy.sh/jobs"
            token_file = "ntfy.token"
            [notify.route.pager]
            format = "signed"
            url = "https://pager.example/x"
            secret_file = "pager.secret"
            "#,
        );
        let shown: Vec<(String, &str, &str)> = routes
            .unwrap()
            .iter()
            .map(|route| {
                let how = route.channel.as_str();
                (setting_of(route), route.severity.as_str(), how)
            })
            .collect();
        let expected = [
            ("on_incident", "info", "command"),
            ("notify.route.chat", "info", "slack"),
            ("notify.route.mail", "warning", "command"),
            ("notify.route.pager", "info", "webhook"),
            ("notify.route.phone", "critical", "ntfy"),
        ];
        let expected = expected.map(|(name, least, how)| (name.to_owned(), least, how));
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_route_that_can_not_be_meant_is_said() {
        for (text, said) in [
            (
                "[notify.route.a]\nseverity = \"urgent\"\ncommand = \"x\"",
                "urgent",
            ),
            (
                "[notify.route.a]\nseverity = \"info\"",
                "neither command nor",
            ),
            (
                "[notify.route.a]\nformat = \"slack\"",
                "neither command nor",
            ),
            (
                "[notify.route.a]\nformat = \"irc\"\nurl = \"https://x.example/\"",
                "irc",
            ),
            (
                "[notify.route.a]\nformat = \"signed\"\nurl = \"https://x.example/\"",
                "signed",
            ),
            (
                "[notify.route.a]\nformat = \"ntfy\"\nurl = \"https://ntfy.sh/\"",
                "no topic",
            ),
            ("[notify.route.webhook]\ncommand = \"x\"", "no name"),
            ("[notify.route.\"a.b\"]\ncommand = \"x\"", "no name"),
            (
                "[notify.route.a]\ncommand = \"x\"\nformat = \"slack\"",
                "notify.route.a.format",
            ),
        ] {
            let failure = loaded(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Config, "{text}");
            assert!(failure.what.contains(said), "{text}: {}", failure.what);
        }
    }
}
