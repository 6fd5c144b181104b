//! What others wrote, fit to be shown to a person.

/// Characters that make a terminal show text in another order than it has (Unicode's bidirectional formatting).
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line, printable, short.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).take(200).collect()
}

/// What of a text shows as it is written.
pub(crate) fn printable(text: &str) -> impl Iterator<Item = char> {
    let plain = |c: &char| !c.is_control() && !is_direction(*c);
    text.chars().filter(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_turns_the_text_is_left_out() {
        assert_eq!(one_line("a\r\nb\u{1b}[2J\u{202e}c"), "ab[2Jc");
        assert_eq!(one_line(&"x".repeat(1_000)).len(), 200);
    }
}
