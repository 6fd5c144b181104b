use authkeeper::model::{Event, ReauthorizeReason};

use super::*;
use crate::forward::tests::record;

const DEAD: HealthCause = HealthCause::GrantOver(ReauthorizeReason::RefreshRefused);
const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// One cause of one connection, recorded at this second.
fn fact(name: &str, cause: HealthCause, has_token: bool, second: i64) -> AlertFact {
    let mut told = record(Event::ReauthorizationRequired, name);
    (told.since, told.ts) = (at(second), at(second));
    AlertFact {
        provider: "https://as.example".to_owned(),
        client: "client".to_owned(),
        health: Health {
            state: cause.state(has_token),
            cause: Some(cause),
            whose_move: cause.whose_move(),
            ..Health::OK
        },
        record: told,
        recorded: true,
        untold: Some(IncidentId::new("i1")),
        heals_in: Duration::ZERO,
        failed: None,
        concerns: vec![name.to_owned()],
    }
}

fn outage(has_token: bool) -> AlertFact {
    fact("notion", HealthCause::ProviderUnavailable, has_token, 0)
}

/// What was told, second by second.
#[derive(Default)]
struct Teller {
    state: AlertState,
    outage_after: Option<Duration>,
    unsettled: bool,
    ids: usize,
}

impl Teller {
    fn look(&mut self, second: i64, facts: &[AlertFact]) -> Vec<Notification> {
        self.look_in(RunPhase::None, second, facts)
    }

    fn look_in(&mut self, run: RunPhase, second: i64, facts: &[AlertFact]) -> Vec<Notification> {
        let context = AlertContext {
            now: at(second),
            outage_after: self.outage_after,
            last: run == RunPhase::Ended,
            run,
        };
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            format!("a{ids}")
        };
        let decided = decide(&self.state, facts, &context, &mut new_id);
        // As the store keeps it.
        self.state = AlertState::read(decided.state.text().as_deref());
        assert_eq!(self.state, decided.state);
        self.unsettled = decided.unsettled;
        std::mem::take(&mut self.state.queued)
    }
}

fn words(told: &[Notification]) -> Vec<(&'static str, &'static str, usize)> {
    let word = |one: &Notification| (one.status.as_str(), one.severity.as_str(), one.count);
    told.iter().map(word).collect()
}

#[test]
fn a_thousand_connections_that_break_are_one_message_and_one_all_clear() {
    let mut teller = Teller::default();
    let facts: Vec<AlertFact> = (0..1_000)
        .map(|number| {
            fact(
                &format!("c{number:03}"),
                HealthCause::ClientRefused,
                true,
                0,
            )
        })
        .collect();
    assert!(teller.look(0, &facts[..400]).is_empty());
    assert!(teller.unsettled, "more may follow");
    let told = teller.look(2, &facts);
    assert_eq!(words(&told), [("firing", "critical", 1_000)]);
    assert_eq!(told[0].connections.len(), MOST_NAMED);
    assert_eq!(teller.state.newly_told(&facts).len(), 1_000);
    for second in 3..100 {
        assert!(teller.look(second, &facts).is_empty());
    }
    assert!(teller.look(100, &facts[..10]).is_empty(), "most are back");
    let over = teller.look(101, &[]);
    assert_eq!(words(&over), [("resolved", "critical", 1_000)]);
    assert_eq!(
        (over[0].id.as_str(), over[0].number),
        (told[0].id.as_str(), 2)
    );
    assert!(teller.look(102, &[]).is_empty());
    assert_eq!(teller.state.text(), None, "nothing is kept of it");
}

#[test]
fn what_breaks_one_after_the_other_is_told_in_three_seconds_and_then_seldom() {
    let mut teller = Teller::default();
    let mut facts = Vec::new();
    let mut told = Vec::new();
    for second in 0..36_000_i64 {
        if second % 10 == 0 || second < 3 {
            facts.push(fact(&format!("c{second:05}"), DEAD, true, second));
        }
        if second < 60 || second % 60 == 0 {
            told.extend(teller.look(second, &facts));
        }
    }
    assert_eq!(words(&told[..1]), [("firing", "critical", 3)]);
    assert!(
        told[1..]
            .iter()
            .all(|one| one.status == NotificationStatus::Changed)
    );
    assert!(told.len() < 8, "{} messages in a night", told.len());
    assert!(told.len() > 3, "and not one alone");
}

