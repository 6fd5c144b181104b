//! Random strings from the operating system.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// 192 bits for tokens, codes and secrets.
pub(crate) fn secret() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<24>())
}

/// A short code a person can type: no vowels, no digits that look like letters (RFC 8628 §6.1).
pub(crate) fn user_code() -> String {
    const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    let text: Vec<char> = bytes::<8>().iter().map(letter).collect();
    let half = |part: &[char]| part.iter().collect::<String>();
    format!("{}-{}", half(&text[..4]), half(&text[4..]))
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret may be made"
    )]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
