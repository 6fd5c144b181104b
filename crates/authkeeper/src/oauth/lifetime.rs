//! How long tokens live, by what an answer says in its several ways, checked for sense.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::answer::get;

/// Fields that say how long an access token lives, the standard one first (RFC 6749 §5.1).
const SPANS: &[&str] = &["expires_in", "expires", "expire_in", "expires_in_seconds"];

/// Fields that say when it ends, or how long it lives: each is read as what its value can only be.
const ENDS: &[&str] = &[
    "expires_at",
    "expires_on",
    "expiry",
    "expiration",
    "expires",
    ".expires",
];

/// How long a refresh token lives, or the grant behind it: Google and GitHub, Keycloak, `QuickBooks`, Airtable, and the
/// two of the draft on refresh-token expiration. The earliest end counts.
const REFRESH: &[&str] = &[
    "refresh_token_expires_in",
    "refresh_expires_in",
    "x_refresh_token_expires_in",
    "refresh_token_timeout",
    "authorization_expires_in",
    "refresh_token_expires_at",
    "refresh_expires_at",
];

/// No lifetime is longer: such a value is something else.
const LONGEST: f64 = 10.0 * 366.0 * 86_400.0;

/// Numbers from here on are Unix times in seconds, and from there on in milliseconds: 2001 and the year 2001 again.
const UNIX_TIME: f64 = 1e9;
const UNIX_MILLISECONDS: f64 = 1e12;

/// What one field says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum EndField {
    Seconds(f64),
    Until(Timestamp),
}

/// What an answer says of its tokens' lifetimes.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseLifetimes {
    span: Option<EndField>,
    siblings: Vec<EndField>,
    refresh: Vec<EndField>,
    refresh_in: Option<Duration>,
    /// The provider's clock, where the answer shows it (RFC 9110 §6.6.1).
    pub(super) answered: Option<Timestamp>,
}

impl ResponseLifetimes {
    /// Reads them in the first of these objects that has them.
    pub(super) fn read(objects: &[&Map<String, Value>]) -> Self {
        let find = |field: &&str| {
            let mut values = objects.iter().filter_map(|object| get(object, field));
            values.find_map(told)
        };
        let standard = SPANS.iter().find_map(find);
        let refresh_in = find(&"refresh_in").and_then(|told| match told {
            EndField::Seconds(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            EndField::Until(_) => None,
        });
        Self {
            span: standard,
            siblings: ENDS.iter().filter_map(find).collect(),
            refresh: REFRESH.iter().filter_map(find).collect(),
            refresh_in,
            answered: None,
        }
    }

    /// How long the access token lives, and whether a sibling of `expires_in` says so. `own` is what the token says of
    /// itself. A span that is several times what a sibling says is no span in seconds.
    pub(super) fn access(&self, asked: Timestamp, own: Option<Duration>) -> AccessLifetime {
        let now = self.answered.unwrap_or(asked);
        let siblings = self.siblings.iter().filter_map(|told| told.left(now));
        let sibling = siblings.min();
        let span = self.span.and_then(|told| told.left(now));
        let is_absurd = |span: Duration, hint: Duration| span / 4 >= hint;
        let hint = [sibling, own].into_iter().flatten().min();
        match (span, hint) {
            (Some(span), Some(hint)) if is_absurd(span, hint) && own == Some(hint) => {
                AccessLifetime::Own
            }
            (Some(span), Some(hint)) if is_absurd(span, hint) => AccessLifetime::Sibling(hint),
            (Some(span), _) => AccessLifetime::Span(span),
            (None, _) => match (sibling, own) {
                (Some(sibling), _) => AccessLifetime::Sibling(sibling),
                (None, Some(_)) => AccessLifetime::Own,
                (None, None) => AccessLifetime::Unsaid,
            },
        }
    }

    /// When the refresh token ends.
    pub(super) fn refresh_ends(&self, asked: Timestamp) -> Option<Timestamp> {
        let now = self.answered.unwrap_or(asked);
        let left = self.refresh.iter().filter_map(|told| told.left(now)).min();
        asked.saturating_add(left?).ok()
    }

    /// When the issuer wants the token refreshed.
    pub(super) fn refresh_in(&self) -> Option<Duration> {
        self.refresh_in.filter(|wait| !wait.is_zero())
    }
}

/// Which source says how long an access token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessLifetime {
    /// `expires_in`, or what stands in its place.
    Span(Duration),
    /// Another field of the answer.
    Sibling(Duration),
    /// The token itself.
    Own,
    /// None.
    Unsaid,
}

impl EndField {
    /// How much is left; none where the value makes no sense.
    fn left(self, now: Timestamp) -> Option<Duration> {
        let seconds = match self {
            Self::Seconds(seconds) if is_milliseconds(seconds) => seconds / 1000.0,
            Self::Seconds(seconds) => seconds,
            Self::Until(end) => end.duration_since(now).as_secs_f64(),
        };
        let span = Duration::try_from_secs_f64(seconds).ok();
        span.filter(|span| !span.is_zero() && seconds <= LONGEST)
    }
}

/// ResponseLifetimes of weeks and more are whole days (30 d, 60 d, 90 d). Ten minutes and more in milliseconds are whole seconds
/// and, taken for seconds, no whole days.
fn is_milliseconds(number: f64) -> bool {
    let whole = |unit: f64| (number / unit).fract() == 0.0;
    let long = number > 180.0 * 86_400.0;
    number >= 600_000.0 && whole(1_000.0) && (!whole(86_400.0) || (long && whole(300_000.0)))
}

