//! Replaced names of settings, flags and JSON keys, accepted and printed for one release. `old_names.toml` lists them; the
//! release after this one deletes both files.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
struct OldNames {
    /// By the new name.
    settings: BTreeMap<String, String>,
    /// By the path of the new key.
    json_keys: BTreeMap<String, String>,
}

static OLD_NAMES: LazyLock<OldNames> =
    LazyLock::new(|| toml::from_str(include_str!("old_names.toml")).unwrap_or_default());

/// New and old name of each renamed setting.
pub(crate) fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    let pairs = OLD_NAMES.settings.iter();
    pairs.map(|(new, old)| (new.as_str(), old.as_str()))
}

/// Whether a `--header` of `connect` is what `--credential-header` is now: a header's name alone, or `Authorization` and a
/// word for a kind of key. No key is a word of letters.
pub(crate) fn is_credential_header(text: &str) -> bool {
    match text.split_once(':') {
        None => true,
        Some((name, word)) => {
            let word = word.trim();
            let is_word = !word.is_empty() && word.len() <= 20;
            name.trim().eq_ignore_ascii_case("authorization")
                && is_word
                && word.bytes().all(|byte| byte.is_ascii_alphabetic())
        }
    }
}

/// Renames the settings of a snapshot that an earlier release wrote.
pub(crate) fn rename_settings(snapshot: &mut Map<String, Value>) {
    for (new, old) in settings() {
        if let Some(value) = snapshot.remove(old) {
            snapshot.insert(new.to_owned(), value);
        }
    }
}

/// Adds the old key beside each renamed one.
pub(crate) fn add_old_json_keys(value: &mut Value) {
    add_below("", value);
}

/// `path`: the keys that lead to this value, joined by dots.
fn add_below(path: &str, value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|one| add_below(path, one)),
        Value::Object(object) => add_to_object(path, object),
        _ => {}
    }
}

fn add_to_object(path: &str, object: &mut Map<String, Value>) {
    let mut old_keys = Vec::new();
    for (key, value) in object.iter_mut() {
        let path = match path {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        add_below(&path, value);
        let old = OLD_NAMES.json_keys.get(&path);
        old_keys.extend(old.map(|old| (old.clone(), value.clone())));
    }
    object.extend(old_keys);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(mut value: Value) -> Value {
        add_old_json_keys(&mut value);
        value
    }

    #[test]
    fn an_old_key_is_printed_beside_the_new_one() {
        assert_eq!(
            printed(json!([{"incidents": [], "link": null}])),
            json!([{"incidents": [], "troubles": [], "link": null}])
        );
        assert_eq!(
            printed(json!({"incident": null})),
            json!({"incident": null, "trouble": null})
        );
        let old = |path: &str| OLD_NAMES.json_keys[path].as_str();
        assert_eq!(
            printed(json!({"findings": [{"fix": "f"}]})),
            json!({"findings": [{"fix": "f", old("findings.fix"): "f"}]})
        );
        for part in ["rows", "answers", "journals"] {
            assert_eq!(
                printed(json!({part: {"resealed": 3}})),
                json!({part: {"resealed": 3, old(&format!("{part}.resealed")): 3}})
            );
        }
    }

    #[test]
    fn a_header_without_a_value_names_where_the_key_stands() {
        for old in ["X-API-Key", "Authorization: Token", "authorization:Bearer"] {
            assert!(is_credential_header(old), "{old}");
        }
        for new in [
            "X-Tenant: blue",
            "X-Tenant:",
            "Authorization: Bearer abc",
            "Authorization: k3y",
            "Authorization:",
        ] {
            assert!(!is_credential_header(new), "{new}");
        }
    }

    #[test]
    fn a_key_elsewhere_is_left_alone() {
        let snapshot = json!({"connections": {"incident": {"fix": 1}, "resealed": {}}});
        assert_eq!(printed(snapshot.clone()), snapshot);
    }

    #[test]
    fn an_older_snapshot_gets_the_new_name() {
        let mut snapshot = Map::from_iter([("on_trouble".to_owned(), json!("set"))]);
        rename_settings(&mut snapshot);
        let renamed = Map::from_iter([("on_incident".to_owned(), json!("set"))]);
        assert_eq!(snapshot, renamed);
    }
}
