//! Commits and refusals of refreshes.

use std::time::Duration;

use crate::{
    model::{
        Account, AttemptId, BootId, BootStamp, Generation, GrantLifecycle, Moment,
        ReauthorizeReason, RefreshToken, SubjectBinding, SuspendReason, UnknownKind,
    },
    store::{
        Committed, Spend, Store,
        conformance::fixture::{
            access_text, again, claim, grant_of, moment, now, refresh_text, refreshed, spend,
        },
    },
};

/// A replacement of a refresh token is stored by the claim's owner, or while the replaced token is current.
pub(super) async fn keeping_subjects(store: &dyn Store) {
    let grant = grant_of(store).await;
    let spend = spend(&grant);
    let (a, b) = (AttemptId::new("a"), AttemptId::new("b"));
    let shown = grant.refresh.clone().unwrap().secret;
    let new = |text: &str| RefreshToken {
        secret: text.to_owned().into(),
        expires_at: None,
    };
    let other: crate::secret::SecretString = "another".to_owned().into();
    let keep = async |by, text: &str| store.keep_subject(&spend, by, &new(text)).await.unwrap();
    assert!(store.claim(&spend, &claim("a")).await.unwrap());
    assert!(
        !keep((&b, &other), "x").await,
        "neither claimed nor current"
    );
    let kind = UnknownKind::Silence;
    assert!(
        store
            .mark_unknown(&grant.id, &a, kind, moment())
            .await
            .unwrap()
    );
    assert!(keep((&a, &other), "r2").await, "it claims it");
    let kept = again(store, &grant).await;
    assert_eq!(refresh_text(&kept), Some("r2"));
    assert_eq!(kept.generation, grant.generation);
    assert_eq!(kept.claim, Some(claim("a")), "its outcome is known");
    assert!(!keep((&b, &shown), "x").await, "replaced meanwhile");
    assert!(store.release(&grant.id, &a).await.unwrap());
    let r2 = new("r2").secret;
    assert!(
        keep((&a, &r2), "r3").await,
        "late, and still the current one"
    );
    assert_eq!(refresh_text(&again(store, &grant).await), Some("r3"));
    let stale = Spend {
        generation: Generation(9),
        ..spend.clone()
    };
    let r3 = new("r3").secret;
    let kept = store.keep_subject(&stale, (&a, &r3), &new("x")).await;
    assert!(!kept.unwrap());
}

/// A commit moves the generation exactly once, keeps an omitted refresh token, and obeys the lifecycle.
pub(super) async fn commits(store: &dyn Store) {
    let grant = grant_of(store).await;
    let first = spend(&grant);
    assert!(store.claim(&first, &claim("a")).await.unwrap());
    let with_token = refreshed(&first, Some("r2"));
    assert_eq!(
        store.commit_refresh(with_token.clone()).await.unwrap(),
        Committed::Yes
    );
    assert_eq!(
        store.commit_refresh(with_token).await.unwrap(),
        Committed::Superseded
    );
    let second = again(store, &grant).await;
    assert_eq!(second.generation, grant.generation.next());
    assert_eq!(
        (refresh_text(&second), access_text(&second)),
        (Some("r2"), Some("newer access"))
    );
    assert_eq!(
        (
            second.claim.as_ref(),
            second.refresh.as_ref().unwrap().expires_at
        ),
        (None, Some(now()))
    );
    for _ in 0..3 {
        let spend = spend(&again(store, &grant).await);
        let kept = store.commit_refresh(refreshed(&spend, None)).await.unwrap();
        assert_eq!(kept, Committed::Yes);
    }
    let fifth = again(store, &grant).await;
    assert_eq!(
        (fifth.generation, refresh_text(&fifth)),
        (Generation(5), Some("r2")),
        "it still opens"
    );
    // A late answer proves that the grant lives.
    let spend = spend(&fifth);
    assert!(store.claim(&spend, &claim("z")).await.unwrap());
    let reason = ReauthorizeReason::UnknownOutcome;
    assert!(
        store
            .commit_refusal(&spend, &AttemptId::new("z"), reason, now())
            .await
            .unwrap()
    );
    assert_eq!(
        store
            .commit_refresh(refreshed(&spend, Some("r6")))
            .await
            .unwrap(),
        Committed::Yes
    );
    let last = again(store, &grant).await;
    assert_eq!(
        (last.lifecycle.clone(), refresh_text(&last)),
        (GrantLifecycle::Active, Some("r6"))
    );
}

