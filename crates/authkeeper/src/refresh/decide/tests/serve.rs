//! Serving, and when a refresh is due.

use std::time::Duration;

use super::{active, at, required, secs, token};
use crate::{
    model::{
        AccessToken, Generation, GrantLifecycle, ReauthorizeReason, StandbyKey, SuspendReason,
    },
    refresh::decide::{
        BELIEVED_FOR, Freshness, GrantView, MAX_JITTER, Refusal, ServeDecision, Why, due_after,
        let_others_first, repeats_for, serve, until_due,
    },
};

#[test]
fn due_is_three_quarters_of_a_life() {
    assert_eq!(due_after(secs(3600), 0.0), secs(2700));
    assert_eq!(due_after(secs(5), 0.0), Duration::from_millis(3750));
    assert_eq!(due_after(secs(5), 0.05), Duration::from_micros(3_562_500));
    assert_eq!(
        due_after(secs(5), 9.0),
        due_after(secs(5), MAX_JITTER),
        "jitter is bounded"
    );
    assert_eq!(due_after(secs(0), 0.0), secs(0));
}

#[test]
fn a_fresh_token_is_served_and_left_alone() {
    let token = token(3600);
    assert_eq!(
        serve(active(Some(&token)), Freshness::default(), at(2699)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), Freshness::default(), at(2700)),
        ServeDecision::ServeAndRefresh(Why::Due)
    );
    assert_eq!(
        serve(active(Some(&token)), Freshness::default(), at(3599)),
        ServeDecision::RefreshFirst(Why::Expired)
    );
    assert_eq!(
        serve(active(None), Freshness::default(), at(0)),
        ServeDecision::RefreshFirst(Why::Expired)
    );
}

#[test]
fn an_answer_is_repeated_until_the_clocks_or_something_to_do_end_that() {
    let token = token(3600);
    let grant_view = active(Some(&token));
    let repeats = |grant_view, more, now| repeats_for(grant_view, more, at(now));
    assert_eq!(
        repeats(grant_view, false, 700),
        Some(secs(2000)),
        "until due"
    );
    assert_eq!(repeats(grant_view, true, 700), Some(BELIEVED_FOR));
    assert_eq!(repeats(grant_view, false, 2700), Some(BELIEVED_FOR), "due");
    assert_eq!(repeats(grant_view, false, 3599), None, "ended");
    let mut key = grant_view;
    key.refreshable = false;
    assert_eq!(repeats(key, false, 2700), Some(secs(899)), "until its end");
    assert_eq!(repeats(active(None), false, 0), None);
    let required = required();
    let mut refused = grant_view;
    refused.lifecycle = &required;
    assert_eq!(
        serve(refused, Freshness::default(), at(0)),
        ServeDecision::Serve
    );
    assert_eq!(repeats(refused, false, 0), None, "it is not active");
    let short = AccessToken {
        lifetime: Duration::from_millis(1050),
        ..token.clone()
    };
    let last = at(0).boot.since;
    let mut now = at(0);
    now.boot.since = last + Duration::from_millis(830);
    let left = short.left(now);
    assert!(left < BELIEVED_FOR, "{left:?}");
    assert_eq!(
        repeats_for(active(Some(&short)), true, now),
        Some(left),
        "never longer than it lives"
    );
}

#[test]
fn min_ttl_waits_only_for_what_the_provider_can_give() {
    let token = token(3600);
    let ask = |wanted| Freshness {
        min_ttl: Some(secs(wanted)),
        rejected: None,
    };
    assert_eq!(
        serve(active(Some(&token)), ask(600), at(10)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), ask(3500), at(1000)),
        ServeDecision::RefreshFirst(Why::MinTtl)
    );
    assert_eq!(
        serve(active(Some(&token)), ask(7200), at(10)),
        ServeDecision::Serve,
        "unattainable"
    );
}

#[test]
fn a_401_of_an_older_generation_is_answered_with_the_newer() {
    let token = token(3600);
    let rejected = |generation| Freshness {
        min_ttl: None,
        rejected: Some(Generation(generation)),
    };
    assert_eq!(
        serve(active(Some(&token)), rejected(3), at(10)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), rejected(4), at(10)),
        ServeDecision::RefreshFirst(Why::Rejected)
    );
}

