//! Sign-ins that bring no refresh token: some providers give one at the first consent only.

use std::future::Future;

use crate::{
    model::{
        Account, ClientId, GrantLifecycle, GrantType, Issuer, ReauthorizeReason, SubjectBinding,
        SuspendReason,
    },
    secret::SecretString,
    store::{
        Committed, Obtained, SignedIn, Store,
        conformance::fixture::{
            Pair, access_text, again, claim, grant_of, now, refresh_text, refreshed, signed_in,
            spend,
        },
    },
};

pub(super) async fn run<F, Fut>(fresh: &mut F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Pair>,
{
    a_sign_in_without_a_refresh_token_keeps_the_one_before(&*fresh().await.0).await;
    a_kept_refresh_token_that_is_being_spent_keeps_its_claim(&*fresh().await.0).await;
    another_account_keeps_nothing(&*fresh().await.0).await;
    a_dead_refresh_token_is_not_kept(&*fresh().await.0).await;
    another_client_or_another_issuer_keeps_nothing(fresh).await;
    what_is_bound_or_not_a_persons_keeps_nothing(fresh).await;
}

/// A sign-in that brings an access token alone, as this account.
fn bare(access: &str, account: Option<&str>) -> SignedIn {
    let mut new = signed_in("c", access);
    if let Obtained::Tokens(tokens) = &mut new.obtained {
        tokens.refresh_token = None;
        *tokens.subject_binding = subject_binding(account);
    }
    new
}

fn as_account(refresh: &str, account: &str) -> SignedIn {
    let mut new = signed_in("c", refresh);
    if let Obtained::Tokens(tokens) = &mut new.obtained {
        *tokens.subject_binding = subject_binding(Some(account));
    }
    new
}

fn subject_binding(account: Option<&str>) -> SubjectBinding {
    SubjectBinding {
        id_token: account.map(|account| Account::new(Some("https://as.example"), account)),
        ..SubjectBinding::default()
    }
}

async fn a_sign_in_without_a_refresh_token_keeps_the_one_before(store: &dyn Store) {
    let first = store
        .adopt_sign_in(as_account("r1", "alice"))
        .await
        .unwrap();
    let second = store.adopt_sign_in(bare("a2", None)).await.unwrap();
    assert_eq!(second.id, first.id, "one grant");
    assert_eq!(
        (second.lineage, second.generation),
        (first.lineage.next(), first.generation.next())
    );
    assert_eq!(refresh_text(&second), Some("r1"));
    assert_eq!(access_text(&second), Some("access of a2"));
    assert_eq!(
        second.subject_binding,
        subject_binding(Some("alice")),
        "whose the refresh token is stays known"
    );
    let third = store
        .adopt_sign_in(bare("a3", Some("alice")))
        .await
        .unwrap();
    assert_eq!(refresh_text(&third), Some("r1"));
    assert!(third.is_refreshable());
    let spend = spend(&third);
    assert!(store.claim(&spend, &claim("a")).await.unwrap(), "unspent");
    let done = store
        .commit_refresh(refreshed(&spend, Some("r2")))
        .await
        .unwrap();
    assert_eq!(done, Committed::Yes);
    // The grant began with this token: an import of it changes nothing.
    let issuer = (&third.issuer, &third.client_id);
    let began: SecretString = "r1".to_owned().into();
    let holders = store.holders(issuer.0, issuer.1, &began).await.unwrap();
    assert_eq!(holders.len(), 1);
}

/// The answer to the attempt may bring the refresh token that is good from then on.
async fn a_kept_refresh_token_that_is_being_spent_keeps_its_claim(store: &dyn Store) {
    let first = grant_of(store).await;
    let spend = spend(&first);
    assert!(store.claim(&spend, &claim("a")).await.unwrap());
    let second = store.adopt_sign_in(bare("a2", None)).await.unwrap();
    assert_eq!(
        (second.lineage, second.generation, second.claim.is_some()),
        (first.lineage, first.generation, true)
    );
    assert_eq!(access_text(&second), Some("access of a2"));
    let done = store
        .commit_refresh(refreshed(&spend, Some("r2")))
        .await
        .unwrap();
    assert_eq!(done, Committed::Yes);
    assert_eq!(refresh_text(&again(store, &first).await), Some("r2"));
}

async fn another_account_keeps_nothing(store: &dyn Store) {
    store
        .adopt_sign_in(as_account("r1", "alice"))
        .await
        .unwrap();
    let other = store.adopt_sign_in(bare("a2", Some("bob"))).await.unwrap();
    assert_eq!(refresh_text(&other), None);
    assert_eq!(other.subject_binding, subject_binding(Some("bob")));
}

async fn a_dead_refresh_token_is_not_kept(store: &dyn Store) {
    let grant = grant_of(store).await;
    let reason = ReauthorizeReason::RefreshRefused;
    assert!(
        store
            .require_sign_in(&grant.id, grant.lineage, reason, now())
            .await
            .unwrap()
    );
    let new = store.adopt_sign_in(bare("a2", None)).await.unwrap();
    assert_eq!(
        (new.lifecycle.clone(), refresh_text(&new)),
        (GrantLifecycle::Active, None)
    );
    // Somebody else may hold it still.
    let mut imported = signed_in("c", "r2");
    imported.lifecycle = GrantLifecycle::Suspended {
        reason: SuspendReason::SecondCopy,
        since: now(),
    };
    store.adopt_sign_in(imported).await.unwrap();
    let new = store.adopt_sign_in(bare("a3", None)).await.unwrap();
    assert_eq!(refresh_text(&new), None);
    // It says itself that it is over.
    let mut ended = signed_in("c", "r3");
    if let Obtained::Tokens(tokens) = &mut ended.obtained
        && let Some(refresh) = &mut tokens.refresh_token
    {
        refresh.expires_at = Some(now());
    }
    store.adopt_sign_in(ended).await.unwrap();
    let new = store.adopt_sign_in(bare("a4", None)).await.unwrap();
    assert_eq!(refresh_text(&new), None);
}

async fn another_client_or_another_issuer_keeps_nothing<F, Fut>(fresh: &mut F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Pair>,
{
    let elsewhere: [fn(&mut SignedIn); 2] = [
        |new| new.connection.client_id = ClientId::new("other"),
        |new| new.connection.issuer = Issuer::new("https://other.example"),
    ];
    for change in elsewhere {
        let (store, _) = fresh().await;
        grant_of(&*store).await;
        let mut new = bare("a2", None);
        new.client = None;
        change(&mut new);
        let new = store.adopt_sign_in(new).await.unwrap();
        assert_eq!(refresh_text(&new), None);
    }
}

async fn what_is_bound_or_not_a_persons_keeps_nothing<F, Fut>(fresh: &mut F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Pair>,
{
    let others: [fn(&mut SignedIn); 2] = [
        |new| new.grant_material.proof_key = Some("key".to_owned().into()),
        |new| new.grant_type = GrantType::ClientCredentials,
    ];
    for change in others {
        let (store, _) = fresh().await;
        grant_of(&*store).await;
        let mut new = bare("a2", None);
        change(&mut new);
        let new = store.adopt_sign_in(new).await.unwrap();
        assert_eq!(refresh_text(&new), None);
    }
}
