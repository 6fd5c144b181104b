//! Recovery of a lost reply.

use std::time::Duration;

use super::{STRICT, at, claim, secs, unknown};
use crate::{
    model::{Claim, ClaimPhase, Generation, Lineage, OwnerState, ReplayRule, UnknownKind},
    refresh::decide::{
        Investigation, JournalState, Orphan, RecoveryRules, asked_again_in, between_resends,
        investigate, is_contested, is_given_up, is_unread, notify_after, orphan,
        recovery::resend_wait, takes_over,
    },
};

fn resend(claim: &Claim, replay: ReplayRule, access_left: u64, now: u64) -> Investigation {
    let rules = RecoveryRules { replay, ..STRICT };
    let journal = JournalState::Sending;
    investigate(
        claim,
        OwnerState::Dead,
        journal,
        rules,
        secs(access_left),
        at(now),
    )
}

#[test]
fn a_claim_is_read_with_its_owner_and_its_journal() {
    use JournalState::{Intent, Missing, Reply, Sending};
    use OwnerState::{Alive, Dead};
    let spending = claim(ClaimPhase::Spending);
    let lost = Investigation::MarkUnknown(UnknownKind::Crash);
    for (owner, journal, expected) in [
        (Alive, Intent, Investigation::OwnerAtWork),
        (Alive, Sending, Investigation::OwnerAtWork),
        (Alive, Reply, Investigation::AdoptReply),
        (Dead, Intent, Investigation::Release),
        (Dead, Sending, lost),
        (Dead, Missing, lost),
        (Dead, Reply, Investigation::AdoptReply),
    ] {
        let seen = investigate(&spending, owner, journal, STRICT, secs(600), at(1_000_000));
        assert_eq!(
            seen, expected,
            "{owner:?} {journal:?}: time alone gives no permission"
        );
    }
    let soon = investigate(&spending, Alive, Reply, STRICT, secs(600), at(1));
    assert_eq!(soon, Investigation::OwnerAtWork, "it is about to commit");
}

#[test]
fn a_strict_provider_is_asked_again_as_late_as_possible() {
    let crash = unknown(UnknownKind::Crash);
    assert!(matches!(
        resend(&crash, ReplayRule::Strict, 600, 10_000),
        Investigation::ResendAfter(_)
    ));
    assert_eq!(
        resend(&crash, ReplayRule::Strict, 0, 80),
        Investigation::ResendAfter(secs(10)),
        "the request may still be queued"
    );
    assert_eq!(
        resend(&crash, ReplayRule::Strict, 30, 90),
        Investigation::Resend
    );
}

/// Also after a crash: what may still be queued at the provider does no harm there.
#[test]
fn where_a_replay_harms_nothing_it_is_asked_again_within_two_seconds() {
    let grace = |window| ReplayRule::Grace(secs(window));
    for kind in [
        UnknownKind::Crash,
        UnknownKind::Silence,
        UnknownKind::Reset,
        UnknownKind::GatewayTimeout,
    ] {
        let lost = unknown(kind);
        for (rule, wait) in [
            (ReplayRule::Harmless, 1),
            (grace(3), 1),
            (grace(6), 2),
            (grace(86_400), 2),
            (ReplayRule::TwoGenerations, 2),
            (ReplayRule::Refused, 2),
        ] {
            let early = resend(&lost, rule, 0, wait - 1);
            assert_eq!(
                early,
                Investigation::ResendAfter(secs(1)),
                "{rule} {kind:?}"
            );
            let then = resend(&lost, rule, 0, wait);
            assert_eq!(then, Investigation::Resend, "{rule} {kind:?}");
            let two = rule == ReplayRule::TwoGenerations && kind == UnknownKind::Crash;
            let living = resend(&lost, rule, 600, wait);
            assert_eq!(living == Investigation::Resend, !two, "{rule} {kind:?}");
        }
    }
}

