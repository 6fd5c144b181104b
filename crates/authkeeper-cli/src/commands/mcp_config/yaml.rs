//! YAML, as goose writes it: block mappings, edited line by line. There is no kept library that edits YAML and leaves
//! comments where they are; what is written in another way is refused.

use serde_json::{Value as Json, json};

use super::{
    entry::Value,
    wanted::{Edited, Unusable, Wanted},
};

pub(super) fn put(text: &str, wanted: Wanted<'_>) -> Result<Edited, Unusable> {
    let lines: Vec<&str> = text.lines().collect();
    if lines
        .iter()
        .any(|line| line.starts_with('\t') || line.starts_with("--- "))
    {
        return Err(wanted.unusable());
    }
    let Some(section) = member(&lines, 0, wanted.section) else {
        let mut all: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        all.push(format!("{}:", wanted.section));
        all.extend(block(wanted, 2));
        return Ok(Edited::Changed(joined(&all)));
    };
    let own = lines.get(section).copied().unwrap_or_default();
    let (_, inline) = key_of(own).ok_or(wanted.unusable())?;
    if !matches!(inline, "" | "{}") {
        return Err(wanted.unusable());
    }
    let end = end_of(&lines, section, 0);
    let next = lines.iter().skip(end).find(|line| !is_blank(line));
    // A list may stand as far left as the name of what holds it.
    if next.is_some_and(|line| line.starts_with('-')) {
        return Err(wanted.unusable());
    }
    let inside = lines.get(section + 1..end).unwrap_or_default();
    let indent = inside
        .iter()
        .find(|line| !is_blank(line))
        .map(|line| indent_of(line));
    let indent = indent.unwrap_or(2);
    if indent == 0
        || inside
            .iter()
            .any(|line| indent_of(line) == indent && !is_blank(line) && key_of(line).is_none())
    {
        return Err(wanted.unusable());
    }
    let mut all: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    if inline == "{}" {
        let name = format!("{}:", wanted.section);
        all.splice(section..=section, [name]);
    }
    let Some(at) = member(inside, indent, wanted.name).map(|at| section + 1 + at) else {
        let rest = all.split_off(section + 1);
        all.extend(block(wanted, indent));
        all.extend(rest);
        return Ok(Edited::Changed(joined(&all)));
    };
    replace(&lines, at, indent, wanted).map(|edited| match edited {
        None => Edited::Same,
        Some(Err(other)) => Edited::Taken(other),
        Some(Ok((range, block))) => {
            all.splice(range, block);
            Edited::Changed(joined(&all))
        }
    })
}

type Replaced = Option<Result<(std::ops::Range<usize>, Vec<String>), String>>;

/// The members that decide are replaced where they stand; the others stay.
fn replace(
    lines: &[&str],
    at: usize,
    indent: usize,
    wanted: Wanted<'_>,
) -> Result<Replaced, Unusable> {
    let end = end_of(lines, at, indent);
    let inside = lines.get(at + 1..end).unwrap_or_default();
    let first = inside
        .iter()
        .find(|line| !is_blank(line))
        .ok_or(wanted.unusable())?;
    let deeper = indent_of(first);
    let found = |name: &str| {
        let at = member(inside, deeper, name)?;
        let below = inside.get(at + 1..end_of(inside, at, deeper))?;
        value_of(inside.get(at)?, below)
    };
    let Some(other) = wanted.other(found) else {
        return Ok(None);
    };
    if !wanted.force {
        return Ok(Some(Err(other)));
    }
    let mut block = vec![];
    for (name, value) in wanted
        .members
        .iter()
        .filter(|(name, _)| Wanted::decides(name))
    {
        block.extend(written(name, value, deeper));
    }
    let mut keep = true;
    for line in inside {
        if indent_of(line) <= deeper && !is_blank(line) {
            keep = !key_of(line).is_some_and(|(name, _)| Wanted::decides(&name));
        }
        if keep {
            block.push((*line).to_owned());
        }
    }
    Ok(Some(Ok((at + 1..end, block))))
}

fn block(wanted: Wanted<'_>, indent: usize) -> Vec<String> {
    let mut lines = vec![format!("{:indent$}{}:", "", key(wanted.name))];
    for (name, value) in wanted.members {
        lines.extend(written(name, value, indent + 2));
    }
    lines
}

/// A JSON text is YAML too (YAML 1.2.2 §1.2), and a quoted one is read by none as a number or a date.
fn written(name: &str, value: &Value, indent: usize) -> Vec<String> {
    let pad = " ".repeat(indent);
    let mut lines = vec![];
    match value {
        Value::List(words) => {
            lines.push(format!("{pad}{name}:"));
            lines.extend(words.iter().map(|word| format!("{pad}  - {}", json!(word))));
        }
        Value::Map(pairs) => {
            lines.push(format!("{pad}{name}:"));
            let pairs = pairs.iter();
            lines.extend(pairs.map(|(name, text)| format!("{pad}  {name}: {}", json!(text))));
        }
        other => lines.push(format!("{pad}{name}: {}", other.as_json())),
    }
    lines
}

/// Quoted, unless it is a word that no YAML reads as something else.
fn key(name: &str) -> String {
    const OTHERS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    let plain = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
    if plain && name != "null" && !OTHERS.contains(&name) {
        name.to_owned()
    } else {
        json!(name).to_string()
    }
}

