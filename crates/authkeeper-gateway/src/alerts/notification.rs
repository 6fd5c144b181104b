//! The message about one alert, as every route gets it: the record of the incident, and what it means.

use authkeeper::model::{Record, Severity, WhoseMove};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::duration;

/// So many connections are named; the others are counted.
pub(super) const MOST_NAMED: usize = 5;

/// Which message about its alert it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationStatus {
    /// The first.
    Firing,
    /// What was told has changed.
    Changed,
    /// It is over.
    Resolved,
}

impl NotificationStatus {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Changed => "changed",
            Self::Resolved => "resolved",
        }
    }
}

/// One message. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Of which alert.
    pub id: String,
    /// Which of its messages, from 1.
    pub number: u32,
    /// Whether it begins, changes or is over.
    pub status: NotificationStatus,
    /// Whether it is over: the all-clear.
    pub resolved: bool,
    /// How urgent.
    pub severity: Severity,
    /// One line.
    #[serde(default)]
    pub title: String,
    /// The whole message for a person, in a few lines.
    #[serde(default)]
    pub text: String,
    /// Why: the word of the health table.
    pub cause: String,
    /// The same as a sentence, without a full stop.
    pub summary: String,
    /// At which provider: its issuer.
    pub provider: String,
    /// How many connections it is about.
    pub count: usize,
    /// The first few of them.
    pub connections: Vec<String>,
    /// Who has to do something.
    pub whose_move: String,
    /// How many runs ended because of it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub runs: u32,
    /// The machine that the link opens on, where it opens on no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_host: Option<String>,
    /// The incident of the first connection.
    #[serde(flatten)]
    pub record: Record,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(runs: &u32) -> bool {
    *runs == 0
}

impl Notification {
    /// The same with its link, and with the words for a person.
    #[must_use]
    pub fn worded(mut self, link: Option<String>, host: &str) -> Self {
        let is_local = |link: &String| is_loopback(link);
        self.link_host = link
            .as_ref()
            .filter(|link| is_local(link))
            .map(|_| host.to_owned());
        self.record.link = link;
        self.title = self.title();
        self.text = self.text();
        self
    }

    /// The id of the message: the same when it is sent again.
    pub fn message_id(&self) -> String {
        format!("{}.{}", self.id, self.number)
    }

    fn title(&self) -> String {
        let word = match self.status {
            NotificationStatus::Firing => self.severity.as_str().to_owned(),
            NotificationStatus::Changed => format!("still {}", self.severity.as_str()),
            NotificationStatus::Resolved => "resolved".to_owned(),
        };
        format!("{word}: {}: {}", self.subject(), self.summary)
    }

    fn subject(&self) -> String {
        match (self.count, self.connections.first()) {
            (1, Some(name)) => name.clone(),
            (count, _) => format!("{count} connections at {}", self.provider),
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        if self.resolved {
            let lasted = self.record.ts.duration_since(self.record.since).as_secs();
            let lasted = duration::in_words(u64::try_from(lasted).unwrap_or_default());
            lines.push(format!("It is over after {lasted}: {}.", self.summary));
            lines.extend(self.names());
            return lines.join("\n");
        }
        lines.push(format!("{}.", self.record.detail));
        lines.push(format!("Since {}.", shown(self.record.since)));
        lines.extend(self.names());
        lines.extend(self.ended_runs());
        lines.push(format!("{}: {}", self.actor(), self.action()));
        lines.extend(self.link_line());
        lines.join("\n")
    }

    fn names(&self) -> Option<String> {
        if self.count < 2 {
            return None;
        }
        let more = self.count.saturating_sub(self.connections.len());
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        Some(format!(
            "{} connections: {}{more}.",
            self.count,
            self.connections.join(", ")
        ))
    }

    fn ended_runs(&self) -> Option<String> {
        match self.runs {
            0 => None,
            1 => Some("A run ended 69 because of it.".to_owned()),
            runs => Some(format!("{runs} runs ended 69 because of it.")),
        }
    }

    fn actor(&self) -> &'static str {
        let is = |whose: WhoseMove| self.whose_move == whose.as_str();
        if is(WhoseMove::Person) {
            "The person who signs in"
        } else if is(WhoseMove::Operator) {
            "The operator"
        } else {
            "To do"
        }
    }