/// It would take the place of the successor that the resend brings.
#[test]
fn while_a_token_lives_two_generations_wait_for_what_may_be_queued() {
    let crash = unknown(UnknownKind::Crash);
    let rule = ReplayRule::TwoGenerations;
    let after = |left, now| resend(&crash, rule, left, now);
    assert_eq!(after(600, 2), Investigation::ResendAfter(secs(88)));
    assert_eq!(after(600, 90), Investigation::Resend);
    assert_eq!(after(0, 2), Investigation::Resend, "nobody has a token");
}

#[test]
fn what_is_lost_again_is_asked_for_soon_where_a_replay_harms_nothing() {
    let mut crash = unknown(UnknownKind::Crash);
    crash.number = 2;
    let after = |rule, now| resend(&crash, rule, 0, now);
    for rule in [ReplayRule::Harmless, ReplayRule::Refused] {
        assert_eq!(after(rule, 3), Investigation::Resend, "{rule}");
    }
    let late = Investigation::ResendAfter(secs(87));
    assert_eq!(after(ReplayRule::Unknown, 3), late, "a crash at an unknown");
}

#[test]
fn an_unknown_provider_is_asked_by_how_the_answer_was_lost() {
    let unknown_rule = ReplayRule::Unknown;
    let reset = unknown(UnknownKind::Reset);
    assert_eq!(resend(&reset, unknown_rule, 7200, 3), Investigation::Resend);
    let gateway = unknown(UnknownKind::GatewayTimeout);
    assert_eq!(
        resend(&gateway, unknown_rule, 7200, 3),
        Investigation::ResendAfter(secs(12))
    );
    let silence = unknown(UnknownKind::Silence);
    assert!(matches!(
        resend(&silence, unknown_rule, 7200, 999),
        Investigation::ResendAfter(_)
    ));
    assert!(matches!(
        resend(&silence, unknown_rule, 3600, 999),
        Investigation::ResendAfter(_)
    ));
    assert_eq!(
        resend(&silence, unknown_rule, 3599, 999),
        Investigation::Resend
    );
}

#[test]
fn further_resends_keep_their_distance() {
    let mut reset = unknown(UnknownKind::Reset);
    let after = |claim: &Claim, left, at| resend(claim, ReplayRule::Unknown, left, at);
    reset.number = 2;
    assert_eq!(after(&reset, 60, 2), Investigation::ResendAfter(secs(4)));
    assert_eq!(after(&reset, 0, 2), Investigation::ResendAfter(secs(1)));
    reset.number = 40;
    for left in [0, 60] {
        assert_eq!(
            after(&reset, left, 299),
            Investigation::ResendAfter(secs(1))
        );
        assert_eq!(after(&reset, left, 300), Investigation::Resend);
    }
}

