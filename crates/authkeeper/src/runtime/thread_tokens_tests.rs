use std::{sync::Barrier, time::Duration};

use jiff::Timestamp;

use super::*;
use crate::model::{ExtraHeaders, Generation, Lineage, Presentation};

fn name(text: &str) -> ConnectionName {
    ConnectionName::parse(text).unwrap()
}

fn held(generation: u64) -> CachedToken {
    let token = IssuedToken {
        secret: "secret".to_owned().into(),
        generation: Generation(generation),
        lineage: Lineage(1),
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        scope: None,
        resource: None,
        url: "https://api.example/".to_owned(),
        presentation: Presentation::default(),
        headers: ExtraHeaders::default(),
        binding: None,
        certificate: None,
        shortfall: None,
    };
    CachedToken::of(Arc::new(token), Duration::from_mins(1))
}

fn generation(tokens: &ThreadTokens, of: &str) -> Option<u64> {
    let token = tokens.token(&name(of), |_| true)?;
    Some(token.generation.0)
}

/// Names that have the same place as `c`.
fn rivals() -> impl Iterator<Item = ConnectionName> {
    let of_c = place(hash(&name("c")));
    let names = (0..).map(|number| name(&format!("r{number}")));
    names.filter(move |name| place(hash(name)) == of_c)
}

#[test]
fn a_thread_counts_its_own_copy_and_no_other_threads() {
    let tokens = ThreadTokens::default();
    let shared = held(1);
    let (step, name) = (Barrier::new(2), name("c"));
    let ask = || {
        tokens.keep(&name, &shared, |_| true);
        step.wait();
        let token = tokens.token(&name, |_| true).unwrap();
        step.wait();
        Arc::as_ptr(&token) as usize
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(ask);
        (ask(), other.join().unwrap())
    });
    assert_ne!(one, other);
    assert_eq!(Arc::strong_count(&shared.token), 1);
}

#[test]
fn a_copy_that_is_not_good_is_not_handed_out_and_gives_way() {
    let tokens = ThreadTokens::default();
    tokens.keep(&name("c"), &held(1), |_| true);
    assert!(tokens.token(&name("c"), |_| false).is_none());
    let rival = rivals().next().unwrap();
    tokens.keep(&rival, &held(2), |_| false);
    assert_eq!(generation(&tokens, rival.as_str()), Some(2));
    assert_eq!(generation(&tokens, "c"), None);
}

#[test]
fn a_newer_token_takes_the_place_of_the_older() {
    let tokens = ThreadTokens::default();
    tokens.keep(&name("c"), &held(1), |_| true);
    tokens.keep(&name("c"), &held(2), |_| true);
    assert_eq!(generation(&tokens, "c"), Some(2));
}

/// Many names that are asked for in turns don't throw each other out at each call.
#[test]
fn a_good_copy_gives_way_only_to_a_name_that_is_asked_for_twice_without_it() {
    let tokens = ThreadTokens::default();
    tokens.keep(&name("c"), &held(1), |_| true);
    let (one, other) = {
        let mut rivals = rivals();
        (rivals.next().unwrap(), rivals.next().unwrap())
    };
    for rival in [&one, &other, &one, &other] {
        tokens.keep(rival, &held(2), |_| true);
        assert_eq!(generation(&tokens, rival.as_str()), None);
    }
    assert_eq!(generation(&tokens, "c"), Some(1));
    tokens.keep(&other, &held(2), |_| true);
    tokens.keep(&other, &held(2), |_| true);
    assert_eq!(generation(&tokens, other.as_str()), Some(2));
    assert_eq!(generation(&tokens, "c"), None);
}

#[test]
fn a_token_that_is_dropped_is_dropped_in_every_thread() {
    let tokens = ThreadTokens::default();
    let shared = held(1);
    // First, so that this thread does not take the place of the one that ends.
    tokens.keep(&name("c"), &shared, |_| true);
    let weak = std::thread::scope(|scope| {
        let copy = scope.spawn(|| {
            tokens.keep(&name("c"), &shared, |_| true);
            Arc::downgrade(&tokens.token(&name("c"), |_| true).unwrap())
        });
        copy.join().unwrap()
    });
    tokens.drop_all(&name("d"));
    assert!(weak.upgrade().is_some());
    tokens.drop_all(&name("c"));
    assert!(weak.upgrade().is_none());
    assert_eq!(generation(&tokens, "c"), None);
}