    fn action(&self) -> String {
        let action = &self.record.action;
        if self.count > 1 {
            return format!("{action}; authkeeper status lists all of them");
        }
        action.clone()
    }

    fn link_line(&self) -> Option<String> {
        let link = self.record.link.as_ref()?;
        Some(match &self.link_host {
            Some(host) => format!("Sign in, on {host}: {link}"),
            None => format!("Sign in: {link}"),
        })
    }
}

/// Whether a link opens on this machine only.
fn is_loopback(link: &str) -> bool {
    ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
        .iter()
        .any(|here| link.starts_with(here))
}

fn shown(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use authkeeper::model::Event;

    use super::*;
    use crate::forward::tests::record;

    pub(in super::super) fn notification(names: &[&str]) -> Notification {
        let first = names.first().copied().unwrap_or("none");
        Notification {
            id: "a1".to_owned(),
            number: 1,
            status: NotificationStatus::Firing,
            resolved: false,
            severity: Severity::Critical,
            title: String::new(),
            text: String::new(),
            cause: "refresh_refused".to_owned(),
            summary: "the provider refused the refresh token".to_owned(),
            provider: "https://as.example".to_owned(),
            count: names.len(),
            connections: names
                .iter()
                .take(MOST_NAMED)
                .map(|&name| name.to_owned())
                .collect(),
            whose_move: "person".to_owned(),
            runs: 0,
            link_host: None,
            record: record(Event::ReauthorizationRequired, first),
        }
    }

    #[test]
    fn one_connection_is_named_with_what_to_do_and_where() {
        let link = "http://127.0.0.1:4242/a1b2".to_owned();
        let said = notification(&["notion"]).worded(Some(link), "build-7");
        let title = "critical: notion: the provider refused the refresh token";
        assert_eq!(said.title, title);
        let text = "the provider refused the refresh token.\nSince 2026-01-01 00:00 UTC.\n\
            The person who signs in: authkeeper reauthorize notion\n\
            Sign in, on build-7: http://127.0.0.1:4242/a1b2";
        assert_eq!(said.text, text);
        let anywhere = "https://as.example/device?user_code=AB".to_owned();
        let said = notification(&["notion"]).worded(Some(anywhere), "build-7");
        assert!(
            said.text
                .ends_with("\nSign in: https://as.example/device?user_code=AB")
        );
        assert_eq!(said.link_host, None);
    }

    #[test]
    fn many_connections_are_counted_and_few_of_them_named() {
        let names: Vec<String> = (0..1_000).map(|number| format!("c{number:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = notification(&names).worded(None, "build-7");
        assert!(
            said.title
                .starts_with("critical: 1000 connections at https://as.example: ")
        );
        let named = "1000 connections: c000, c001, c002, c003, c004 and 995 more.";
        assert!(said.text.contains(named), "{}", said.text);
        assert!(
            said.text.contains("authkeeper status lists all"),
            "{}",
            said.text
        );
        assert!(serde_json::to_string(&said).unwrap().len() < 2_000);
    }

    #[test]
    fn an_all_clear_asks_for_nothing() {
        let mut over = notification(&["notion"]);
        over.status = NotificationStatus::Resolved;
        over.resolved = true;
        over.record.ts = "2026-01-01T04:10:00Z".parse().unwrap();
        let over = over.worded(None, "build-7");
        assert!(
            over.title.starts_with("resolved: notion: "),
            "{}",
            over.title
        );
        let text = "It is over after 4 h 10 min: the provider refused the refresh token.";
        assert_eq!(over.text, text);
    }

    #[test]
    fn the_record_lies_flat_in_it() {
        let said = notification(&["notion"]).worded(None, "here");
        let json = serde_json::to_value(&said).unwrap();
        assert_eq!(json["connection"], "notion");
        assert_eq!(json["severity"], "critical");
        assert_eq!(json["event"], "reauthorization_required");
        let read: Notification = serde_json::from_value(json).unwrap();
        assert_eq!(read, said);
    }
}
