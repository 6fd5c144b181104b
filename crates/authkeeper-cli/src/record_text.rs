//! A record as a person reads it on a terminal. Everywhere else a record is one JSON line.

use authkeeper::model::{Event, Record};
use jiff::Timestamp;

/// What happened, since when, and what to do.
pub(crate) fn text(record: &Record) -> String {
    let word = match record.event {
        Event::ReauthorizationRequired | Event::AuthorityLost | Event::RotationFailed => "error",
        Event::Test => "note",
        _ => "warning",
    };
    let next = match &record.link {
        Some(link) => format!("open {link}, or: {}", record.action),
        None => record.action.clone(),
    };
    format!(
        "authkeeper: {word}: {}: {} ({})\n  since: {}\n  next: {next}",
        record.connection,
        record.detail,
        record.reason,
        second(record.since)
    )
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_happened_since_when_and_what_to_do() {
        let mut record = Record {
            event: Event::ReauthorizationRequired,
            connection: "notion".to_owned(),
            principal: "local".to_owned(),
            task: None,
            reason: "refresh_refused".to_owned(),
            detail: "the provider refused the refresh token".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            expires_at: None,
            scope: None,
            action: "authkeeper reauthorize notion".to_owned(),
            link: None,
            trace_id: "t".to_owned(),
            ts: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(
            text(&record),
            "authkeeper: error: notion: the provider refused the refresh token (refresh_refused)\n  since: 1970-01-01 \
             00:00:00 UTC\n  next: authkeeper reauthorize notion"
        );
        record.link = Some("http://127.0.0.1:1/a".to_owned());
        record.event = Event::Uncertain;
        let told = text(&record);
        assert!(told.starts_with("authkeeper: warning: "), "{told}");
        assert!(
            told.ends_with("next: open http://127.0.0.1:1/a, or: authkeeper reauthorize notion"),
            "{told}"
        );
    }
}