#[test]
fn causes_providers_and_clients_are_told_apart() {
    let mut teller = Teller::default();
    let elsewhere = AlertFact {
        provider: "https://other.example".to_owned(),
        ..fact("b", DEAD, true, 0)
    };
    let another = AlertFact {
        client: "another".to_owned(),
        ..fact("c", DEAD, true, 0)
    };
    let rejected = fact("d", HealthCause::TokenRejected, true, 0);
    let all = [fact("a", DEAD, true, 0), elsewhere, another, rejected];
    assert_eq!(teller.look(5, &all).len(), 4);
}

#[test]
fn an_outage_is_told_once_no_token_is_left_and_once_more_when_it_is_over() {
    let mut teller = Teller::default();
    for minute in 0..240 {
        assert!(
            teller.look(minute * 60, &[outage(true)]).is_empty(),
            "{minute}"
        );
    }
    let told = teller.look(14_400, &[outage(false)]);
    assert_eq!(words(&told), [("firing", "warning", 1)]);
    assert!(teller.look(30_000, &[outage(false)]).is_empty());
    assert_eq!(
        words(&teller.look(30_001, &[])),
        [("resolved", "warning", 1)]
    );
}

#[test]
fn an_outage_that_ends_while_the_token_lives_or_before_it_is_recorded_wakes_nobody() {
    let mut teller = Teller::default();
    assert!(teller.look(600, &[outage(true)]).is_empty());
    let unrecorded = AlertFact {
        recorded: false,
        ..outage(false)
    };
    assert!(teller.look(601, &[unrecorded]).is_empty());
    assert!(teller.look(602, &[]).is_empty());
}

#[test]
fn the_time_that_is_set_counts_while_the_token_lives() {
    let mut teller = Teller {
        outage_after: Some(Duration::from_mins(30)),
        ..Teller::default()
    };
    assert!(teller.look(1_799, &[outage(true)]).is_empty());
    let told = teller.look(1_800, &[outage(true)]);
    assert_eq!(words(&told), [("firing", "warning", 1)]);
    assert!(teller.look(1_801, &[outage(false)]).is_empty(), "no news");
}

#[test]
fn a_run_that_waits_has_not_failed_and_one_that_ended_is_told_with_its_code() {
    let mut teller = Teller::default();
    let waiting = outage(false);
    let going = RunPhase::Going;
    assert!(teller.look_in(going, 500, &[waiting]).is_empty());
    let failed = |first| AlertFact {
        recorded: false,
        failed: Some(at(first)),
        ..outage(false)
    };
    assert!(teller.look_in(going, 659, &[failed(600)]).is_empty());
    let told = teller.look_in(RunPhase::Ended, 659, &[failed(600)]);
    assert_eq!(words(&told), [("firing", "warning", 1)]);
    assert_eq!(told[0].runs, 1);
    let text = told[0].clone().worded(None, "here").text;
    assert!(text.contains("A run ended 69 because of it."), "{text}");
    // The next nights.
    let next = |teller: &mut Teller, second| {
        let told = teller.look_in(RunPhase::Ended, second, &[failed(second - 10)]);
        told.iter()
            .map(|one| (one.status.as_str(), one.runs))
            .collect::<Vec<_>>()
    };
    assert_eq!(next(&mut teller, 20_000), [("changed", 2)]);
    assert_eq!(next(&mut teller, 40_000), []);
    assert_eq!(next(&mut teller, 60_000), [("changed", 4)]);
    assert_eq!(
        words(&teller.look(70_000, &[])),
        [("resolved", "warning", 1)]
    );
}

