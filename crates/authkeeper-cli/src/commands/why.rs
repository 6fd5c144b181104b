//! `why`: the last incident of a connection in plain words, from the incidents, the audit and the decision log.

use std::time::Duration;

use authkeeper::{
    model::{
        ConnectionName, ConnectionState, Event, HealthCause, ReauthorizeReason, Record, WhoseMove,
    },
    refresh::decision_log::PastDecision,
    runtime::{ConnectionStatus, OwnCertificate},
    store::History,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    client_certificate::{self, Standing},
    health::what_of,
    lost_answer::Outlook,
};
use crate::{
    app::App,
    failure::Failure,
    output::{Paint, second, span},
};

/// So many lines of the past are told in the timeline.
const TIMELINE: usize = 40;

/// The last incident and what is known around it.
#[derive(Clone, Debug)]
struct LastIncident {
    record: Record,
    /// Whether the owner's hook was run for it.
    told: bool,
    ended: Option<Timestamp>,
    /// The attempt that met it, if the decision log still has it.
    attempt: Option<PastDecision>,
}

/// The facts for the paragraph.
#[derive(Clone, Debug)]
struct WhyFacts {
    name: String,
    /// Its first known sign-in: log and audit begin there.
    since: Timestamp,
    incident: Option<LastIncident>,
    /// Refreshes since then: successful and failed.
    refreshes: (usize, usize),
    /// Seconds until the access token expires; none if it does not expire.
    left: Option<u64>,
    /// In how many seconds the next refresh is due, if it can be refreshed.
    due_in: Option<u64>,
    active: bool,
    /// Why it is not in use at all: suspended or disconnected.
    out_of_use: Option<&'static str>,
    /// The sign-in link, while a process serves one.
    link: Option<String>,
    /// What is wrong now though no incident is open: an outage that is too short for one.
    wrong_now: Option<String>,
    /// Seconds until the provider is asked again after a lost answer; none if no answer was lost.
    asked_again_in: Option<u64>,
}

pub(crate) async fn why(app: &App, name: &str) -> Result<(), Failure> {
    let name = ConnectionName::parse(name)?;
    let status = app.runtime.status(&name).await?;
    let history = app.runtime.history(&name).await?;
    let mut log = app.runtime.decisions();
    log.retain(|line| line.is_of(&status.connection));
    let mut facts = facts(&status, &history, &log);
    facts.link = app.link_for(&status);
    let said = with_certificate(paragraph(&facts), &status, app.runtime.now());
    if app.output.json {
        app.output.data_json(&json!({
            "connection": name.as_str(),
            "why": said,
            "state": status.state.as_str(),
            "health": status.health,
            "over": facts.incident.as_ref().is_none_or(|incident| incident.ended.is_some()),
            "action": action(&facts),
            "link": facts.link,
            "incident": facts.incident.as_ref().map(|incident| &incident.record),
            "ended": facts.incident.as_ref().and_then(|incident| incident.ended),
            "timeline": timeline(&history, &log),
        }));
    } else {
        show(app, &facts, &status);
    }
    Ok(())
}

/// Where the text of an entry begins: after its label.
const MARGIN: usize = 15;

/// What a person reads: a short list.
fn show(app: &App, facts: &WhyFacts, status: &ConnectionStatus) {
    let output = app.output;
    output.data(&output.paint(Paint::Strong, &facts.name));
    let mut entries = entries(facts);
    entries.extend(of_certificate(status, app.runtime.now()));
    for (label, text) in entries {
        output.data_hanging(&format!("  {label:<11}  {text}"), MARGIN);
    }
}

