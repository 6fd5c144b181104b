//! Lengths of time in words.

/// A length of time as a person says it: `42 s`, `12 min`, `3 h 20 min`, `5 d`.
pub fn in_words(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_a_person_says_them() {
        for (seconds, said) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (12_000, "3 h 20 min"),
            (172_800, "2 d"),
        ] {
            assert_eq!(in_words(seconds), said);
        }
    }
}
