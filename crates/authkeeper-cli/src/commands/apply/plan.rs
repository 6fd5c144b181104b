//! What there is to do so that everything is as it is listed (pure).

use authkeeper::{
    model::ConnectionName,
    signin::{Comparison, SettingDifference},
};
use serde_json::{Value, json};

/// What there is to do about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is as it is listed.
    Nothing,
    /// It is connected for the first time.
    Connect,
    /// The same sign-in again, with other settings.
    Change(Vec<SettingDifference>),
    /// It is another connection under the same name: it is not given up unasked.
    Conflict(Vec<SettingDifference>),
}

/// What can't change without giving the connection up.
const FIXED: [&str; 2] = ["url", "principal"];

impl Step {
    pub(super) fn of(compared: Comparison) -> Self {
        match compared {
            Comparison::Connected(found) if found.is_empty() => Self::Nothing,
            Comparison::Connected(found)
                if found.iter().any(|one| FIXED.contains(&one.setting)) =>
            {
                Self::Conflict(found)
            }
            Comparison::Connected(found) => Self::Change(found),
            _ => Self::Connect,
        }
    }

    /// The fixed word.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Connect => "connect",
            Self::Change(_) => "change",
            Self::Conflict(_) => "conflict",
        }
    }

    fn differences(&self) -> &[SettingDifference] {
        match self {
            Self::Change(found) | Self::Conflict(found) => found,
            Self::Nothing | Self::Connect => &[],
        }
    }

    pub(super) fn json(&self, name: &ConnectionName) -> Value {
        let of = |one: &SettingDifference| json!({"setting": one.setting, "is": one.is, "wanted": one.wanted});
        let differences: Vec<Value> = self.differences().iter().map(of).collect();
        json!({"connection": name.as_str(), "step": self.as_str(), "differences": differences})
    }

    /// The lines of a diff, as `diff` marks them.
    pub(super) fn lines(&self, name: &ConnectionName) -> Vec<String> {
        match self {
            Self::Nothing => vec![format!("  {name}")],
            Self::Connect => vec![format!("+ {name}")],
            Self::Change(found) | Self::Conflict(found) => {
                let mark = if matches!(self, Self::Conflict(_)) {
                    '!'
                } else {
                    '~'
                };
                let settings = found.iter().flat_map(setting);
                std::iter::once(format!("{mark} {name}"))
                    .chain(settings)
                    .collect()
            }
        }
    }
}

/// A setting that may hold a secret is named alone.
fn setting(one: &SettingDifference) -> Vec<String> {
    let line = |mark: char, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!("    {mark} {} = {value}", one.setting))
    };
    let both = [line('-', &one.is), line('+', &one.wanted)];
    let lines: Vec<String> = both.into_iter().flatten().collect();
    if lines.is_empty() {
        return vec![format!("    ~ {}", one.setting)];
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> ConnectionName {
        ConnectionName::parse("orders").unwrap()
    }

    fn difference(
        setting: &'static str,
        is: Option<&str>,
        wanted: Option<&str>,
    ) -> SettingDifference {
        SettingDifference::new(setting, is, wanted)
    }

    #[test]
    fn a_connection_changes_in_place_unless_it_is_another_one() {
        let step = |found| Step::of(Comparison::Connected(found));
        assert_eq!(step(vec![]), Step::Nothing);
        assert_eq!(Step::of(Comparison::Missing), Step::Connect);
        let scope = difference("scope", None, Some("read"));
        let url = difference("url", Some("https://a"), Some("https://b"));
        assert_eq!(step(vec![scope.clone()]).as_str(), "change");
        assert_eq!(step(vec![scope, url]).as_str(), "conflict");
    }

    #[test]
    fn the_diff_names_a_secret_setting_without_its_value() {
        let found = vec![
            difference("scope", Some("read"), Some("read write")),
            difference("header", None, None),
        ];
        let lines = Step::Change(found).lines(&name());
        let expected = [
            "~ orders",
            "    - scope = read",
            "    + scope = read write",
            "    ~ header",
        ];
        assert_eq!(lines, expected);
    }
}
