//! The environment: who is told of incidents, who can read the store, which other processes run.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use authkeeper::http::Proxies;
use authkeeper_gateway::alerts::{ChannelSettings, RouteSettings, WebhookSettings};

use super::finding::Finding;
use crate::{
    exit::Exit,
    settings::{Environment, NetworkSettings, OldSetting, setting_of},
};

/// Settings that the file writes by their old names.
pub(super) fn old_settings(old_settings: &[OldSetting], config: &Path) -> Vec<Finding> {
    let finding = |setting: &OldSetting| {
        let OldSetting { old, new, line } = setting;
        let what = format!("{old} is the old name of {new}; the next release refuses it");
        let fix = format!("write {new} in {}, line {line}", config.display());
        Finding::warning("config", what, fix)
    };
    old_settings.iter().map(finding).collect()
}

/// Words of the shell itself: no program has to be there for them.
const SHELL_WORDS: [&str; 17] = [
    ".", ":", "[", "case", "cd", "command", "echo", "eval", "exec", "exit", "for", "if", "printf",
    "read", "test", "until", "while",
];

/// The program that a hook starts with, as far as that can be told without being a shell.
pub(super) fn program_of(command: &str) -> Option<&str> {
    let first = command.split_whitespace().next()?;
    let plain = |c: char| c.is_alphanumeric() || "/._+-@".contains(c);
    (first.chars().all(plain) && !SHELL_WORDS.contains(&first)).then_some(first)
}

/// Whether a program can be started, as a shell would look for it.
pub(super) fn can_start(program: &str, environment: &Environment) -> bool {
    let executable = |path: &Path| {
        std::fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return executable(Path::new(program));
    }
    let path = environment
        .get("PATH")
        .cloned()
        .unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).any(|folder| executable(&folder.join(program)))
}

/// The shortest setting that tells somebody of an incident.
const ON_INCIDENT: &str = "on_incident = \"mail -s 'authkeeper needs you' you@example.org\"";

/// Whether anybody is told of an incident. `starts`: the hook's program and whether it can be started.
pub(super) fn hook(command: Option<&str>, starts: Option<(&str, bool)>, config: &Path) -> Finding {
    let Some(_) = command else {
        let fix = format!(
            "write this line at the top of {}; the command gets the incident on standard input:",
            config.display()
        );
        let what = "on_incident is not set: nobody is told at 2 a.m.";
        return Finding::warning("hook", what, fix).with_line(ON_INCIDENT);
    };
    match starts {
        Some((program, false)) => {
            let what = format!(
                "on_incident starts {program}, which can't be found or started: nobody will be told"
            );
            let fix = format!(
                "install it or write its whole path in {}; cron's PATH is short",
                config.display()
            );
            Finding::error("hook", Exit::Config, what, fix)
        }
        Some((program, true)) => Finding::ok(
            "hook",
            format!("on_incident starts {program}, which is there"),
        ),
        None => Finding::ok(
            "hook",
            "on_incident is set; what it starts can't be told from outside a shell",
        ),
    }
}

/// Whether what the webhook is told can be signed.
pub(super) fn webhook(set: Option<&WebhookSettings>) -> Option<Finding> {
    set.map(|set| signed("notify.webhook", set))
}

/// Whether a route can tell anybody, as far as that is seen from here.
pub(super) fn route(route: &RouteSettings) -> Finding {
    let name = setting_of(route);
    match &route.channel {
        ChannelSettings::Webhook(webhook) => signed(&name, webhook),
        channel => is_set(&format!("{name} ({})", channel.as_str())),
    }
}

fn is_set(name: &str) -> Finding {
    let what = format!("{name} is set; authkeeper notify test tries it");
    Finding::ok("hook", what)
}

fn signed(name: &str, set: &WebhookSettings) -> Finding {
    match set.key() {
        Ok(_) => is_set(name),
        Err(why) => {
            let what = format!("{name} can't be signed, so nobody will be told: {why}");
            let fix = "printf 'whsec_%s' \"$(openssl rand -base64 32)\" > FILE, and give it to the receiver";
            Finding::error("hook", Exit::Config, what, fix)
        }
    }
}

/// A handle keeps a job from tokens only if the job can't read the key.
pub(super) fn boundary() -> Finding {
    let what = "any process of this user can read key and store: a handle keeps a token from a job only by convention";
    let fix = "for a real boundary run authkeeper as a user of its own, and the jobs as another";
    Finding::note("boundary", what).with_fix(fix)
}

pub(super) fn environment(environment: &Environment) -> Finding {
    if environment.get("HOME").is_some() {
        return Finding::ok("environment", "HOME is set");
    }
    let what = "HOME is not set: things are found by XDG_CONFIG_HOME and XDG_DATA_HOME alone";
    let fix = "set HOME where authkeeper is started (in a systemd unit: User= does it)";
    Finding::warning("environment", what, fix)
}