/// The same as the paragraph, a label before each part.
fn entries(facts: &WhyFacts) -> Vec<(&'static str, String)> {
    if let Some(why) = facts.out_of_use {
        return vec![
            ("cause", format!("not in use: {why}")),
            (
                "effect",
                "it is not refreshed, and nothing is handed out".to_owned(),
            ),
            (
                "next",
                format!("authkeeper status {} names the command", facts.name),
            ),
        ];
    }
    let Some(incident) = &facts.incident else {
        return vec![("state", calm(facts, "went wrong"))];
    };
    let (record, asked) = (&incident.record, incident.attempt.as_ref().map(asked));
    let since = format!("{}{}", second(record.since), asked.unwrap_or_default());
    let mut entries = vec![
        ("cause", format!("{} ({})", record.detail, record.reason)),
        ("since", since),
    ];
    if let Some(ended) = incident.ended {
        let calm = calm(facts, "has gone wrong");
        entries.push((
            "effect",
            format!("That is over since {}. {calm}", second(ended)),
        ));
    } else {
        let (meaning, done) = (meaning(facts, incident), done(facts, incident));
        entries.push(("effect", format!("{meaning} What was done: {done}")));
        let next = to_do(facts, incident);
        entries.push(("next", next.trim_start_matches(WHAT_TO_DO).to_owned()));
    }
    entries
}

/// What a sentence begins with that says it.
const WHAT_TO_DO: &str = "What to do: ";

fn of_certificate(status: &ConnectionStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let Some(certificate) = status.certificate.as_ref().map(OwnCertificate::look) else {
        return vec![];
    };
    let standing = Standing::of(&certificate, now);
    let shown = ("certificate", standing.said().to_owned());
    match standing {
        Standing::Good(_) => vec![shown],
        Standing::Soon(_) | Standing::Bad(_) => {
            vec![shown, ("next", client_certificate::fix(&certificate))]
        }
    }
}

/// A client certificate that ended is why calls fail, whatever else is told.
fn with_certificate(said: String, status: &ConnectionStatus, now: Timestamp) -> String {
    let Some(certificate) = &status.certificate else {
        return said;
    };
    let certificate = certificate.look();
    let standing = Standing::of(&certificate, now);
    let shown = standing.said();
    let fix = match standing {
        Standing::Good(_) => String::new(),
        Standing::Soon(_) | Standing::Bad(_) => {
            format!(" What to do: {}.", client_certificate::fix(&certificate))
        }
    };
    // The sentence goes on from the name of the connection.
    format!("{said} {}: {shown}.{fix}", status.connection.name)
}

fn facts(status: &ConnectionStatus, history: &History, log: &[PastDecision]) -> WhyFacts {
    // One that is open goes before a newer one that is over.
    let mut newest = history.incidents.iter().rev();
    let open = newest.clone().find(|(_, ended)| ended.is_none());
    let last = open.or_else(|| newest.next());
    let incident = last.map(|(incident, ended)| LastIncident {
        attempt: attempt_of(&incident.record, log).cloned(),
        record: incident.record.clone(),
        told: incident.notified,
        ended: *ended,
    });
    let incident_is_over = incident
        .as_ref()
        .is_none_or(|last: &LastIncident| last.ended.is_some());
    let since = history.signed_in_at().unwrap_or(status.connection.created);
    let outcomes = log
        .iter()
        .filter(|decision| decision.ts >= since && decision.decision == "refresh");
    let (good, bad): (Vec<_>, Vec<_>) =
        outcomes.partition(|decision| decision.outcome.as_deref() == Some("fresh"));
    WhyFacts {
        name: status.connection.name.to_string(),
        since,
        incident,
        refreshes: (good.len(), bad.len()),
        left: status.expires_at.map(|_| status.left.as_secs()),
        due_in: status.refreshable.then_some(status.due_in.as_secs()),
        active: status.state == ConnectionState::Active,
        out_of_use: match &status.state {
            ConnectionState::Suspended { reason, .. } => Some(reason.sentence()),
            ConnectionState::Revoked => Some(HealthCause::Revoked.sentence()),
            _ => None,
        },
        link: None,
        wrong_now: Some(&status.health)
            .filter(|health| incident_is_over && health.whose_move == WhoseMove::Provider)
            .map(what_of),
        asked_again_in: status.asked_again_in.map(|wait| wait.as_secs()),
    }
}

