//! What matters of an installation, to be compared with another one: dev, stage and prod differ where?

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use authkeeper::{
    model::{GrantType, Resource, Scope},
    runtime::inspect::Inspection,
};
use authkeeper_gateway::bounded_read;
use serde_json::{Map, Value, json};

use crate::{
    exit::Exit,
    failure::Failure,
    old_names,
    output::{CommandOutput, Paint},
    settings::{Origin, Setting},
};

/// The form of a snapshot; another one can't be compared with.
const FORMAT: u64 = 1;
/// No snapshot is longer.
const LONGEST: u64 = 4 * 1024 * 1024;

/// One difference.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    /// None for what concerns the whole installation.
    connection: Option<String>,
    what: String,
    here: String,
    there: String,
}

/// What matters of this installation: no secrets, no paths.
pub(super) fn snapshot(listed: &[Setting], inspections: &[Inspection]) -> Value {
    let set = listed
        .iter()
        .filter(|setting| setting.origin != Origin::Default);
    let settings: Map<String, Value> = set.map(setting).collect();
    let connections: Map<String, Value> = inspections.iter().map(connection).collect();
    json!({
        "profile": FORMAT,
        "authkeeper": env!("CARGO_PKG_VERSION"),
        "settings": settings,
        "connections": connections,
    })
}

/// Of a command only that it is set: it may be a path.
fn setting(setting: &Setting) -> (String, Value) {
    let value = match setting.name.as_str() {
        name if name == "on_incident" || name.ends_with(".command") => json!("set"),
        _ => json!(setting.value),
    };
    (setting.name.clone(), value)
}

fn connection(one: &Inspection) -> (String, Value) {
    let connection = &one.status.connection;
    // An API key does not end.
    let lifetime = one.access.filter(|_| one.status.expires_at.is_some());
    let facts = json!({
        "url": connection.url,
        "issuer": connection.issuer.as_str(),
        "grant_type": one.status.grant_type.map(GrantType::as_str),
        "provider": connection.provider,
        "client_id": connection.client_id.as_str(),
        "client_auth": one.client.as_ref().map(|client| client.auth_method.as_str()),
        "scope_asked": connection.scope.as_ref().map(Scope::as_str),
        "scope_granted": one.status.scope.as_ref().map(Scope::as_str),
        "resource": connection.resource.as_ref().map(Resource::as_str),
        "access_lifetime_s": lifetime.map(|access| access.lifetime.as_secs()),
        "lifetime_source": one.access.map(|access| access.lifetime_source.as_str()),
        "refreshable": one.status.refreshable,
        "replay": one.replay.to_string(),
        "principal": connection.principal.as_str(),
    });
    (connection.name.to_string(), facts)
}

/// Prints every difference as a row. The exit code: none differ, or some do.
pub(super) fn compare(
    here: &Value,
    profile: &str,
    config: &Path,
    output: CommandOutput,
) -> Result<u8, Failure> {
    let path = place(profile, config);
    let there = read(&path)?;
    let differences = differences(here, &there);
    if output.json {
        let rows = differences.iter().map(|difference| {
            json!({
                "connection": difference.connection,
                "what": difference.what,
                "here": difference.here,
                "there": difference.there,
            })
        });
        let rows: Vec<Value> = rows.collect();
        output.data_json(&json!({"ok": rows.is_empty(), "against": profile, "differences": rows}));
    } else if differences.is_empty() {
        output.data(&format!("ok: no difference from {profile}"));
    } else {
        for line in table(&differences, output) {
            output.data(&line);
        }
    }
    Ok(if differences.is_empty() {
        0
    } else {
        Exit::Config.code()
    })
}

/// A file, or a name beside the configuration file.
fn place(profile: &str, config: &Path) -> PathBuf {
    let is_name = !profile.contains('/') && !profile.contains('.');
    if is_name {
        let folder = config.parent().unwrap_or(Path::new("")).join("profiles");
        return folder.join(format!("{profile}.json"));
    }
    PathBuf::from(profile)
}

fn read(path: &Path) -> Result<Value, Failure> {
    let unreadable = |why: String| {
        let next = "write it there with: authkeeper doctor --snapshot > FILE";
        Failure::new(Exit::Data, format!("{}: {why}", path.display()), next)
    };
    let text = bounded_read::read(path, LONGEST).map_err(|error| unreadable(error.to_string()))?;
    let mut value: Value =
        serde_json::from_str(&text).map_err(|error| unreadable(format!("no snapshot: {error}")))?;
    if value["profile"] != FORMAT {
        return Err(unreadable(format!("no snapshot of this form ({FORMAT})")));
    }
    if let Some(settings) = value["settings"].as_object_mut() {
        old_names::rename_settings(settings);
    }
    Ok(value)
}

