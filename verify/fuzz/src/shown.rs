//! What may reach a person: bounded, on one line, and shown as it is written.

/// Long enough for an issuer and the three places of its metadata.
const LONGEST: usize = 10_000;

/// Panics if a text could move the cursor, turn the reading direction or flood the screen.
pub(crate) fn fit(what: &str, text: &str) {
    let bad = text.chars().find(|c| c.is_control() || turns(*c));
    assert_eq!(bad, None, "{what} has a control character: {text:?}");
    let length = text.chars().count();
    assert!(length <= LONGEST, "{what} has {length} characters");
}

/// Unicode's bidirectional formatting.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
