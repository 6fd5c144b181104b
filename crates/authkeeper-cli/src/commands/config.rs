//! `config show`: every setting, its value, and where that comes from.

use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{CommandOutput, Paint},
    settings::{CliSettings, Environment, Origin, Setting, VARIABLES, without_password},
};

/// A file that can't be used is no reason to hide which settings there are: then the defaults are shown, and what is
/// wrong with it.
pub(crate) fn show(environment: &Environment, output: CommandOutput) -> Result<(), Failure> {
    let loaded = CliSettings::load(environment);
    let (settings, wrong) = match loaded {
        Ok(settings) => (settings, Ok(())),
        Err(failure) => match CliSettings::without_file(environment) {
            Ok(settings) => (settings, Err(failure)),
            Err(_) => return Err(failure),
        },
    };
    print(environment, &settings, output);
    wrong
}

fn print(environment: &Environment, settings: &CliSettings, output: CommandOutput) {
    let variables = variables(environment);
    if output.json {
        let list = |list: &[Setting]| list.iter().map(json_of).collect::<Vec<_>>();
        output.data_json(&json!({
            "file": {"path": settings.file.0.display().to_string(), "exists": settings.file.1},
            "paths": list(&settings.places),
            "settings": list(&settings.listed),
            "environment": list(&variables),
        }));
        return;
    }
    let groups = [
        ("Paths", settings.places.as_slice()),
        ("Settings", settings.listed.as_slice()),
        ("Environment", variables.as_slice()),
    ];
    let all = groups.iter().flat_map(|(_, list)| *list);
    let width = |text: fn(&Setting) -> usize| all.clone().map(text).max().unwrap_or(0);
    let names = width(|setting| setting.name.chars().count());
    let values = width(|setting| shown(setting).chars().count());
    for (number, (title, list)) in groups.iter().enumerate() {
        if number > 0 {
            output.data("");
        }
        output.data(&output.paint(Paint::Strong, title));
        for setting in *list {
            let (name, value) = (&setting.name, shown(setting));
            let origin = output.paint(Paint::Dim, &origin_of(setting));
            output.data(&format!("  {name:<names$}  {value:<values$}  {origin}"));
        }
    }
}

/// What the environment says beside paths. A variable that names a place is shown there.
fn variables(environment: &Environment) -> Vec<Setting> {
    VARIABLES
        .into_iter()
        .map(|name| {
            let value = environment.get(name);
            let value = value.map(|value| value.to_string_lossy().into_owned());
            let value = value.or_else(|| environment.either_case(name).map(str::to_owned));
            Setting {
                name: name.to_owned(),
                value: value.as_deref().map(without_password),
                origin: value.map_or(Origin::Default, |_| Origin::Variable(name)),
            }
        })
        .collect()
}

fn shown(setting: &Setting) -> &str {
    setting.value.as_deref().unwrap_or("-")
}

fn origin_of(setting: &Setting) -> String {
    match setting.origin {
        Origin::Default if setting.value.is_none() => "not set".to_owned(),
        Origin::Default => "default".to_owned(),
        Origin::Line(line) => format!("line {line} of the file"),
        Origin::Variable(name) if setting.name == name => "set".to_owned(),
        Origin::Variable(name) => format!("by {name}"),
    }
}

fn json_of(setting: &Setting) -> Value {
    let (origin, line, variable) = match setting.origin {
        Origin::Default => ("default", None, None),
        Origin::Line(line) => ("file", Some(line), None),
        Origin::Variable(name) => ("environment", None, Some(name)),
    };
    json!({
        "name": setting.name,
        "value": setting.value,
        "origin": origin,
        "line": line,
        "variable": variable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_said_in_words_and_in_json() {
        let setting = |value: Option<&str>, origin| Setting {
            name: "refresh.reserve".to_owned(),
            value: value.map(str::to_owned),
            origin,
        };
        let unset = setting(None, Origin::Default);
        assert_eq!(
            (shown(&unset), origin_of(&unset)),
            ("-", "not set".to_owned())
        );
        let typed = setting(Some("5s"), Origin::Line(3));
        assert_eq!(origin_of(&typed), "line 3 of the file");
        let json = json_of(&typed);
        assert_eq!(
            (&json["origin"], &json["line"]),
            (&"file".into(), &3.into())
        );
        let moved = setting(Some("/x"), Origin::Variable("AUTHKEEPER_STORE"));
        assert_eq!(origin_of(&moved), "by AUTHKEEPER_STORE");
    }
}