fn attempt_of<'a>(record: &Record, log: &'a [PastDecision]) -> Option<&'a PastDecision> {
    let refreshes = || log.iter().rev().filter(|line| line.decision == "refresh");
    let same = refreshes().find(|line| line.trace_id.as_deref() == Some(record.trace_id.as_str()));
    // A refusal that was met before is told under an id of its own; that of our client may have met another connection.
    let refused = |line: &&PastDecision| line.outcome.as_deref() == Some("refused");
    let earlier = || refreshes().find(|line| line.ts <= record.ts && refused(line));
    same.or_else(|| earlier().filter(|_| !record.is_client_refused()))
}

fn paragraph(facts: &WhyFacts) -> String {
    if let Some(why) = facts.out_of_use {
        return format!(
            "{} is not in use: {why}. It is not refreshed, and nothing is handed out. What to do: authkeeper status {} \
             names the command.",
            facts.name, facts.name
        );
    }
    let Some(incident) = &facts.incident else {
        return calm(facts, "went wrong");
    };
    let mut said = vec![happened(facts, incident), done(facts, incident)];
    if let Some(ended) = incident.ended {
        said.push(format!("That is over since {}.", second(ended)));
        said.push(calm(facts, "has gone wrong"));
    } else {
        said.push(meaning(facts, incident));
        said.push(to_do(facts, incident));
    }
    said.join(" ")
}

/// Nothing happened, and how it stands.
fn calm(facts: &WhyFacts, verb: &str) -> String {
    if let Some(wrong) = &facts.wrong_now {
        return format!(
            "At the moment {wrong}. {} Nobody needs to do anything yet: authkeeper asks again by itself.",
            token_now(facts)
        );
    }
    let (good, bad) = facts.refreshes;
    let refreshed = match good {
        0 => String::new(),
        1 => "; it was refreshed once".to_owned(),
        more => format!("; it was refreshed {more} times"),
    };
    let failed = match bad {
        0 => "",
        1 => " (one refresh did not come through at first)",
        _ => " (some refreshes did not come through at first)",
    };
    format!(
        "Nothing {verb} since {}{refreshed}{failed}. {}",
        second(facts.since),
        token_now(facts)
    )
}

fn token_now(facts: &WhyFacts) -> String {
    match (facts.left, facts.due_in) {
        (None, _) if facts.active => "Its token does not end by itself.".to_owned(),
        (None, _) => "There is no token.".to_owned(),
        (Some(0), Some(_)) => "Its token has ended; the next call refreshes it.".to_owned(),
        (Some(0), None) => "Its token has ended.".to_owned(),
        (Some(left), Some(due)) => format!(
            "Its token is good for {}, and is refreshed in {}.",
            span(left),
            span(due)
        ),
        (Some(left), None) => format!("Its token is good for {}.", span(left)),
    }
}

fn happened(facts: &WhyFacts, incident: &LastIncident) -> String {
    let record = &incident.record;
    let asked = incident.attempt.as_ref().map(asked).unwrap_or_default();
    format!(
        "{}: on {}{asked}: {} ({}).",
        facts.name,
        second(record.since),
        record.detail,
        record.reason
    )
}

/// What was being tried, and how long that took.
fn asked(attempt: &PastDecision) -> String {
    let why = match attempt.why.as_deref() {
        Some("due") => "its token was due for refresh",
        Some("expired") => "its token had ended",
        Some("min_ttl") => "a caller needed more time than was left",
        Some("rejected_401") => "the server had answered 401",
        Some("recovery") => "an earlier answer had been lost",
        _ => "a new token was needed",
    };
    let took = attempt
        .latency_ms
        .map(|ms| format!(", after {ms} ms"))
        .unwrap_or_default();
    format!(
        ", when {why} and generation {} was shown to the provider{took}",
        attempt.generation
    )
}