fn differences(here: &Value, there: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let version = "authkeeper";
    found.extend(differing(None, version, &here[version], &there[version]));
    for name in names(&here["settings"], &there["settings"]) {
        let (ours, theirs) = (&here["settings"][&name], &there["settings"][&name]);
        found.extend(differing(None, &name, ours, theirs));
    }
    for name in names(&here["connections"], &there["connections"]) {
        let (ours, theirs) = (&here["connections"][&name], &there["connections"][&name]);
        if ours.is_null() || theirs.is_null() {
            let there_or_not = |value: &Value| {
                if value.is_null() {
                    "missing"
                } else {
                    "connected"
                }
            };
            found.push(Difference {
                connection: Some(name),
                what: "connection".to_owned(),
                here: there_or_not(ours).to_owned(),
                there: there_or_not(theirs).to_owned(),
            });
            continue;
        }
        for what in names(ours, theirs) {
            found.extend(differing(Some(&name), &what, &ours[&what], &theirs[&what]));
        }
    }
    found
}

fn names(here: &Value, there: &Value) -> BTreeSet<String> {
    let of = |value: &Value| {
        let keys = value.as_object().map(|object| object.keys().cloned());
        keys.into_iter().flatten().collect::<Vec<_>>()
    };
    of(here).into_iter().chain(of(there)).collect()
}

fn differing(
    connection: Option<&str>,
    what: &str,
    here: &Value,
    there: &Value,
) -> Option<Difference> {
    let shown = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (here != there).then(|| Difference {
        connection: connection.map(str::to_owned),
        what: what.to_owned(),
        here: shown(here),
        there: shown(there),
    })
}

fn table(differences: &[Difference], output: CommandOutput) -> Vec<String> {
    let cells = |difference: &Difference| {
        let connection = difference
            .connection
            .clone()
            .unwrap_or_else(|| "-".to_owned());
        [
            connection,
            difference.what.clone(),
            difference.here.clone(),
            difference.there.clone(),
        ]
    };
    let mut rows = vec![["CONNECTION", "WHAT", "HERE", "THERE"].map(str::to_owned)];
    rows.extend(differences.iter().map(cells));
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths = [0, 1, 2].map(width);
    let line = |(number, row): (usize, &[String; 4])| {
        let [connection, what, here, there] = row;
        let [one, two, three] = widths;
        let line = format!("{connection:<one$}  {what:<two$}  {here:<three$}  {there}");
        if number == 0 {
            output.paint(Paint::Dim, &line)
        } else {
            line
        }
    };
    rows.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation() -> Value {
        json!({
            "profile": 1, "authkeeper": "0.1.0",
            "settings": {"refresh.reserve": "30s"},
            "connections": {"notion": {"url": "https://a", "scope_asked": "a", "resource": null}},
        })
    }

    #[test]
    fn the_same_installation_does_not_differ() {
        assert_eq!(differences(&installation(), &installation()), []);
    }

    #[test]
    fn each_difference_is_a_row() {
        let mut there = installation();
        there["settings"] = json!({"on_incident": "set"});
        there["connections"]["notion"]["scope_asked"] = "a b".into();
        there["connections"]["jira"] = json!({});
        let found = differences(&installation(), &there);
        let rows = table(&found, CommandOutput::new(false, true));
        assert_eq!(
            rows,
            [
                "CONNECTION  WHAT             HERE     THERE",
                "-           on_incident      -        set",
                "-           refresh.reserve  30s      -",
                "jira        connection       missing  connected",
                "notion      scope_asked      a        a b",
            ]
        );
    }

    #[test]
    fn a_name_is_looked_up_beside_the_configuration() {
        let config = Path::new("/c/authkeeper/config.toml");
        assert_eq!(
            place("prod", config),
            Path::new("/c/authkeeper/profiles/prod.json")
        );
        assert_eq!(place("./prod.json", config), Path::new("./prod.json"));
        assert_eq!(place("prod.json", config), Path::new("prod.json"));
    }

    #[test]
    fn what_is_no_snapshot_is_bad_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        for text in [None, Some("{"), Some("{}"), Some(r#"{"profile": 2}"#)] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            assert_eq!(read(&path).unwrap_err().exit, Exit::Data, "{text:?}");
        }
        std::fs::write(&path, installation().to_string()).unwrap();
        assert!(read(&path).is_ok());
    }
}
