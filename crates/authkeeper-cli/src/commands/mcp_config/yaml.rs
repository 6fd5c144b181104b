//! YAML, as goose reads it: printed to be pasted. No maintained library edits YAML and leaves its comments where they are.

use serde_json::json;

use super::entry::Value;

/// A server in this section. A JSON text is YAML too (YAML 1.2.2 §1.2), and a quoted one is read by none as a number or a
/// date.
pub(super) fn snippet(section: &str, name: &str, members: &[(&str, Value)]) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("    {name}: {}\n", value.as_json()));
    let head = format!("{section}:\n  {}:\n", json!(name));
    std::iter::once(head).chain(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_block_style_with_quoted_texts() {
        let args = vec!["mcp".to_owned(), "on".to_owned()];
        let variables = vec![("AUTHKEEPER_STORE".to_owned(), "/a b".to_owned())];
        let members = [
            ("enabled", Value::Flag(true)),
            ("cmd", Value::Text("/bin/\"ak\"".to_owned())),
            ("args", Value::List(args)),
            ("envs", Value::Map(variables)),
            ("timeout", Value::Number(300)),
        ];
        let expected = concat!(
            "extensions:\n",
            "  \"on\":\n",
            "    enabled: true\n",
            "    cmd: \"/bin/\\\"ak\\\"\"\n",
            "    args: [\"mcp\",\"on\"]\n",
            "    envs: {\"AUTHKEEPER_STORE\":\"/a b\"}\n",
            "    timeout: 300\n",
        );
        assert_eq!(snippet("extensions", "on", &members), expected);
    }
}