#[test]
fn a_token_fetched_after_a_401_that_gets_one_too_is_rejected() {
    let mut token = token(3600);
    token.after_rejection = true;
    let ask = Freshness {
        min_ttl: None,
        rejected: Some(Generation(4)),
    };
    assert_eq!(
        serve(active(Some(&token)), ask, at(59)),
        ServeDecision::Refuse(Refusal::Rejected)
    );
    assert_eq!(
        serve(active(Some(&token)), ask, at(60)),
        ServeDecision::RefreshFirst(Why::Rejected),
        "after the cooldown it may be tried again"
    );
}

#[test]
fn a_dead_grant_serves_its_living_token_and_then_asks_a_person() {
    let token = token(3600);
    let lifecycle = required();
    let grant_view = GrantView {
        lifecycle: &lifecycle,
        ..active(Some(&token))
    };
    assert_eq!(
        serve(grant_view, Freshness::default(), at(3000)),
        ServeDecision::Serve
    );
    let reauthorize =
        ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::RefreshRefused));
    assert_eq!(
        serve(grant_view, Freshness::default(), at(3600)),
        reauthorize
    );
    let rejected = Freshness {
        min_ttl: None,
        rejected: Some(Generation(4)),
    };
    assert_eq!(serve(grant_view, rejected, at(10)), reauthorize);
}

#[test]
fn withdrawn_authority_serves_nothing() {
    let token = token(3600);
    let since = at(0).wall;
    let suspended = GrantLifecycle::Suspended {
        reason: SuspendReason::Manual,
        since,
    };
    let revoked = GrantLifecycle::Revoked { since };
    for (lifecycle, refusal) in [
        (&suspended, Refusal::Suspended(SuspendReason::Manual)),
        (&revoked, Refusal::Revoked),
    ] {
        let grant_view = GrantView {
            lifecycle,
            ..active(Some(&token))
        };
        assert_eq!(
            serve(grant_view, Freshness::default(), at(1)),
            ServeDecision::Refuse(refusal)
        );
    }
}

#[test]
fn without_a_refresh_token_the_end_needs_a_person() {
    let token = token(3600);
    let grant_view = GrantView {
        refreshable: false,
        ..active(Some(&token))
    };
    assert_eq!(
        serve(grant_view, Freshness::default(), at(3000)),
        ServeDecision::Serve
    );
    let no_token = ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::NoRefreshToken));
    assert_eq!(serve(grant_view, Freshness::default(), at(3600)), no_token);
}

#[test]
fn what_is_long_overdue_is_spread_out_and_no_longer_than_its_life_allows() {
    let wait = |age, crowd, roll| {
        let token = token(3600);
        let wait = let_others_first(active(Some(&token)), crowd, at(age), roll);
        wait.map(|wait| wait.as_millis())
    };
    assert_eq!(wait(2_700, 1_000, 1.0), None, "due just now");
    assert_eq!(wait(2_744, 1_000, 1.0), None);
    assert_eq!(wait(2_745, 1_000, 1.0), Some(50_000));
    assert_eq!(wait(2_745, 1_000, 0.5), Some(25_000));
    assert_eq!(wait(2_745, 8, 1.0), None, "eight are no crowd");
    assert_eq!(wait(2_745, 9, 1.0), Some(450));
    assert_eq!(wait(2_745, 1_000_000, 1.0), Some(120_000), "never longer");
    assert_eq!(wait(3_591, 1_000_000, 1.0), Some(4_000), "half of 8 s");
    assert_eq!(wait(3_599, 1_000_000, 1.0), Some(10_000), "it has ended");
    let none = let_others_first(active(None), 1_000_000, at(0), 1.0);
    assert_eq!(none, Some(secs(10)));
}

#[test]
fn an_issuer_that_says_when_is_heard() {
    let due = |asked, jitter| {
        let mut token = token(3600);
        token.refresh_in = Some(secs(asked));
        let grant_view = GrantView {
            jitter,
            ..active(Some(&token))
        };
        until_due(grant_view, at(0)).as_secs()
    };
    assert_eq!((due(1800, 0.0), due(1800, 0.05)), (1800, 1710));
    assert_eq!(due(3500, 0.0), 2700, "later than our own time is no hint");
}

#[test]
fn an_idle_refresh_token_is_used_before_it_dies_of_it() {
    let day = 86_400;
    let due = |lifetime| {
        let token = token(lifetime);
        let grant_view = GrantView {
            refresh_idle: Some(secs(90 * day)),
            ..active(Some(&token))
        };
        until_due(grant_view, at(0)).as_secs()
    };
    // A margin of two minutes is less than a quarter of ninety days.
    assert_eq!(due(3650 * day), 90 * day * 3 / 4);
    assert_eq!(due(3600), 2700, "it is used often enough");
}

