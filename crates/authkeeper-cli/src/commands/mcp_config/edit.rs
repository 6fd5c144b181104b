//! A server put into a configuration file's text, which otherwise stays as it is: comments, order, what we don't know.

use jsonc_parser::{ParseOptions, cst::CstRootNode};
use toml_edit::{DocumentMut, Item, Table};

use super::{
    client::Format,
    wanted::{Edited, Unusable, Wanted},
};

pub(super) fn put(format: Format, text: &str, wanted: Wanted<'_>) -> Result<Edited, Unusable> {
    match format {
        Format::Json => json(text, wanted),
        Format::Toml => toml(text, wanted),
    }
}

fn json(text: &str, wanted: Wanted<'_>) -> Result<Edited, Unusable> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let options = ParseOptions {
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_loose_object_property_names: false,
        ..ParseOptions::default()
    };
    let root =
        CstRootNode::parse(text, &options).map_err(|error| Unusable::Torn(error.to_string()))?;
    let whole = root.object_value().ok_or(wanted.unusable())?;
    let section = whole.object_value_or_create(wanted.section);
    let section = section.ok_or(wanted.unusable())?;
    let Some(found) = section.get(wanted.name) else {
        let members = wanted.members.iter();
        let members = members.map(|(name, value)| ((*name).to_owned(), value.as_cst()));
        let object = jsonc_parser::cst::CstInputValue::Object(members.collect());
        section.append(wanted.name, object);
        return Ok(Edited::Changed(root.to_string()));
    };
    let server = found.object_value().ok_or(wanted.unusable())?;
    let member = |name: &str| server.get(name)?.value()?.to_serde_value();
    let Some(other) = wanted.other(member) else {
        return Ok(Edited::Same);
    };
    if !wanted.force {
        return Ok(Edited::Taken(other));
    }
    for (name, value) in wanted.members {
        match server.get(name) {
            Some(there) => there.set_value(value.as_cst()),
            None => drop(server.append(name, value.as_cst())),
        }
    }
    Ok(Edited::Changed(root.to_string()))
}

fn toml(text: &str, wanted: Wanted<'_>) -> Result<Edited, Unusable> {
    let parsed = text.parse::<DocumentMut>();
    let mut whole = parsed.map_err(|error| Unusable::Torn(error.to_string()))?;
    let mut implicit = Table::new();
    implicit.set_implicit(true);
    let section = whole.entry(wanted.section).or_insert(Item::Table(implicit));
    let section = section.as_table_like_mut().ok_or(wanted.unusable())?;
    if let Some(found) = section.get(wanted.name) {
        let server = found.as_table_like().ok_or(wanted.unusable())?;
        let Some(other) = wanted.other(|name| as_json(server.get(name)?)) else {
            return Ok(Edited::Same);
        };
        if !wanted.force {
            return Ok(Edited::Taken(other));
        }
    }
    let server = section
        .entry(wanted.name)
        .or_insert(Item::Table(Table::new()));
    let server = server.as_table_like_mut().ok_or(wanted.unusable())?;
    for (name, value) in wanted.members {
        server.insert(name, Item::Value(value.as_toml()));
    }
    Ok(Edited::Changed(whole.to_string()))
}

fn as_json(item: &Item) -> Option<serde_json::Value> {
    match item.as_value()? {
        toml_edit::Value::String(text) => Some(text.value().as_str().into()),
        toml_edit::Value::Array(words) => {
            let words = words
                .iter()
                .map(|word| word.as_str().map(serde_json::Value::from));
            words.collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::mcp_config::entry::Value;

    fn members() -> Vec<(&'static str, Value)> {
        let args = vec!["mcp".to_owned(), "notion".to_owned()];
        let command = Value::Text("/bin/ak".to_owned());
        vec![("command", command), ("args", Value::List(args))]
    }

    fn edited(format: Format, text: &str, force: bool) -> Result<Edited, Unusable> {
        let members = members();
        let wanted = Wanted {
            section: "servers",
            name: "notion",
            members: &members,
            force,
        };
        put(format, text, wanted)
    }

    fn changed(format: Format, text: &str, force: bool) -> String {
        match edited(format, text, force).unwrap() {
            Edited::Changed(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_file_holds_the_server_and_nothing_else() {
        let text = changed(Format::Json, "", false);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["servers"]["notion"]["args"][1], "notion");
        let text = changed(Format::Toml, "", false);
        assert!(
            text.starts_with("[servers.notion]\ncommand = \"/bin/ak\"\n"),
            "{text}"
        );
    }

    #[test]
    fn comments_order_and_strange_members_stay() {
        let json = "// mine\n{\n  \"z\": 1, // last\n  \"servers\": {\n    \"b\": {\"command\": \"x\"}, /* why */\n  },\n  \"a\": [1,2],\n}\n";
        let text = changed(Format::Json, json, false);
        for kept in [
            "// mine\n",
            "\"z\": 1, // last\n",
            "\"b\": {\"command\": \"x\"}, /* why */",
            "\"a\": [1,2],\n}\n",
        ] {
            assert!(text.contains(kept), "{kept:?} is gone:\n{text}");
        }
        assert_eq!(edited(Format::Json, &text, false).unwrap(), Edited::Same);
        let toml = "# mine\nmodel = 'x' # kept\n\n[servers.b]\ncommand = \"y\"\n\n[other]\nk = 1\n";
        let text = changed(Format::Toml, toml, false);
        for kept in [
            "# mine\nmodel = 'x' # kept\n",
            "[servers.b]\ncommand = \"y\"\n",
            "[other]\nk = 1\n",
        ] {
            assert!(text.contains(kept), "{kept:?} is gone:\n{text}");
        }
        assert_eq!(edited(Format::Toml, &text, false).unwrap(), Edited::Same);
    }

    #[test]
    fn another_command_is_replaced_only_when_that_is_wanted() {
        let json = r#"{"servers": {"notion": {"command": "npx", "args": ["mcp-remote"], "disabled": true}}}"#;
        let toml =
            "[servers.notion]\ncommand = \"npx\"\nargs = [\"mcp-remote\"]\ndisabled = true # why\n";
        for (format, text) in [(Format::Json, json), (Format::Toml, toml)] {
            let Edited::Taken(other) = edited(format, text, false).unwrap() else {
                panic!("{text}");
            };
            assert!(
                other.contains("npx") && other.contains("mcp-remote"),
                "{other}"
            );
            let forced = changed(format, text, true);
            assert!(forced.contains("disabled"), "{forced}");
            assert!(!forced.contains("npx"), "{forced}");
            assert_eq!(edited(format, &forced, false).unwrap(), Edited::Same);
        }
    }

    #[test]
    fn what_is_torn_or_strange_is_refused() {
        for torn in [
            "{\"servers\": {",
            "{\"a\": 1 \"b\": 2}",
            "{} {}",
            "not json",
        ] {
            let refused = edited(Format::Json, torn, true);
            assert!(
                matches!(refused, Err(Unusable::Torn(_))),
                "{torn}: {refused:?}"
            );
        }
        for strange in ["[]", "{\"servers\": []}", "{\"servers\": {\"notion\": 1}}"] {
            let refused = edited(Format::Json, strange, true);
            assert!(
                matches!(refused, Err(Unusable::Shape(_))),
                "{strange}: {refused:?}"
            );
        }
        let torn = edited(Format::Toml, "[servers\n", true);
        assert!(matches!(torn, Err(Unusable::Torn(_))), "{torn:?}");
        let strange = edited(Format::Toml, "servers = 1\n", true);
        assert!(matches!(strange, Err(Unusable::Shape(_))), "{strange:?}");
    }
}
