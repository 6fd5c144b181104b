//! Lengths of time as they are typed.

use std::time::Duration;

/// `90s`, `10m`, `2h`, `1d`; a bare number counts seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let seconds = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => {
            return Err(format!(
                "{text:?} is not a duration; write 90s, 10m, 2h or 1d"
            ));
        }
    };
    let number = digits
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds));
    number
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is not a duration; write 90s, 10m, 2h or 1d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("10m").unwrap(), Duration::from_mins(10));
        assert_eq!(parse_duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("2 h").unwrap(), Duration::from_hours(2));
        for bad in ["", "soon", "-1s", "1w", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