/// A scalar, a flow list of JSON, or a block list.
fn value_of(line: &str, below: &[&str]) -> Option<Json> {
    let (_, inline) = key_of(line)?;
    if inline.starts_with('[') {
        return serde_json::from_str(inline).ok();
    }
    if !inline.is_empty() {
        return Some(scalar(inline));
    }
    let items = below.iter().filter(|line| !is_blank(line));
    items
        .map(|line| {
            line.trim()
                .strip_prefix("- ")
                .map(|item| scalar(item.trim()))
        })
        .collect()
}

fn scalar(text: &str) -> Json {
    let single = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    match (single, text.starts_with('"')) {
        (Some(inner), _) => json!(inner.replace("''", "'")),
        (None, true) => serde_json::from_str(text).unwrap_or_else(|_torn| json!(text)),
        (None, false) => json!(text.split(" #").next().unwrap_or_default().trim()),
    }
}

/// The line of a member at this depth.
fn member(lines: &[&str], indent: usize, name: &str) -> Option<usize> {
    lines.iter().position(|line| {
        let own = !is_blank(line) && indent_of(line) == indent;
        own && key_of(line).is_some_and(|(key, _)| key == name)
    })
}

/// The first line that is no longer below this one; blank lines and comments before it are not below either.
fn end_of(lines: &[&str], at: usize, indent: usize) -> usize {
    let below = |line: &&str| is_blank(line) || indent_of(line) > indent;
    let rest = lines.get(at + 1..).unwrap_or_default();
    let count = rest.iter().take_while(|line| below(line)).count();
    let inside = rest.get(..count).unwrap_or_default();
    let blank = inside
        .iter()
        .rev()
        .take_while(|line| is_blank(line))
        .count();
    at + 1 + count - blank
}

/// A member's name and what stands behind its colon.
fn key_of(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.starts_with("- ") {
        return None;
    }
    let (name, rest) = line.split_once(':')?;
    let rest = rest.trim();
    let rest = if rest.starts_with('#') { "" } else { rest };
    let name = scalar(name.trim());
    Some((name.as_str()?.to_owned(), rest))
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn joined(lines: &[String]) -> String {
    format!("{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, force: bool) -> Result<Edited, Unusable> {
        let args = vec!["mcp".to_owned(), "notion".to_owned()];
        let members = [
            ("enabled", Value::Flag(true)),
            ("cmd", Value::Text("/bin/ak".to_owned())),
            ("args", Value::List(args)),
        ];
        let wanted = Wanted {
            section: "extensions",
            name: "notion",
            members: &members,
            force,
        };
        put(text, wanted)
    }

    fn changed(text: &str, force: bool) -> String {
        match edited(text, force).unwrap() {
            Edited::Changed(text) => text,
            other => panic!("{other:?}"),
        }
    }

    const OWN: &str = "  notion:\n    enabled: true\n    cmd: \"/bin/ak\"\n    args:\n      - \"mcp\"\n      - \"notion\"\n";

    #[test]
    fn it_is_put_into_the_section_and_the_rest_stays() {
        assert_eq!(changed("", false), format!("extensions:\n{OWN}"));
        let text = "# mine\nGOOSE_MODEL: x  # kept\nextensions:\n  memory: # why\n    enabled: false\n\nother:\n  - a\n";
        let with = changed(text, false);
        let expected = text.replacen("extensions:\n", &format!("extensions:\n{OWN}"), 1);
        assert_eq!(with, expected);
        assert_eq!(edited(&with, false).unwrap(), Edited::Same);
        let empty = changed("extensions: {}\nother: 1\n", false);
        assert_eq!(empty, format!("extensions:\n{OWN}other: 1\n"));
        let wide = changed("extensions:\n    a:\n        enabled: true\n", false);
        assert!(
            wide.contains("\n    notion:\n      enabled: true\n"),
            "{wide}"
        );
    }

    #[test]
    fn another_command_is_replaced_only_when_that_is_wanted() {
        let text = "extensions:\n  notion:\n    # mine\n    cmd: npx\n    args: [\"-y\", \"mcp-remote\"]\n    timeout: 9\n  other:\n    cmd: x\n";
        let Edited::Taken(other) = edited(text, false).unwrap() else {
            panic!("it was not taken");
        };
        assert!(
            other.contains("npx") && other.contains("mcp-remote"),
            "{other}"
        );
        let forced = changed(text, true);
        for kept in ["    # mine\n", "    timeout: 9\n", "  other:\n    cmd: x\n"] {
            assert!(forced.contains(kept), "{kept:?} is gone:\n{forced}");
        }
        assert!(
            !forced.contains("npx") && !forced.contains("-y"),
            "{forced}"
        );
        assert_eq!(edited(&forced, false).unwrap(), Edited::Same);
    }

    #[test]
    fn what_is_written_in_another_way_is_refused() {
        for strange in [
            "extensions: {a: {enabled: true}}\n",
            "extensions:\n- a\n",
            "extensions:\n  - a\n",
            "\textensions:\n",
            "extensions: &anchor\n  a: 1\n",
        ] {
            assert!(edited(strange, true).is_err(), "{strange}");
        }
    }

    #[test]
    fn names_that_yaml_reads_as_something_else_are_quoted() {
        for (name, written) in [
            ("notion", "notion"),
            ("on", "\"on\""),
            ("1", "\"1\""),
            ("a.b", "\"a.b\""),
        ] {
            assert_eq!(key(name), written);
        }
    }
}
