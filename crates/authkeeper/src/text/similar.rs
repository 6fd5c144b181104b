//! What a person may have meant who typed something else.

/// The nearest of these names, if one is near enough for what was typed to be a slip.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .into_iter()
        .filter_map(|name| Some((slips(typed, name)?, name)));
    near.min().map(|(_, name)| name)
}

/// How far what was typed is from a name; none if that is too far to be a slip. The start of a name is near it. Two
/// letters in the wrong order are one slip.
pub(crate) fn slips(typed: &str, name: &str) -> Option<usize> {
    let slips = if typed.len() >= 3 && name.starts_with(typed) {
        1
    } else {
        strsim::damerau_levenshtein(typed, name)
    };
    (slips <= 1 + name.len() / 4).then_some(slips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let names = ["notion", "try", "jira-2"];
        for (typed, meant) in [
            ("noton", Some("notion")),
            ("tri", Some("try")),
            ("tyr", Some("try")),
            ("jira", Some("jira-2")),
            ("github", None),
            ("no", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
        assert_eq!(nearest("notion", []), None);
    }
}
