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

/// Stands in the place of a secret that a server repeated.
const HIDDEN: &str = "[hidden]";

/// A text without words that look like a token or a client secret: some servers quote what they refuse.
pub(crate) fn without_secrets(text: &str) -> String {
    let chunks = text.split_inclusive(|c| !is_of_a_word(c));
    chunks.fold(String::new(), |mut shown, chunk| {
        let word = chunk.trim_end_matches(|c| !is_of_a_word(c));
        shown.push_str(if looks_secret(word) { HIDDEN } else { word });
        shown.push_str(chunk.strip_prefix(word).unwrap_or_default());
        shown
    })
}

/// What tokens are made of (RFC 6750 §2.1), but for the padding.
fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/')
}

/// Long, and letters mixed with digits. Error codes, sentences, addresses, dates and UUIDs (a trace's) are not.
fn looks_secret(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| {
            let digits = part.bytes().filter(u8::is_ascii_digit).count();
            let mixed = digits >= 2 && part.len() - digits >= 2;
            part.len() >= 16 && mixed
        })
}

/// The shortest part of a secret that is hidden where a text was cut within it.
const SHORTEST_PART: usize = 8;

/// A text without this secret, also where the text ends within it.
pub(crate) fn without(text: &str, secret: &str) -> String {
    if secret.len() < SHORTEST_PART {
        return text.to_owned();
    }
    let text = text.replace(secret, HIDDEN);
    let parts = (SHORTEST_PART..secret.len()).rev();
    let mut parts = parts.filter_map(|length| secret.get(..length));
    match parts.find_map(|part| text.strip_suffix(part)) {
        Some(before) => format!("{before}{HIDDEN}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for (said, shown) in [
            (
                "refresh_token 1//0gAbCdEf3hKqZ9xW2mB5tR8-L9 is invalid",
                "refresh_token [hidden] is invalid",
            ),
            (
                "client_secret='GOCSPX-a5ecr3tKqZ9xW2mB5tR8'!",
                "client_secret='[hidden]'!",
            ),
            ("d41d8cd98f00b204e9800998ecf8427e", "[hidden]"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.x", "[hidden]"),
            (
                "https://a.example/t?token=Ab12Cd34Ef56Gh78Ij90==&x",
                "https://a.example/t?token=[hidden]==&x",
            ),
            ("ü 1//0gAbCdEf3hKqZ9xW2mB5tR8é", "ü [hidden]é"),
        ] {
            assert_eq!(without_secrets(said), shown);
        }
        for plain in [
            "",
            "keymanagement.service.invalid_refresh_token",
            "oauth.v2.InvalidRefreshTokenOrClientCredentials",
            "AADSTS700082: The refresh token has expired due to inactivity. Trace ID: 7c6d3a52-11bb-4ccc-dd22-eeeeee333333 2026-11-29 23:50:05Z",
            "https://login.example/error?code=700082 (2026-11-29T23:50:05Z)",
            "Für Konto 1234567890123456 ist das Token abgelaufen…",
        ] {
            assert_eq!(without_secrets(plain), plain);
        }
    }

    #[test]
    fn a_known_secret_is_hidden_where_the_text_is_cut_too() {
        let hides = |text: &str| without(text, "refresh-0123");
        assert_eq!(hides("refresh-0123, refresh-0123"), "[hidden], [hidden]");
        assert_eq!(hides("no refresh-01"), "no [hidden]");
        assert_eq!(hides("no refresh"), "no refresh");
        assert_eq!(without("a rr", "r"), "a rr", "too short to be one");
    }

    #[test]
    fn what_moves_the_cursor_or_turns_the_text_is_left_out() {
        assert_eq!(one_line("a\r\nb\u{1b}[2J\u{202e}c"), "ab[2Jc");
        assert_eq!(one_line(&"x".repeat(1_000)).len(), 200);
    }
}
