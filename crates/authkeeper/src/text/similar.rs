//! What a person may have meant who typed something else.

/// The nearest of these names, if one is near enough for what was typed to be a slip.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names
        .into_iter()
        .filter_map(|name| Some((slips(typed, name)?, name)));
    near.min().map(|(_, name)| name)
}

/// How far what was typed is from a name; none if that is too far to be a slip. The start of a name is near it, and so are
/// its letters in another order.
pub(crate) fn slips(typed: &str, name: &str) -> Option<usize> {
    let starts = typed.len() >= 3 && name.starts_with(typed);
    let slips = if starts || sorted(typed) == sorted(name) {
        1
    } else {
        distance(typed, name)
    };
    (slips <= 1 + name.len() / 4).then_some(slips)
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// Insertions, deletions and replacements from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
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
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