/// Rule 11: nobody is woken for what heals while the token lives. How a lost answer was lost, of which attempt and under which rule,
/// and how much is left of the token; then how long until its owner is notified.
#[test]
fn a_lost_answer_is_notified_once_it_has_not_healed() {
    use UnknownKind::{Crash, Reset, ServerError, Silence};
    let notify = |claim: &Claim, replay, left, now| {
        let rules = RecoveryRules { replay, ..STRICT };
        notify_after(claim, rules, secs(left), at(now)).map(|wait| wait.as_secs())
    };
    let (strict, by_kind) = (ReplayRule::Strict, ReplayRule::Unknown);
    for (kind, replay, left, now, expected) in [
        // The token lives: until its end, or until a resend has failed.
        (ServerError, by_kind, 600, 0, 600),
        (Silence, by_kind, 600, 20, 600),
        (Reset, strict, 600, 500, 600),
        (ServerError, by_kind, 2, 0, 10),
        // It has ended, and a resend comes within seconds, or not.
        (Reset, by_kind, 0, 0, 10),
        (ServerError, by_kind, 0, 4, 6),
        (Reset, by_kind, 0, 10, 0),
        (Reset, strict, 0, 4, 6),
        (Crash, strict, 0, 0, 0),
        (Crash, by_kind, 0, 5, 0),
        (Reset, ReplayRule::Grace(secs(27)), 0, 0, 10),
        (Reset, ReplayRule::Grace(secs(30)), 0, 0, 10),
        (Crash, ReplayRule::Refused, 0, 0, 10),
    ] {
        let wait = notify(&unknown(kind), replay, left, now);
        assert_eq!(wait, Some(expected), "{kind:?} {replay:?} {left} {now}");
    }
    let numbered = |number, claim: Claim| Claim { number, ..claim };
    let spending = || claim(ClaimPhase::Spending);
    assert_eq!(notify(&spending(), strict, 0, 500), None, "nothing is lost");
    let first = numbered(2, spending());
    assert_eq!(
        notify(&first, by_kind, 50, 30),
        Some(90),
        "it is on its way"
    );
    assert_eq!(notify(&first, by_kind, 0, 120), Some(0), "for too long");
    // The server is there and does not answer, or it is away for a while.
    for (kind, left, expected) in [
        (Silence, 600, 0),
        (Crash, 600, 0),
        (Reset, 600, 600),
        (ServerError, 600, 600),
        (UnknownKind::Unreadable, 600, 600),
        (Reset, 0, 0),
    ] {
        let failed = numbered(2, unknown(kind));
        assert_eq!(
            notify(&failed, strict, left, 0),
            Some(expected),
            "{kind:?} {left}"
        );
    }
    let next = numbered(3, spending());
    assert_eq!(notify(&next, strict, 600, 0), Some(600));
    assert_eq!(notify(&next, strict, 0, 30), Some(90));
}

#[test]
fn a_wall_clock_that_leaps_gives_no_permission_to_resend() {
    let crash = unknown(UnknownKind::Crash);
    let mut leapt = at(10);
    leapt.wall = at(1_000_000).wall;
    let rules = RecoveryRules {
        replay: ReplayRule::Harmless,
        ..STRICT
    };
    let strict = investigate(
        &crash,
        OwnerState::Dead,
        JournalState::Sending,
        RecoveryRules {
            replay: ReplayRule::Strict,
            ..rules
        },
        secs(0),
        leapt,
    );
    assert_eq!(strict, Investigation::ResendAfter(secs(80)));
}

#[test]
fn a_day_of_resends_is_given_up_and_a_leap_of_the_clock_is_not() {
    let numbered = |kind, number| Claim {
        number,
        ..unknown(kind)
    };
    for (kind, day) in [(UnknownKind::Silence, 31), (UnknownKind::ServerError, 310)] {
        let given_up = |number, told: Option<u64>| {
            let told = told.map(|seconds| at(seconds).wall);
            is_given_up(&numbered(kind, number), told, at(100_000))
        };
        assert!(!given_up(1, None), "{kind:?}");
        assert!(!given_up(day - 3, None), "{kind:?}");
        assert!(given_up(day + 3, None), "{kind:?}");
        assert!(given_up(day + 3, Some(100_000 - 86_400)), "{kind:?}");
        assert!(!given_up(day + 3, Some(100_000 - 86_399)), "{kind:?}");
        assert!(!given_up(day - 3, Some(0)), "{kind:?}");
    }
    assert!(!is_given_up(&claim(ClaimPhase::Spending), None, at(0)));
}

#[test]
fn a_server_that_answers_with_errors_is_asked_again_soon_and_less_and_less_often() {
    let rules = RecoveryRules {
        replay: ReplayRule::Unknown,
        ..STRICT
    };
    let wait = |kind, left, number| resend_wait(rules, kind, number, secs(left)).as_secs();
    let errors = |left| -> Vec<_> {
        let waits = (1..9).map(|number| wait(UnknownKind::ServerError, left, number));
        waits.collect()
    };
    assert_eq!(errors(60), [3, 6, 12, 24, 48, 96, 192, 300]);
    assert_eq!(errors(0), [3, 3, 3, 6, 6, 6, 6, 12], "nobody has a token");
    let silence: Vec<_> = (1..5)
        .map(|number| wait(UnknownKind::Silence, 0, number))
        .collect();
    assert_eq!(silence, [3, 60, 120, 240]);
    assert_eq!(wait(UnknownKind::Silence, 0, 40), 3_600);
}