/// The time of a refusal is that of the first in the same words, until a refresh is accepted or a person signs in.
pub(super) async fn lasting_refusals(store: &dyn Store) {
    let grant = grant_of(store).await;
    let at = |seconds| Moment {
        wall: now(),
        boot: BootStamp {
            id: BootId(1),
            since: Duration::from_secs(seconds),
        },
    };
    let note = async |words, seconds| {
        let since = store.note_refusal(&grant.id, words, at(seconds)).await;
        since.unwrap().boot.since.as_secs()
    };
    assert_eq!(note("no", 1).await, 1);
    assert_eq!(note("no", 2).await, 1, "the same words");
    assert_eq!(note("never", 3).await, 3, "other words");
    store
        .commit_refresh(refreshed(&spend(&grant), Some("r2")))
        .await
        .unwrap();
    assert_eq!(note("never", 4).await, 4, "a refresh was accepted");
    assert_eq!(grant_of(store).await.id, grant.id);
    assert_eq!(note("never", 5).await, 5, "a person signed in");
}

/// What must not be handed out is kept, and suspended in the same step; what is known of a grant stays with it.
pub(super) async fn held_commits(store: &dyn Store) {
    let grant = grant_of(store).await;
    assert_eq!(grant.subject_binding, SubjectBinding::default());
    let subject_binding = SubjectBinding {
        id_token: Some(Account::new(Some("https://as"), "7")),
        scope: SubjectBinding::words("a b"),
        ..SubjectBinding::default()
    };
    let mut new = refreshed(&spend(&grant), Some("r2"));
    new.subject_binding = subject_binding.clone();
    new.access.refresh_in = Some(Duration::from_millis(1500));
    store.commit_refresh(new).await.unwrap();
    let grant = again(store, &grant).await;
    assert_eq!(
        (&grant.subject_binding, &grant.lifecycle),
        (&subject_binding, &GrantLifecycle::Active)
    );
    let refresh_in = grant.access.as_ref().unwrap().refresh_in;
    assert_eq!(refresh_in, Some(Duration::from_millis(1500)));
    let mut held = refreshed(&spend(&grant), Some("r3"));
    held.subject_binding = subject_binding.clone();
    held.hold = Some((SuspendReason::OtherAccount, now()));
    let committed = store.commit_refresh(held).await.unwrap();
    assert_eq!(committed, Committed::Yes);
    let grant = again(store, &grant).await;
    assert_eq!(refresh_text(&grant), Some("r3"), "nothing is thrown away");
    let suspended = GrantLifecycle::Suspended {
        reason: SuspendReason::OtherAccount,
        since: now(),
    };
    assert_eq!((grant.lifecycle, grant.claim), (suspended, None));
    let new = grant_of(store).await;
    assert_eq!(
        new.subject_binding,
        SubjectBinding::default(),
        "a sign-in starts afresh"
    );
    assert_eq!(new.lifecycle, GrantLifecycle::Active);
}

/// A refusal counts only from the attempt that holds the claim, and takes no token away.
pub(super) async fn refusals(store: &dyn Store) {
    let grant = grant_of(store).await;
    let spend = spend(&grant);
    let reason = ReauthorizeReason::RefreshRefused;
    let (a, b) = (AttemptId::new("a"), AttemptId::new("b"));
    assert!(
        !store
            .commit_refusal(&spend, &a, reason, now())
            .await
            .unwrap(),
        "nobody claims"
    );
    assert!(store.claim(&spend, &claim("a")).await.unwrap());
    assert!(
        !store
            .commit_refusal(&spend, &b, reason, now())
            .await
            .unwrap()
    );
    assert_eq!(again(store, &grant).await.lifecycle, GrantLifecycle::Active);
    assert!(
        store
            .commit_refusal(&spend, &a, reason, now())
            .await
            .unwrap()
    );
    let refused = again(store, &grant).await;
    let expected = GrantLifecycle::ReauthorizationRequired {
        reason,
        since: now(),
    };
    assert_eq!(
        (refused.lifecycle.clone(), refused.claim.as_ref()),
        (expected, None)
    );
    assert_eq!(
        (refresh_text(&refused), refused.generation),
        (Some("r1"), grant.generation)
    );
}