fn done(facts: &WhyFacts, incident: &LastIncident) -> String {
    let did = match incident.record.event {
        Event::ReauthorizationRequired if is_of_key(&incident.record) => {
            "authkeeper keeps the key and goes on using it"
        }
        Event::ReauthorizationRequired => {
            "authkeeper deleted nothing, asked no second time, and has handed out no new token since"
        }
        Event::Uncertain if facts.left == Some(0) => {
            "authkeeper served the token it had to its end, and asks again only as the provider's rule allows"
        }
        Event::Uncertain => {
            "authkeeper kept serving the token it had and asks again only as the provider's rule allows"
        }
        Event::RotationDue => "authkeeper goes on using the key",
        Event::AuthorityNarrowed => "authkeeper goes on with what is granted",
        Event::ScopeRequired => "authkeeper did not carry that call out, and goes on with others",
        Event::ProviderFailing => "authkeeper goes on asking, less and less often",
        Event::TokenEndpointMoved => {
            "authkeeper sent the refresh token nowhere else and looks again now and then"
        }
        _ => "authkeeper left the grant as it is and did not try again and again",
    };
    let told = if incident.told {
        "the owner was told"
    } else {
        "no hook has told the owner"
    };
    format!("{did}; {told}.")
}

/// An API key that its server refused.
fn is_of_key(record: &Record) -> bool {
    record.reason == ReauthorizeReason::KeyRefused.as_str()
}

fn meaning(facts: &WhyFacts, incident: &LastIncident) -> String {
    let left = facts.left.filter(|left| *left > 0);
    match (incident.record.event, left) {
        (Event::Uncertain, Some(left)) => Outlook::of(left, facts.asked_again_in).meaning(),
        (Event::RotationDue, _) => "Calls still work.".to_owned(),
        (Event::ProviderFailing, None) => {
            "No token is left: calls fail until the provider answers again.".to_owned()
        }
        (Event::ScopeRequired, _) => {
            "Calls that need no more than was granted still work.".to_owned()
        }
        (Event::AuthorityNarrowed, _) => {
            "Calls still work as far as what is left allows; others get 403.".to_owned()
        }
        (_, Some(left)) => format!("Calls still work for {}, then they fail.", span(left)),
        (_, None) if is_of_key(&incident.record) => {
            "Calls fail until the key is replaced, or its server accepts it again.".to_owned()
        }
        (_, None) if facts.active && facts.left.is_none() => "Calls may still work.".to_owned(),
        (Event::Uncertain, None) => {
            "No token is left: calls fail until the provider has been asked again.".to_owned()
        }
        (_, None) => "No token is left: every call fails until a person acts.".to_owned(),
    }
}

fn to_do(facts: &WhyFacts, incident: &LastIncident) -> String {
    match (incident.record.event, facts.asked_again_in) {
        (Event::Uncertain, Some(wait)) => format!(
            "What to do: nothing for now; it is asked again {}. To continue at once, sign in again: authkeeper reauthorize {}",
            if wait == 0 {
                "at the next call".to_owned()
            } else {
                format!("in {}", span(wait))
            },
            facts.name
        ),
        _ => match &facts.link {
            Some(link) => format!("What to do: open {link}, or: {}", incident.record.action),
            None => format!("What to do: {}", incident.record.action),
        },
    }
}

fn action(facts: &WhyFacts) -> Option<&str> {
    let incident = facts.incident.as_ref()?;
    incident
        .ended
        .is_none()
        .then_some(incident.record.action.as_str())
}