/// However long the outage: once the server works again, a caller without a token waits for a part of that time at most.
#[test]
fn what_is_lost_without_a_token_is_asked_for_within_a_part_of_the_time_it_lasts() {
    let rules = RecoveryRules {
        replay: ReplayRule::Unknown,
        ..STRICT
    };
    let mut lasted = Duration::ZERO;
    for number in 1..40 {
        let wait = resend_wait(rules, UnknownKind::Reset, number, Duration::ZERO);
        let bound = (lasted * 2 / 3).max(secs(3)).min(Duration::from_mins(5));
        assert!(wait <= bound, "{number}: {wait:?} after {lasted:?}");
        lasted += wait;
    }
}

#[test]
fn a_living_owner_without_its_journal_is_given_up_after_every_limit() {
    let one = claim(ClaimPhase::Spending);
    let look = |seconds| {
        let owner = (OwnerState::Alive, JournalState::Missing);
        investigate(&one, owner.0, owner.1, STRICT, secs(900), at(seconds))
    };
    assert_eq!(look(129), Investigation::OwnerAtWork);
    assert_eq!(look(130), Investigation::MarkUnknown(UnknownKind::Crash));
}

#[test]
fn a_settled_journal_of_a_dead_owner_gives_its_claim_back() {
    let one = claim(ClaimPhase::Spending);
    let look = |owner| investigate(&one, owner, JournalState::Settled, STRICT, secs(900), at(1));
    assert_eq!(look(OwnerState::Dead), Investigation::Release);
    assert_eq!(look(OwnerState::Alive), Investigation::OwnerAtWork);
    let alive = |seconds| {
        let (owner, journal) = (OwnerState::Alive, JournalState::Settled);
        investigate(&one, owner, journal, STRICT, secs(900), at(seconds))
    };
    assert_eq!(alive(9), Investigation::OwnerAtWork);
    assert_eq!(
        alive(10),
        Investigation::Release,
        "it could not give it back"
    );
}

/// Each journal that no claim names, by what it spends beside what is current: (lineage 2, generation 5).
#[test]
fn a_journal_that_no_claim_names_is_read_beside_what_is_current() {
    use JournalState::{Intent, Reply, Sending, Settled};
    use Orphan::{BringForward, ClaimBack, Leave, Remove, SetAside};
    use OwnerState::{Alive, Dead};
    let table = [
        // An earlier sign-in.
        ((1, 9), Dead, Reply, Remove),
        ((1, 9), Dead, Sending, Remove),
        ((1, 9), Alive, Sending, Leave),
        // A sign-in that the store forgot.
        ((3, 6), Dead, Reply, Leave),
        ((3, 6), Alive, Sending, Leave),
        // Spent before.
        ((2, 4), Dead, Intent, Remove),
        ((2, 4), Dead, Sending, Remove),
        ((2, 4), Dead, Reply, SetAside),
        ((2, 4), Dead, Settled, Remove),
        ((2, 4), Alive, Reply, Leave),
        // What is current.
        ((2, 5), Dead, Intent, Remove),
        ((2, 5), Alive, Intent, Leave),
        ((2, 5), Dead, Sending, ClaimBack),
        ((2, 5), Alive, Sending, ClaimBack),
        ((2, 5), Dead, Reply, ClaimBack),
        ((2, 5), Alive, Reply, ClaimBack),
        ((2, 5), Dead, Settled, Remove),
        ((2, 5), Alive, Settled, Leave),
        // Later than the store knows of.
        ((2, 6), Dead, Reply, BringForward),
        ((2, 6), Alive, Reply, BringForward),
        ((2, 6), Alive, Sending, Leave),
        ((2, 6), Dead, Intent, Leave),
    ];
    for ((lineage, generation), owner, state, wanted) in table {
        let spent = (Lineage(lineage), Generation(generation));
        let current = (Lineage(2), Generation(5));
        let seen = orphan(spent, owner, state, current);
        assert_eq!(seen, wanted, "{spent:?} {owner:?} {state:?}");
    }
}

