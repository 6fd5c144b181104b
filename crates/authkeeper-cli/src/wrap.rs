//! Text for a person, in lines that fit the terminal. Where no terminal is, a line stays one line: programs read lines.

use std::borrow::Cow;

use textwrap::{Options, WordSplitter, core::display_width, fill};

/// Later lines of a text begin so much farther to the right than its first.
const HANG: usize = 2;

/// Breaks lines at words, and no word: a URL or a command is copied whole. `hang` is where the later lines of each begin.
pub(crate) fn wrapped(text: &str, columns: Option<usize>, hang: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns else {
        return text.into();
    };
    if text.lines().all(|line| display_width(line) <= columns) {
        return text.into();
    }
    let lines = text.split('\n').map(|line| of_line(line, columns, hang));
    lines.collect::<Vec<_>>().join("\n").into()
}

fn of_line(line: &str, columns: usize, hang: Option<usize>) -> String {
    let words = line.trim_start_matches(' ');
    // The terminal itself breaks a URL that is longer than a line, and it is copied whole.
    if !words.contains(' ') {
        return line.to_owned();
    }
    let indent = line.len() - words.len();
    // A terminal that is narrow has no room for much of a margin.
    let hang = hang.unwrap_or(indent + HANG).min(columns / 3);
    let hang = " ".repeat(hang);
    let options = Options::new(columns)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation)
        .subsequent_indent(&hang);
    fill(line, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_at_words_and_no_word_breaks() {
        let text =
            "  next: run authkeeper connect notion https://mcp.notion.com/mcp --client-id ID";
        assert_eq!(
            wrapped(text, Some(30), None),
            "  next: run authkeeper connect\n    notion\n    https://mcp.notion.com/mcp\n    --client-id ID"
        );
        assert_eq!(wrapped(text, None, None), text, "in a pipe it is one line");
        assert_eq!(wrapped(text, Some(80), None), text);
        assert_eq!(wrapped("a\n\nb", Some(1), None), "a\n\nb");
    }

    #[test]
    fn colours_have_no_width_and_a_list_hangs_below_its_text() {
        let painted = "  \x1b[31merror\x1b[0m    the provider refused";
        assert_eq!(wrapped(painted, Some(31), None), painted);
        assert_eq!(
            wrapped(painted, Some(30), Some(10)),
            "  \x1b[31merror\x1b[0m    the provider\n          refused"
        );
    }

    #[test]
    fn a_url_alone_stays_where_it_is_between_its_blank_lines() {
        let text = "Open in a browser:\n\n  https://as.example/authorize?client_id=1\n";
        assert_eq!(wrapped(text, Some(20), None), text);
    }

    #[test]
    fn a_narrow_terminal_keeps_two_thirds_for_the_text() {
        assert_eq!(
            wrapped("aaa bbb ccc", Some(6), Some(40)),
            "aaa\n  bbb\n  ccc"
        );
    }
}