#[test]
fn calls_that_have_failed_for_a_minute_are_told_while_the_run_goes_on() {
    let mut teller = Teller::default();
    let failed = AlertFact {
        failed: Some(at(600)),
        ..outage(false)
    };
    let told = teller.look_in(RunPhase::Going, 660, std::slice::from_ref(&failed));
    assert_eq!(words(&told), [("firing", "warning", 1)]);
    let ended = teller.look_in(RunPhase::Ended, 700, &[failed]);
    assert!(ended.is_empty(), "that this run ends is no news");
}

#[test]
fn a_lost_answer_is_told_after_the_first_resend_and_its_sequel_alone_afterwards() {
    let mut teller = Teller::default();
    let lost = |heals_in| AlertFact {
        heals_in: Duration::from_secs(heals_in),
        ..fact("notion", HealthCause::Uncertain, true, 0)
    };
    assert!(teller.look(5, &[lost(9)]).is_empty());
    let unspared = AlertFact {
        failed: Some(at(5)),
        ..lost(9)
    };
    assert_eq!(
        words(&teller.look(6, &[unspared])),
        [("firing", "warning", 1)]
    );
    let told = teller.look(90, &[fact("notion", DEAD, false, 80)]);
    assert_eq!(
        words(&told),
        [("firing", "critical", 1)],
        "and no all-clear before it"
    );
    let over = teller.look(91, &[]);
    assert_eq!(words(&over), [("resolved", "critical", 1)]);
}

/// A proxy answered with its page, and now nobody does: the resend can't find out what became of the first request.
#[test]
fn a_lost_answer_at_a_provider_that_is_away_is_part_of_the_outage() {
    let mut teller = Teller::default();
    let lost = |has_token| fact("notion", HealthCause::Uncertain, has_token, 0);
    assert!(teller.look(60, &[lost(true), outage(true)]).is_empty());
    let told = teller.look(120, &[lost(false), outage(false)]);
    assert_eq!(words(&told), [("firing", "warning", 1)]);
    assert_eq!(told[0].cause, "provider_unavailable");
    let mail = fact("mail", HealthCause::Uncertain, true, 0);
    let other = [lost(false), outage(false), mail];
    let told = teller.look(125, &other);
    assert_eq!(told[0].cause, "uncertain", "it has no outage: {told:?}");
}

#[test]
fn what_gets_worse_is_told_again() {
    let mut teller = Teller::default();
    let scope = fact("notion", HealthCause::RequestRefused, true, 0);
    let mut notice = scope.clone();
    notice.health.state = HealthState::Notice;
    assert_eq!(words(&teller.look(5, &[notice])), [("firing", "info", 1)]);
    let worse = teller.look(6, std::slice::from_ref(&scope));
    assert_eq!(words(&worse), [("changed", "critical", 1)]);
    assert!(teller.look(7, &[scope]).is_empty());
}

#[test]
fn nobody_is_told_of_what_is_off() {
    let mut teller = Teller::default();
    let facts = [
        fact("a", HealthCause::Revoked, true, 0),
        fact("b", HealthCause::Pending, false, 0),
    ];
    assert!(teller.look(60, &facts).is_empty());
}

#[test]
fn a_clock_that_leaps_tells_nothing_twice_and_holds_nothing_up() {
    let mut teller = Teller::default();
    let dead = [fact("notion", DEAD, true, 0)];
    assert_eq!(teller.look(-86_400, &dead).len(), 1, "it went back");
    for second in [-86_399, 0, 86_400, -500_000] {
        assert!(teller.look(second, &dead).is_empty(), "{second}");
    }
}

#[test]
fn the_last_look_waits_for_nothing() {
    let mut teller = Teller::default();
    let dead = [fact("notion", DEAD, true, 0)];
    assert_eq!(teller.look_in(RunPhase::Ended, 0, &dead).len(), 1);
}

#[test]
fn a_state_that_can_not_be_read_is_as_none() {
    assert_eq!(AlertState::read(Some("{")), AlertState::default());
    assert_eq!(AlertState::read(None), AlertState::default());
}
