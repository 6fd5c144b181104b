//! Several connections on one grant.

use std::future::Future;

use crate::{
    model::{
        ClientId, ConnectionName, Grant, GrantLifecycle, Lineage, PrincipalId, ReauthorizeReason,
        RefreshToken, SuspendReason,
    },
    store::{
        Committed, Obtained, SignedIn, Store,
        conformance::fixture::{
            Pair, access_text, again, claim, grant_of, incident, name, now, refresh_text,
            refreshed, signed_in, spend,
        },
    },
};

pub(super) async fn run<F, Fut>(fresh: &mut F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Pair>,
{
    one_token_is_one_grant(&*fresh().await.0).await;
    connections_on_one_grant_leave_one_by_one(&*fresh().await.0).await;
    a_grant_that_is_shared_outlives_a_sign_in_elsewhere(&*fresh().await.0).await;
    a_sign_in_for_something_else_leaves_a_shared_grant(&*fresh().await.0).await;
    what_is_over_is_over_for_all_on_the_grant(&*fresh().await.0).await;
    an_import_of_what_a_connection_began_with_changes_nothing(&*fresh().await.0).await;
    a_join_that_confirms_the_sole_copy_confirms_it_for_all(&*fresh().await.0).await;
    a_sign_in_that_brings_a_refused_token_again_revives_its_grant(&*fresh().await.0).await;
}

fn import(name: &str, refresh: &str) -> SignedIn {
    SignedIn {
        obtained: Obtained::RefreshToken(RefreshToken {
            secret: refresh.to_owned().into(),
            expires_at: None,
        }),
        lifecycle: GrantLifecycle::Suspended {
            reason: SuspendReason::SecondCopy,
            since: now(),
        },
        ..signed_in(name, refresh)
    }
}

/// What a join leaves as it is.
fn shape(
    grant: &Grant,
) -> (
    String,
    u64,
    u64,
    GrantLifecycle,
    Option<String>,
    Option<String>,
) {
    (
        grant.id.to_string(),
        grant.lineage.0,
        grant.generation.0,
        grant.lifecycle.clone(),
        refresh_text(grant).map(str::to_owned),
        access_text(grant).map(str::to_owned),
    )
}

/// The same refresh token twice is one grant, also after it was refreshed.
async fn one_token_is_one_grant(store: &dyn Store) {
    let first = grant_of(store).await;
    let second = store.adopt_sign_in(import("d", "r1")).await.unwrap();
    assert_eq!(
        shape(&second),
        shape(&first),
        "it is joined, and nothing is changed"
    );
    let refreshed = refreshed(&spend(&first), Some("r2"));
    assert_eq!(
        store.commit_refresh(refreshed).await.unwrap(),
        Committed::Yes
    );
    let first = again(store, &first).await;
    let third = store.adopt_sign_in(import("e", "r2")).await.unwrap();
    assert_eq!(shape(&third), shape(&first));
    let (issuer, client) = (&first.issuer, &first.client_id);
    let holders = async |refresh: &str| {
        let refresh = refresh.to_owned().into();
        let holders = store.holders(issuer, client, &refresh).await.unwrap();
        let names = holders.into_iter().map(|holder| holder.name.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(holders("r2").await, ["c", "d", "e"]);
    assert_eq!(
        holders("r1").await,
        ["c", "d", "e"],
        "it began the grant, and is spent"
    );
    assert_eq!(holders("r0").await, Vec::<String>::new());

    let other = store.adopt_sign_in(import("f", "r0")).await.unwrap();
    assert_ne!(other.id, first.id, "another token is another grant");
    let mut elsewhere = import("g", "r2");
    "https://other.example/".clone_into(&mut elsewhere.connection.url);
    let elsewhere = store.adopt_sign_in(elsewhere).await.unwrap();
    assert_ne!(elsewhere.id, first.id, "its access token goes elsewhere");
}

async fn connections_on_one_grant_leave_one_by_one(store: &dyn Store) {
    let first = grant_of(store).await;
    let _ = store.adopt_sign_in(import("d", "r1")).await.unwrap();
    assert!(store.disconnect(&name(), now()).await.unwrap().is_none());
    assert!(store.connection(&name()).await.unwrap().is_none());
    assert_eq!(
        shape(&again(store, &first).await),
        shape(&first),
        "another one lives on it"
    );
    let last = ConnectionName::parse("d").unwrap();
    let left = store.disconnect(&last, now()).await.unwrap().unwrap();
    assert!(matches!(left.lifecycle, GrantLifecycle::Revoked { .. }));
    store.forget(&last).await.unwrap();
    let (issuer, client) = (&first.issuer, &first.client_id);
    let holders = store.holders(issuer, client, &"r1".to_owned().into()).await;
    assert!(holders.unwrap().is_empty());
}

/// One that signs in as another client leaves the grant to those that live on it.
async fn a_grant_that_is_shared_outlives_a_sign_in_elsewhere(store: &dyn Store) {
    let first = grant_of(store).await;
    let _ = store.adopt_sign_in(import("d", "r1")).await.unwrap();
    let mut elsewhere = signed_in("c", "r9");
    elsewhere.connection.client_id = ClientId::new("another");
    elsewhere.client = None;
    let new = store.adopt_sign_in(elsewhere).await.unwrap();
    assert_ne!(new.id, first.id);
    assert_eq!(shape(&again(store, &first).await), shape(&first));
}

/// What it would bring is for somebody else, or for somewhere else.
async fn a_sign_in_for_something_else_leaves_a_shared_grant(store: &dyn Store) {
    let first = grant_of(store).await;
    let _ = store.adopt_sign_in(import("d", "r1")).await.unwrap();
    let mut elsewhere = signed_in("c", "r9");
    elsewhere.connection.principal = PrincipalId::new("bob");
    let new = store.adopt_sign_in(elsewhere).await.unwrap();
    assert_ne!(new.id, first.id);
    assert_eq!(shape(&again(store, &first).await), shape(&first));
    let same = store.adopt_sign_in(signed_in("d", "r8")).await.unwrap();
    assert_eq!((&same.id, same.lineage), (&first.id, Lineage(2)));
}

async fn what_is_over_is_over_for_all_on_the_grant(store: &dyn Store) {
    let first = grant_of(store).await;
    let _ = store.adopt_sign_in(import("d", "r1")).await.unwrap();
    let told = async |id: &str| {
        let _ = store
            .keep_incident(incident(id, 1, "silence"))
            .await
            .unwrap();
        store.incidents().await.unwrap().len()
    };
    assert_eq!(told("t1").await, 1);
    let other = ConnectionName::parse("d").unwrap();
    store.end_incidents(&other, now()).await.unwrap();
    assert!(store.incidents().await.unwrap().is_empty());
    assert_eq!(told("t2").await, 1);
    let again = store.adopt_sign_in(signed_in("d", "r8")).await.unwrap();
    assert_eq!(again.id, first.id);
    assert!(store.incidents().await.unwrap().is_empty());
}

/// An import over a connection whose refused token it began would put the spent one in the place of the newest.
async fn an_import_of_what_a_connection_began_with_changes_nothing(store: &dyn Store) {
    let first = grant_of(store).await;
    let refreshed = refreshed(&spend(&first), Some("r2"));
    let _ = store.commit_refresh(refreshed).await.unwrap();
    let newest = again(store, &first).await;
    let over = store.adopt_sign_in(import("c", "r1")).await.unwrap();
    assert_eq!(shape(&over), shape(&newest));
}

async fn a_join_that_confirms_the_sole_copy_confirms_it_for_all(store: &dyn Store) {
    let first = store.adopt_sign_in(import("c", "r1")).await.unwrap();
    assert!(matches!(first.lifecycle, GrantLifecycle::Suspended { .. }));
    let confirmed = SignedIn {
        lifecycle: GrantLifecycle::Active,
        ..import("d", "r1")
    };
    let joined = store.adopt_sign_in(confirmed).await.unwrap();
    assert_eq!(joined.id, first.id);
    assert_eq!(joined.lifecycle, GrantLifecycle::Active);
}

/// A person signs in, and what comes is a token that had been refused: it lives, and a sign-in it is.
async fn a_sign_in_that_brings_a_refused_token_again_revives_its_grant(store: &dyn Store) {
    let first = grant_of(store).await;
    let (one, claim) = (spend(&first), claim("a"));
    assert!(store.claim(&one, &claim).await.unwrap());
    let reason = ReauthorizeReason::RefreshRefused;
    assert!(
        store
            .commit_refusal(&one, &claim.attempt, reason, now())
            .await
            .unwrap()
    );
    let joined = store.adopt_sign_in(import("d", "r1")).await.unwrap();
    assert_eq!(
        shape(&joined),
        shape(&again(store, &first).await),
        "an import proves nothing"
    );
    let revived = store.adopt_sign_in(signed_in("e", "r1")).await.unwrap();
    assert_eq!((&revived.id, revived.lineage), (&first.id, Lineage(2)));
    assert_eq!(revived.lifecycle, GrantLifecycle::Active);
}