#[test]
fn a_refresh_token_that_ends_first_is_used_before_it_ends() {
    let token = token(3600);
    let with = |seconds| GrantView {
        refresh_lifetime: Some(secs(seconds)),
        ..active(Some(&token))
    };
    let due = |grant_view| until_due(grant_view, at(0)).as_secs();
    assert_eq!(
        due(with(86_400)),
        2700,
        "it ends later than the access token is due"
    );
    assert_eq!(due(with(2_000)), 1500);
    assert_eq!(
        due(with(10)),
        675,
        "an end that no refresh puts off is not chased"
    );
}

#[test]
fn a_refused_key_gives_way_to_the_one_before_it_while_that_is_good() {
    let mut key = token(3600);
    key.lifetime = crate::model::ENDLESS;
    let standby = StandbyKey {
        secret: "old".to_owned().into(),
        generation: Generation(3),
        until: at(100).wall,
        refused: None,
    };
    let with = |standby| GrantView {
        refreshable: false,
        key: Some(standby),
        ..active(Some(&key))
    };
    let rejected = Freshness {
        rejected: Some(Generation(4)),
        min_ttl: None,
    };
    assert_eq!(
        serve(with(Some(&standby)), rejected, at(99)),
        ServeDecision::FallBack
    );
    let refused = ServeDecision::Refuse(Refusal::Reauthorize(ReauthorizeReason::KeyRefused));
    assert_eq!(serve(with(Some(&standby)), rejected, at(100)), refused);
    assert_eq!(serve(with(None), rejected, at(0)), refused);
    assert_eq!(
        serve(with(None), Freshness::default(), at(1_000_000)),
        ServeDecision::Serve
    );
}

#[test]
fn the_words_of_the_log_are_fixed() {
    let whys = [
        Why::Due,
        Why::Expired,
        Why::MinTtl,
        Why::Rejected,
        Why::Recovery,
        Why::Proof,
        Why::Probe,
    ];
    assert_eq!(
        whys.map(Why::as_str),
        [
            "due",
            "expired",
            "min_ttl",
            "rejected_401",
            "recovery",
            "proof",
            "probe"
        ]
    );
    let verdicts = [
        ServeDecision::Serve,
        ServeDecision::ServeAndRefresh(Why::Due),
        ServeDecision::RefreshFirst(Why::Due),
        ServeDecision::FallBack,
        ServeDecision::Refuse(Refusal::Revoked),
    ];
    assert_eq!(
        verdicts.map(ServeDecision::as_str),
        [
            "serve",
            "serve_and_refresh",
            "refresh_first",
            "fall_back",
            "refuse"
        ]
    );
}

#[test]
fn min_ttl_is_met_by_exactly_that_much() {
    let token = token(3600);
    let ask = Freshness {
        min_ttl: Some(secs(2599)),
        rejected: None,
    };
    assert_eq!(
        serve(active(Some(&token)), ask, at(1000)),
        ServeDecision::Serve
    );
    assert_eq!(
        serve(active(Some(&token)), ask, at(1001)),
        ServeDecision::RefreshFirst(Why::MinTtl)
    );
}

/// Each of a hundred callers that want nearly a whole life would spend a refresh token.
#[test]
fn a_token_just_fetched_is_not_replaced_for_more_time() {
    let with = |lifetime: u64, wanted: u64, age: u64| {
        let token = token(lifetime);
        let ask = Freshness {
            min_ttl: Some(secs(wanted)),
            rejected: None,
        };
        serve(active(Some(&token)), ask, at(age))
    };
    let replaced = ServeDecision::RefreshFirst(Why::MinTtl);
    assert_eq!(with(3600, 3599, 9), ServeDecision::Serve);
    assert_eq!(with(3600, 3599, 10), replaced, "at most ten seconds");
    assert_eq!(with(110, 109, 5), ServeDecision::Serve);
    assert_eq!(with(110, 109, 6), replaced, "a twentieth of a short life");
}

#[test]
fn a_token_that_was_refused_and_cannot_be_replaced_is_rejected() {
    let token = token(3600);
    let grant_view = GrantView {
        refreshable: false,
        ..active(Some(&token))
    };
    let ask = Freshness {
        min_ttl: None,
        rejected: Some(Generation(4)),
    };
    let rejected = ServeDecision::Refuse(Refusal::Rejected);
    assert_eq!(serve(grant_view, ask, at(10)), rejected);
}