/// What befell it, oldest first: the audit, the ends of incidents, and the refreshes.
fn timeline(history: &History, log: &[PastDecision]) -> Vec<Value> {
    let events = history.events.iter().map(|(at, record)| {
        let field = |name: &str| record[name].as_str();
        let entry = json!({"at": at, "event": field("event"), "reason": field("reason"), "detail": field("detail")});
        (*at, entry)
    });
    let ends = history.incidents.iter().filter_map(|(incident, ended)| {
        let at = (*ended)?;
        let entry =
            json!({"at": at, "event": "trouble_over", "reason": incident.record.reason, "detail": null});
        Some((at, entry))
    });
    let refreshes = log.iter().filter(|line| line.decision == "refresh");
    // The log has when it was over; what came of it is told in between.
    let refreshes = refreshes.map(|line| {
        let took = Duration::from_millis(line.latency_ms.unwrap_or_default());
        let sent = line.ts.checked_sub(took).unwrap_or(line.ts);
        let entry = json!({
            "at": sent, "event": "refresh", "reason": line.why, "detail": line.outcome,
            "generation": line.generation, "ms": line.latency_ms,
        });
        (sent, entry)
    });
    let mut all: Vec<(Timestamp, Value)> = events.chain(ends).chain(refreshes).collect();
    all.sort_by_key(|(at, _)| *at);
    let old = all.len().saturating_sub(TIMELINE);
    all.into_iter().skip(old).map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    fn record(event: Event) -> Record {
        Record {
            event,
            connection: "notion".to_owned(),
            principal: "local".to_owned(),
            task: None,
            reason: "refresh_refused".to_owned(),
            detail: "the provider refused the refresh token".to_owned(),
            since: at(100),
            expires_at: None,
            scope: None,
            action: "authkeeper reauthorize notion".to_owned(),
            link: None,
            trace_id: "t".to_owned(),
            ts: at(100),
        }
    }

    fn attempt() -> PastDecision {
        let line = json!({
            "ts": at(99), "connection": "notion", "lineage": 1, "generation": 4, "decision": "refresh",
            "why": "due", "outcome": "refused", "latency_ms": 210, "trace_id": "t",
        });
        serde_json::from_value(line).unwrap()
    }

    fn facts(incident: Option<LastIncident>) -> WhyFacts {
        WhyFacts {
            name: "notion".to_owned(),
            since: at(0),
            incident,
            refreshes: (3, 0),
            left: Some(600),
            due_in: Some(60),
            active: true,
            out_of_use: None,
            link: None,
            wrong_now: None,
            asked_again_in: None,
        }
    }

    fn incident(event: Event, ended: Option<Timestamp>) -> LastIncident {
        LastIncident {
            record: record(event),
            told: true,
            ended,
            attempt: Some(attempt()),
        }
    }

    #[test]
    fn nothing_went_wrong_is_said_with_how_it_stands() {
        assert_eq!(
            paragraph(&facts(None)),
            "Nothing went wrong since 2026-01-01 00:00:00 UTC; it was refreshed 3 times. Its token is good for 10 min, \
             and is refreshed in 60 s."
        );
    }

    #[test]
    fn a_refused_grant_is_told_from_what_happened_to_what_to_do() {
        let refused = incident(Event::ReauthorizationRequired, None);
        assert_eq!(
            paragraph(&facts(Some(refused))),
            "notion: on 2026-01-01 00:01:40 UTC, when its token was due for refresh and generation 4 was shown to the \
             provider, after 210 ms: the provider refused the refresh token (refresh_refused). authkeeper deleted \
             nothing, asked no second time, and has handed out no new token since; the owner was told. Calls still \
             work for 10 min, then they fail. What to do: authkeeper reauthorize notion"
        );
        let mut ended = facts(Some(incident(Event::ReauthorizationRequired, None)));
        ended.left = Some(0);
        assert!(paragraph(&ended).contains("every call fails until a person acts"));
        ended.link = Some("http://127.0.0.1:1/abc".to_owned());
        let said = paragraph(&ended);
        assert!(
            said.ends_with(
                "What to do: open http://127.0.0.1:1/abc, or: authkeeper reauthorize notion"
            ),
            "{said}"
        );
    }

    #[test]
    fn an_outage_without_an_incident_is_not_told_as_calm() {
        let mut out = facts(Some(incident(Event::Uncertain, Some(at(130)))));
        out.left = Some(0);
        out.wrong_now = Some("the provider gives no token now".to_owned());
        let said = paragraph(&out);
        assert!(
            said.contains("At the moment the provider gives no token now. "),
            "{said}"
        );
        assert!(!said.contains("Nothing has gone wrong"), "{said}");
    }

    #[test]
    fn a_refused_key_is_told_as_one() {
        let mut refused = incident(Event::ReauthorizationRequired, None);
        "key_refused".clone_into(&mut refused.record.reason);
        let mut key = facts(Some(refused));
        (key.left, key.due_in) = (None, None);
        let said = paragraph(&key);
        assert!(
            said.contains("keeps the key and goes on using it; the owner was told"),
            "{said}"
        );
        assert!(
            said.contains("Calls fail until the key is replaced"),
            "{said}"
        );
    }

    #[test]
    fn a_missing_scope_is_told_with_what_still_works() {
        let mut wanted = incident(Event::ScopeRequired, None);
        "insufficient_scope".clone_into(&mut wanted.record.reason);
        wanted.attempt = None;
        let said = paragraph(&facts(Some(wanted)));
        for part in [
            "(insufficient_scope)",
            "did not carry that call out, and goes on with others; the owner was told",
            "need no more than was granted still work",
            "What to do: authkeeper reauthorize notion",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_provider_that_fails_is_told_with_what_authkeeper_does() {
        let said = paragraph(&facts(Some(incident(Event::ProviderFailing, None))));
        assert!(
            said.contains("goes on asking, less and less often"),
            "{said}"
        );
        assert!(said.contains("Calls still work for 10 min"), "{said}");
        let moved = paragraph(&facts(Some(incident(Event::TokenEndpointMoved, None))));
        assert!(
            moved.contains("sent the refresh token nowhere else"),
            "{moved}"
        );
    }

    #[test]
    fn a_person_reads_a_short_list() {
        let refused = facts(Some(incident(Event::ReauthorizationRequired, None)));
        let entries = entries(&refused);
        let labels: Vec<_> = entries.iter().map(|(label, _)| *label).collect();
        assert_eq!(labels, ["cause", "since", "effect", "next"]);
        assert_eq!(
            entries[0].1,
            "the provider refused the refresh token (refresh_refused)"
        );
        assert!(
            entries[1]
                .1
                .starts_with("2026-01-01 00:01:40 UTC, when its token")
        );
        assert_eq!(entries[3].1, "authkeeper reauthorize notion");
        let over = super::entries(&facts(Some(incident(Event::Uncertain, Some(at(130))))));
        assert!(over.iter().all(|(label, _)| *label != "next"), "{over:?}");
    }

    #[test]
    fn an_incident_that_is_over_asks_for_nothing() {
        let over = facts(Some(incident(Event::Uncertain, Some(at(130)))));
        let said = paragraph(&over);
        assert!(
            said.contains("over since 2026-01-01 00:02:10 UTC"),
            "{said}"
        );
        assert!(!said.contains("What to do"), "{said}");
        assert_eq!(action(&over), None);
    }

    #[test]
    fn the_attempt_is_found_by_its_id_else_by_its_refusal() {
        let log = [attempt()];
        let mut told = record(Event::ReauthorizationRequired);
        assert!(attempt_of(&told, &log).is_some());
        told.trace_id = "another".to_owned();
        assert!(attempt_of(&told, &log).is_some(), "the refusal before it");
        told.ts = at(0);
        assert!(attempt_of(&told, &log).is_none(), "that came later");
    }

    #[test]
    fn the_timeline_is_in_order() {
        let history = History {
            incidents: vec![],
            events: vec![
                (at(0), json!({"event": "signed_in"})),
                (at(100), json!({"event": "uncertain"})),
            ],
        };
        let line = timeline(&history, &[attempt()]);
        let events: Vec<_> = line.iter().map(|entry| entry["event"].clone()).collect();
        assert_eq!(events, ["signed_in", "refresh", "uncertain"]);
    }
}
