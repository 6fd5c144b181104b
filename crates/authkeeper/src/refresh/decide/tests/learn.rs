//! What refused resends and early ends teach.

use jiff::SignedDuration;

use super::{at, secs, token, unknown};
use crate::{
    model::{ReplayRule, UnknownKind},
    refresh::decide::{disproves, ended_early, learned, learned_lifetime},
};

#[test]
fn what_was_seen_makes_more_careful_and_never_less() {
    let grace = ReplayRule::Grace(secs(30));
    for rule in [ReplayRule::Harmless, grace, ReplayRule::TwoGenerations] {
        assert_eq!(learned(rule, true), ReplayRule::Strict);
        assert_eq!(learned(rule, false), rule);
    }
    let refused = ReplayRule::Refused;
    for rule in [ReplayRule::Strict, ReplayRule::Unknown, refused] {
        assert_eq!((learned(rule, true), learned(rule, false)), (rule, rule));
    }
}

#[test]
fn a_refused_resend_disproves_only_what_was_promised() {
    let first = unknown(UnknownKind::Reset);
    let mut later = unknown(UnknownKind::Reset);
    later.number = 2;
    let grace = ReplayRule::Grace(secs(30));
    for (rule, before, now, expected) in [
        (ReplayRule::Harmless, &later, 9_000, true),
        (ReplayRule::TwoGenerations, &first, 9_000, true),
        (ReplayRule::TwoGenerations, &later, 9_000, false),
        (grace, &first, 29, true),
        (grace, &first, 30, false),
        (grace, &later, 29, false),
        (ReplayRule::Refused, &first, 1, false),
        (ReplayRule::Strict, &first, 1, false),
        (ReplayRule::Unknown, &first, 1, false),
    ] {
        assert_eq!(disproves(rule, before, at(now)), expected, "{rule} {now}");
    }
}

#[test]
fn early_ends_shorten_what_is_believed_once_they_repeat() {
    let now = at(1_000_000).wall;
    let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
    let seen = |ends: &[(u64, i64)]| {
        let ends: Vec<_> = ends
            .iter()
            .map(|(age, days)| (secs(*age), ago(*days)))
            .collect();
        learned_lifetime(&ends, now).map(|lifetime| lifetime.as_secs())
    };
    assert_eq!(seen(&[]), None);
    assert_eq!(seen(&[(600, 0), (600, 1)]), None, "twice is chance");
    assert_eq!(seen(&[(600, 0), (900, 1), (30, 2)]), Some(600));
    assert_eq!(seen(&[(600, 0), (900, 1), (30, 8)]), None, "long ago");
    assert_eq!(seen(&[(1, 0), (2, 0), (3, 0)]), Some(60), "not shorter");
    let mut token = token(3600);
    assert!(ended_early(&token, at(3_000)));
    assert!(!ended_early(&token, at(3_300)), "it was as good as over");
    token.after_rejection = true;
    assert!(!ended_early(&token, at(59)), "it was refused for itself");
    assert!(ended_early(&token, at(60)));
}

#[test]
fn a_token_ended_early_until_nine_tenths_of_its_use() {
    let token = token(101);
    assert!(ended_early(&token, at(89)));
    assert!(!ended_early(&token, at(90)));
}

#[test]
fn of_five_early_ends_the_middle_one_is_believed() {
    let ends = [500, 100, 300, 200, 400].map(|age| (secs(age), at(0).wall));
    assert_eq!(learned_lifetime(&ends, at(1).wall), Some(secs(300)));
}