#[test]
fn only_what_was_sent_by_a_later_attempt_is_a_contest() {
    use JournalState::{Intent, Missing, Reply, Sending, Settled};
    for state in [Sending, Reply] {
        assert!(is_contested(2, 2, state) && is_contested(2, 3, state));
        assert!(!is_contested(2, 1, state), "taken over from: {state:?}");
    }
    for state in [Intent, Missing, Settled] {
        assert!(!is_contested(1, 1, state), "{state:?}");
    }
}

#[test]
fn it_is_said_when_a_lost_answer_is_asked_for_again() {
    let again = |claim: &Claim, replay, access_left, now| {
        let rules = RecoveryRules { replay, ..STRICT };
        asked_again_in(claim, rules, secs(access_left), at(now))
    };
    let reset = unknown(UnknownKind::Reset);
    assert_eq!(again(&reset, ReplayRule::Unknown, 600, 1), Some(secs(2)));
    assert_eq!(
        again(&reset, ReplayRule::Unknown, 600, 9),
        Some(Duration::ZERO)
    );
    assert_eq!(again(&reset, ReplayRule::Strict, 600, 1), None, "late");
    let refused = ReplayRule::Refused;
    assert_eq!(again(&reset, refused, 600, 1), Some(secs(1)));
    let spending = claim(ClaimPhase::Spending);
    assert_eq!(again(&spending, ReplayRule::Unknown, 600, 1), None);
}

#[test]
fn only_between_resends_is_a_provider_left_alone() {
    let mut lost = unknown(UnknownKind::Reset);
    assert_eq!(
        between_resends(&lost, secs(60)),
        None,
        "the first resend has its rule"
    );
    lost.number = 2;
    assert_eq!(between_resends(&lost, secs(60)), Some(secs(6)));
    lost.number = 3;
    assert_eq!(between_resends(&lost, secs(60)), Some(secs(12)));
    assert_eq!(between_resends(&lost, secs(0)), Some(secs(3)));
    let mut spending = claim(ClaimPhase::Spending);
    spending.number = 2;
    assert_eq!(between_resends(&spending, secs(60)), None);
}

#[test]
fn a_forgotten_attempt_takes_over_from_an_earlier_one_and_with_a_reply_from_its_equal() {
    use JournalState::{Missing, Reply, Sending};
    assert!(takes_over((2, Sending), (1, Missing)));
    assert!(!takes_over((1, Reply), (2, Missing)));
    assert!(
        takes_over((1, Reply), (1, Missing)),
        "it gave its claim back"
    );
    assert!(takes_over((1, Reply), (1, Sending)));
    assert!(!takes_over((1, Reply), (1, Reply)), "one of them is enough");
    assert!(
        !takes_over((1, Sending), (1, Missing)),
        "both are as unknown"
    );
}

#[test]
fn a_resend_that_is_ten_seconds_away_is_not_waited_for() {
    let notify = |quiet_period| {
        let rules = RecoveryRules {
            quiet_period,
            ..STRICT
        };
        notify_after(&unknown(UnknownKind::Crash), rules, secs(0), at(0))
    };
    assert_eq!(notify(secs(9)), Some(secs(10)));
    assert_eq!(notify(secs(10)), Some(secs(0)));
}

#[test]
fn an_answer_that_nobody_can_read_needs_a_person_where_a_replay_is_refused_or_punished() {
    use ReplayRule::{Grace, Harmless, Refused, Strict, TwoGenerations, Unknown};
    let unread = unknown(UnknownKind::UnreadTokens);
    for replay in [Refused, Strict, Unknown] {
        assert!(is_unread(&unread, replay), "{replay:?}");
        assert!(!is_unread(&unknown(UnknownKind::Silence), replay));
    }
    for replay in [Harmless, Grace(secs(30)), TwoGenerations] {
        assert!(!is_unread(&unread, replay), "{replay:?}");
    }
    assert!(!is_unread(&claim(ClaimPhase::Spending), Strict));
}