/// The proxies that servers are reached through.
pub(super) fn proxies(settings: &NetworkSettings, proxies: &Proxies) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in proxies.described() {
        findings.push(match one {
            Ok(used) => Finding::note("proxy", used),
            Err(why) => {
                let fix = "correct or unset it; until then, no server is reached that needs it";
                Finding::error("proxy", Exit::Config, why, fix)
            }
        });
    }
    let set = &settings.proxies;
    if set.http.is_some() && set.https.is_none() && set.all.is_none() {
        let what = "HTTP_PROXY is set and HTTPS_PROXY is not: servers speak https, and are reached without a proxy";
        findings.push(Finding::warning("proxy", what, "set HTTPS_PROXY too"));
    }
    if settings.by_environment {
        let what = "the proxy is known from the environment alone: cron, systemd and most MCP clients start programs without \
                    these variables";
        let fix =
            "write it into config.toml too: [network] proxy = \"http://HOST:PORT\" (and no_proxy)";
        findings.push(Finding::warning("proxy", what, fix));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "proxy",
            "none is set: servers are reached directly",
        ));
    }
    findings
}

/// Who else is at work with this store.
pub(super) fn processes((alive, stale): (usize, usize)) -> Vec<Finding> {
    let mut findings = Vec::new();
    if alive > 0 {
        let what = format!("{alive} other authkeeper at work with this store");
        findings.push(Finding::note("processes", what));
    }
    if stale > 0 {
        let what = format!("{stale} files in owners/ are from processes that were killed");
        findings.push(
            Finding::note("processes", what)
                .with_fix("none needed: the next authkeeper that looks deletes them"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("processes", "no other authkeeper is at work"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Severity;

    #[test]
    fn the_program_of_a_hook_is_its_first_word_if_it_is_one() {
        for (command, program) in [
            ("mail -s x me", Some("mail")),
            ("/opt/tell.sh", Some("/opt/tell.sh")),
            ("  cat >> log", Some("cat")),
            ("X=1 mail", None),
            ("if true; then x; fi", None),
            ("$HOME/tell", None),
            ("\"/a b/c\"", None),
            ("printf x", None),
            ("", None),
        ] {
            assert_eq!(program_of(command), program, "{command}");
        }
    }

    #[test]
    fn a_hook_that_is_missing_or_can_t_start_is_told() {
        let config = Path::new("/nowhere/config.toml");
        let unset = hook(None, None, config);
        assert_eq!(unset.severity, Severity::Warning);
        assert!(unset.fix.unwrap().contains("/nowhere/config.toml"));
        let line: toml::Table = unset.to_copy.unwrap().parse().unwrap();
        assert!(line.contains_key("on_incident"), "{line:?}");
        let gone = hook(Some("tell me"), Some(("tell", false)), config);
        assert_eq!(gone.exit, Some(Exit::Config));
        assert_eq!(
            hook(Some("tell"), Some(("tell", true)), config).severity,
            Severity::Ok
        );
        assert_eq!(hook(Some("X=1 y"), None, config).severity, Severity::Ok);
    }

    #[test]
    fn proxies_are_shown_and_those_that_a_job_will_lack_are_warned_of() {
        let found = |pairs: &[(&str, &str)]| {
            let environment = crate::settings::tests::environment(pairs);
            let settings = crate::settings::CliSettings::load(&environment).unwrap();
            proxies(&settings.network, settings.network().proxies())
        };
        let home = ("HOME", "/nowhere");
        assert_eq!(found(&[home])[0].severity, Severity::Ok);
        let set = found(&[home, ("HTTPS_PROXY", "http://me:hunter2@proxy.corp:1")]);
        assert!(set[0].what.contains("http://proxy.corp:1 (HTTPS_PROXY)"));
        assert!(set[1].what.contains("cron"), "{}", set[1].what);
        assert!(!format!("{set:?}").contains("hunter2"));
        let wrong = found(&[home, ("https_proxy", "socks4://proxy.corp:1")]);
        assert_eq!(wrong[0].exit, Some(Exit::Config));
        let http = found(&[home, ("http_proxy", "http://proxy.corp:1")]);
        assert!(
            http.iter()
                .any(|one| one.fix.as_deref() == Some("set HTTPS_PROXY too"))
        );
    }

    #[test]
    fn the_old_name_of_a_setting_is_told_with_the_new_one() {
        let old = OldSetting {
            old: "on_trouble",
            new: "on_incident",
            line: 3,
        };
        let found = old_settings(&[old], Path::new("c.toml"));
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(found[0].what.contains("on_trouble is the old name"));
        assert_eq!(
            found[0].fix.as_deref(),
            Some("write on_incident in c.toml, line 3")
        );
    }

    #[test]
    fn a_program_is_looked_for_as_a_shell_would() {
        let environment = Environment::default();
        assert!(can_start("sh", &environment));
        assert!(can_start("/bin/sh", &environment));
        assert!(!can_start("no-such-program-anywhere", &environment));
        assert!(!can_start("/bin", &environment), "a folder");
    }

    #[test]
    fn others_at_work_are_noted() {
        assert_eq!(processes((0, 0))[0].severity, Severity::Ok);
        let both = processes((2, 1));
        assert!(
            both.iter()
                .all(|finding| finding.severity == Severity::Note)
        );
        assert_eq!(both.len(), 2);
    }
}
