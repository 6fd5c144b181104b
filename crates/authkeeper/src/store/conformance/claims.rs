//! Claims: one attempt among many, its takeover and its release.

use std::sync::Arc;

use crate::{
    model::{AttemptId, ClaimPhase, Generation, GrantId, Lineage, ReauthorizeReason, UnknownKind},
    store::{
        Committed, Spend, Store,
        conformance::fixture::{
            Pair, again, claim, grant_of, moment, now, refreshed, signed_in, spend,
        },
    },
};

/// Only the current generation of the current lineage, active and unclaimed.
pub(in crate::store) async fn claims(store: &dyn Store) {
    let grant = grant_of(store).await;
    let good = spend(&grant);
    let other_lineage = Spend {
        lineage: Lineage(9),
        ..good.clone()
    };
    let other_generation = Spend {
        generation: Generation(9),
        ..good.clone()
    };
    let other_grant = Spend {
        grant: GrantId::new("nobody"),
        ..good.clone()
    };
    for wrong in [other_lineage, other_generation, other_grant] {
        assert!(
            !store.claim(&wrong, &claim("a")).await.unwrap(),
            "{wrong:?}"
        );
    }
    assert_eq!(again(store, &grant).await.claim, None);
    assert!(store.claim(&good, &claim("a")).await.unwrap());
    assert!(
        !store.claim(&good, &claim("b")).await.unwrap(),
        "claimed already"
    );
    assert_eq!(
        again(store, &grant).await.claim,
        Some(claim("a")),
        "kept to the nanosecond"
    );
    assert!(
        store
            .release(&grant.id, &AttemptId::new("a"))
            .await
            .unwrap()
    );
    let reason = ReauthorizeReason::RefreshRefused;
    assert!(store.claim(&good, &claim("c")).await.unwrap());
    assert!(
        store
            .commit_refusal(&good, &AttemptId::new("c"), reason, now())
            .await
            .unwrap()
    );
    assert!(
        !store.claim(&good, &claim("d")).await.unwrap(),
        "not active"
    );
}

/// Take over only what is unknown; release only what is one's own and not unknown.
pub(super) async fn taking_over_and_releasing(store: &dyn Store) {
    let grant = grant_of(store).await;
    let spend = spend(&grant);
    let (a, b) = (AttemptId::new("a"), AttemptId::new("b"));
    let kind = UnknownKind::Silence;
    assert!(store.claim(&spend, &claim("a")).await.unwrap());
    assert!(
        !store.release(&grant.id, &b).await.unwrap(),
        "another's claim"
    );
    assert!(
        !store.take_over(&spend, &a, &claim("b")).await.unwrap(),
        "it is being spent"
    );
    assert!(
        !store
            .mark_unknown(&grant.id, &b, kind, moment())
            .await
            .unwrap()
    );
    assert!(
        store
            .mark_unknown(&grant.id, &a, kind, moment())
            .await
            .unwrap()
    );
    assert!(
        !store
            .mark_unknown(&grant.id, &a, UnknownKind::Crash, moment())
            .await
            .unwrap()
    );
    let phase = again(store, &grant).await.claim.unwrap().phase;
    assert_eq!(
        phase,
        ClaimPhase::Unknown {
            kind,
            since: moment()
        }
    );
    assert!(
        !store.release(&grant.id, &a).await.unwrap(),
        "unknown is never unspent"
    );
    let stale = Spend {
        generation: Generation(9),
        ..spend.clone()
    };
    assert!(!store.take_over(&stale, &a, &claim("b")).await.unwrap());
    assert!(
        !store.take_over(&spend, &b, &claim("b")).await.unwrap(),
        "not the attempt seen"
    );
    assert!(store.take_over(&spend, &a, &claim("b")).await.unwrap());
    assert!(
        !store.take_over(&spend, &a, &claim("c")).await.unwrap(),
        "taken over already"
    );
    assert_eq!(again(store, &grant).await.claim, Some(claim("b")));
    assert!(store.release(&grant.id, &b).await.unwrap());
    assert_eq!(again(store, &grant).await.claim, None);
}

pub(super) async fn many_writers((one, two): Pair) {
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..32 {
        let store = if number % 2 == 0 {
            Arc::clone(&one)
        } else {
            Arc::clone(&two)
        };
        writers.spawn(async move {
            let signed_in = signed_in(&format!("c{number}"), &format!("r{number}"));
            let grant = store.adopt_sign_in(signed_in).await.unwrap();
            for _ in 0..4 {
                let spend = spend(&again(&*store, &grant).await);
                assert!(store.claim(&spend, &claim("a")).await.unwrap());
                let done = store
                    .commit_refresh(refreshed(&spend, Some(&format!("next {number}"))))
                    .await
                    .unwrap();
                assert_eq!(done, Committed::Yes);
            }
            assert_eq!(again(&*store, &grant).await.generation, Generation(5));
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(two.connections().await.unwrap().len(), 32);
}

/// Two handles race for one claim, many times: exactly one wins.
pub(super) async fn racing_for_claims((one, two): Pair) {
    let grant = grant_of(&*one).await;
    for round in 0..100 {
        let spend = spend(&again(&*two, &grant).await);
        let (left, right) = (claim(&format!("l{round}")), claim(&format!("r{round}")));
        let (a, b) = tokio::join!(one.claim(&spend, &left), two.claim(&spend, &right));
        assert!(a.unwrap() ^ b.unwrap(), "round {round}: exactly one");
        let done = one.commit_refresh(refreshed(&spend, None)).await.unwrap();
        assert_eq!(done, Committed::Yes);
    }
    assert_eq!(again(&*two, &grant).await.generation, Generation(101));
}
