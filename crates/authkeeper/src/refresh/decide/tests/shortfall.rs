//! The reason that is named for a token that lives shorter than was asked for.

use super::{active, at, required, secs, token};
use crate::refresh::decide::{Freshness, GrantView, Shortfall, shortfall};

#[test]
fn each_cause_has_its_name() {
    let token = token(3600);
    let good = active(Some(&token));
    let over = required();
    let over = GrantView {
        lifecycle: &over,
        ..good
    };
    let alone = GrantView {
        refreshable: false,
        ..good
    };
    for (view, wanted, now, why) in [
        (good, 600, 100, None),
        (good, 3499, 100, None),
        (good, 3500, 100, Some("refresh_failed")),
        (good, 3599, 5, Some("just_issued")),
        (good, 3600, 5, Some("never_so_long")),
        (good, 7200, 3000, Some("never_so_long")),
        (over, 3500, 100, Some("grant_over")),
        (over, 7200, 100, Some("grant_over")),
        (over, 600, 100, None),
        (alone, 3500, 100, Some("no_refresh")),
        (alone, 600, 100, None),
        (active(None), 600, 100, None),
    ] {
        let ask = Freshness {
            min_ttl: Some(secs(wanted)),
            rejected: None,
        };
        let found = shortfall(view, ask, at(now));
        let found = found.as_ref().map(Shortfall::as_str);
        assert_eq!(found, why, "{wanted} s wanted after {now} s");
    }
    assert_eq!(shortfall(good, Freshness::default(), at(3000)), None);
}

#[test]
fn it_is_said_how_long_a_token_lives_at_most() {
    let longest = secs(3599);
    let said = Shortfall::NeverSoLong { longest }.to_string();
    assert!(said.ends_with("no token for more than 3599 s"), "{said}");
}