fn told(value: &Value) -> Option<EndField> {
    let text = value.as_str().map(str::trim);
    let number = value
        .as_f64()
        .or_else(|| text?.parse().ok())
        .filter(|number| number.is_finite());
    match number {
        // Zero means "not said", or that it does not end.
        Some(number) if number <= 0.0 => None,
        Some(number) if number >= UNIX_MILLISECONDS => until(number / 1000.0),
        Some(number) if number >= UNIX_TIME => until(number),
        Some(number) => Some(EndField::Seconds(number)),
        None => date(text?).map(EndField::Until),
    }
}

fn until(seconds: f64) -> Option<EndField> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    let seconds = i64::try_from(since.as_secs()).ok()?;
    Timestamp::from_second(seconds).ok().map(EndField::Until)
}

/// RFC 3339, or a date as HTTP writes it.
fn date(text: &str) -> Option<Timestamp> {
    let http = || jiff::fmt::rfc2822::parse(text).ok();
    text.parse()
        .ok()
        .or_else(|| http().map(|zoned| zoned.timestamp()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn access(body: &Value, own: Option<u64>) -> AccessLifetime {
        let read = ResponseLifetimes::read(&[body.as_object().unwrap()]);
        let now = Timestamp::from_second(NOW).unwrap();
        read.access(now, own.map(Duration::from_secs))
    }

    fn span(seconds: u64) -> AccessLifetime {
        AccessLifetime::Span(Duration::from_secs(seconds))
    }

    fn sibling(seconds: u64) -> AccessLifetime {
        AccessLifetime::Sibling(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lifetime_is_read_in_every_way_it_is_written() {
        for (body, expected) in [
            (json!({"expires_in": 3600}), span(3600)),
            (json!({"expires_in": "3600"}), span(3600)),
            (json!({"expires_in": 3600.0}), span(3600)),
            (json!({"expiresIn": 3600}), span(3600)),
            (json!({"expires": 3600}), span(3600)),
            // a Unix time, in seconds and milliseconds
            (json!({"expires_in": NOW + 3600}), span(3600)),
            (json!({"expires_in": (NOW + 3600) * 1000}), span(3600)),
            (json!({"expires_in": (NOW + 3600).to_string()}), span(3600)),
            (json!({"expires": NOW + 60}), span(60)),
            // milliseconds
            (json!({"expires_in": 3_600_000}), span(3600)),
            (json!({"expires_in": 86_400_000}), span(86_400)),
            (json!({"expires_in": 28_800_000}), span(28_800)),
            (json!({"expires_in": 3_599_000}), span(3_599)),
            // weeks are weeks
            (json!({"expires_in": 604_800}), span(604_800)),
            (json!({"expires_in": 2_592_000}), span(2_592_000)),
            (json!({"expires_in": 5_184_000}), span(5_184_000)),
            (json!({"expires_in": 31_536_000}), span(31_536_000)),
            // siblings
            (json!({"expires_at": NOW + 60}), sibling(60)),
            (json!({"expires_on": (NOW + 60).to_string()}), sibling(60)),
            (json!({"expires_at": "2026-09-21T14:27:40Z"}), sibling(860)),
            (
                json!({".expires": "Mon, 21 Sep 2026 14:27:40 GMT"}),
                sibling(860),
            ),
            (
                json!({"expires_in": 1_209_600, "expires_at": NOW + 3600}),
                sibling(3600),
            ),
            (
                json!({"expires_in": 3600, "expires_at": NOW + 3590}),
                span(3600),
            ),
            // nothing
            (json!({}), AccessLifetime::Unsaid),
            (json!({"expires_in": 0}), AccessLifetime::Unsaid),
            (json!({"expires_in": -5}), AccessLifetime::Unsaid),
            (json!({"expires_in": "soon"}), AccessLifetime::Unsaid),
            (json!({"expires_in": NOW - 60}), AccessLifetime::Unsaid),
            (json!({"expires_in": 1e17}), AccessLifetime::Unsaid),
            (json!({"expires_in": 1e-300}), AccessLifetime::Unsaid),
            (
                json!({"expires_in": null, "expires_at": "never"}),
                AccessLifetime::Unsaid,
            ),
        ] {
            assert_eq!(access(&body, None), expected, "{body}");
        }
    }

    #[test]
    fn what_the_token_says_of_itself_corrects_an_absurd_span() {
        assert_eq!(
            access(&json!({"expires_in": 1_209_600}), Some(3600)),
            AccessLifetime::Own
        );
        assert_eq!(
            access(&json!({"expires_in": 3600}), Some(86_400)),
            span(3600)
        );
        assert_eq!(access(&json!({}), Some(3600)), AccessLifetime::Own);
    }

    #[test]
    fn an_end_is_counted_by_the_providers_clock() {
        let body = json!({"expires_at": NOW + 3600});
        let mut read = ResponseLifetimes::read(&[body.as_object().unwrap()]);
        read.answered = Timestamp::from_second(NOW).ok();
        let fast = Timestamp::from_second(NOW + 7200).unwrap();
        assert_eq!(read.access(fast, None), sibling(3600));
    }

    #[test]
    fn the_earliest_end_of_a_refresh_token_counts() {
        let body = json!({"refresh_token_expires_in": 90, "refresh_expires_at": NOW + 30, "refresh_expires_in": 0});
        let read = ResponseLifetimes::read(&[body.as_object().unwrap()]);
        let now = Timestamp::from_second(NOW).unwrap();
        assert_eq!(
            read.refresh_ends(now),
            Timestamp::from_second(NOW + 30).ok()
        );
    }
}
