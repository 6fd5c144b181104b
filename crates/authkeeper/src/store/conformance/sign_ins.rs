//! Sign-ins, imports, API keys and disconnects.

use std::time::Duration;

use crate::{
    model::{
        ClientId, ClientSecret, ConnectionName, Generation, GrantLifecycle, GrantType, Issuer,
        Lineage, RefreshToken, Scope, SuspendReason,
    },
    store::{
        Committed, NewKey, Obtained, PendingSignIn, Store,
        conformance::fixture::{
            access_text, again, claim, grant_of, moment, name, now, refresh_text, refreshed,
            signed_in, spend,
        },
    },
};

/// A sign-in raises lineage and generation, clears the claim, and makes what is late stay late.
pub(super) async fn sign_ins(store: &dyn Store) {
    let first = grant_of(store).await;
    assert_eq!(
        (first.lineage, first.generation),
        (Lineage(1), Generation(1))
    );
    let old = spend(&first);
    assert!(store.claim(&old, &claim("a")).await.unwrap());
    let mut later = signed_in("c", "r9");
    later.connection.created = now().saturating_add(Duration::from_hours(1)).unwrap();
    let second = store.adopt_sign_in(later).await.unwrap();
    assert_eq!(second.id, first.id);
    assert_eq!(
        (second.lineage, second.generation),
        (Lineage(2), Generation(2))
    );
    assert_eq!(
        (second.claim.as_ref(), refresh_text(&second)),
        (None, Some("r9"))
    );
    let late = store
        .commit_refresh(refreshed(&old, Some("late")))
        .await
        .unwrap();
    assert_eq!(late, Committed::Superseded);
    assert_eq!(refresh_text(&again(store, &first).await), Some("r9"));
    let connection = store.connection(&name()).await.unwrap().unwrap();
    assert_eq!(
        (connection.created, connection.grant),
        (now(), Some(first.id))
    );
    let issuer = Issuer::new("https://as.example");
    let client = store
        .registration(&issuer, &ClientId::new("client"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(client.secrets[0].secret.expose(), "client-secret");
}

/// A disconnected grant is never active again, and what comes late is to be revoked.
pub(super) async fn disconnecting(store: &dyn Store) {
    let grant = grant_of(store).await;
    let spend = spend(&grant);
    assert!(store.claim(&spend, &claim("a")).await.unwrap());
    let was = store.disconnect(&name(), now()).await.unwrap().unwrap();
    assert_eq!(
        refresh_text(&was),
        Some("r1"),
        "to be revoked at the provider"
    );
    let late = refreshed(&spend, Some("late"));
    assert_eq!(
        store.commit_refresh(late.clone()).await.unwrap(),
        Committed::Revoked
    );
    store.forget(&name()).await.unwrap();
    assert!(store.connection(&name()).await.unwrap().is_none());
    let tombstone = again(store, &grant).await;
    assert_eq!(
        tombstone.lifecycle,
        GrantLifecycle::Revoked { since: now() }
    );
    assert_eq!(
        (refresh_text(&tombstone), access_text(&tombstone)),
        (None, None)
    );
    assert_eq!(
        store.commit_refresh(late).await.unwrap(),
        Committed::Revoked
    );
    let new = store.adopt_sign_in(signed_in("c", "r2")).await.unwrap();
    assert_ne!(new.id, grant.id, "a tombstone is not reused");
}

/// A sign-in that comes between the two steps of a disconnect stays.
pub(super) async fn forgetting_spares_a_new_sign_in(store: &dyn Store) {
    grant_of(store).await;
    store.disconnect(&name(), now()).await.unwrap();
    let new = store.adopt_sign_in(signed_in("c", "r2")).await.unwrap();
    store.forget(&name()).await.unwrap();
    let connection = store.connection(&name()).await.unwrap().unwrap();
    assert_eq!(connection.grant, Some(new.id.clone()));
    let kept = again(store, &new).await;
    assert_eq!(
        (refresh_text(&kept), access_text(&kept)),
        (Some("r2"), Some("access of r2"))
    );
}

pub(super) async fn secrets_of_a_client(store: &dyn Store) {
    let mut new = signed_in("c", "r1");
    let (_, client) = new.client.as_mut().unwrap();
    client.secrets = ["new", "old"]
        .map(|text| ClientSecret::new(text.to_owned().into()))
        .into();
    client.secrets[1].expires_at = Some(now());
    client.private_key = Some("a key".to_owned().into());
    client.key_id = Some("k1".to_owned());
    client.redirect_uris = vec!["http://127.0.0.1:5000/callback".to_owned()];
    client.scope = Some(Scope::new("read write"));
    let (issuer, id) = (client.issuer.clone(), client.client_id.clone());
    store.adopt_sign_in(new).await.unwrap();
    let again = || async { store.registration(&issuer, &id).await.unwrap().unwrap() };
    let client = again().await;
    let first = client.secrets[0].id.unwrap();
    assert_eq!(client.secret_in_use().unwrap().secret.expose(), "new");
    store.refuse_secret(first, now()).await.unwrap();
    let client = again().await;
    assert_eq!(client.secret_in_use().unwrap().secret.expose(), "old");
    assert_eq!(client.secrets[0].refused, Some(now()));
    assert_eq!(client.secrets[1].expires_at, Some(now()));
    assert_eq!(client.private_key.unwrap().expose(), "a key");
    assert_eq!(client.key_id.as_deref(), Some("k1"));
    assert_eq!(client.redirect_uris, ["http://127.0.0.1:5000/callback"]);
    assert_eq!(client.scope, Some(Scope::new("read write")));
    // A sign-in takes nothing away; a new secret goes in front, and a refusal stays with its secret.
    store.adopt_sign_in(signed_in("c", "r2")).await.unwrap();
    let mut client = again().await;
    assert_eq!(client.secrets.len(), 2);
    client
        .secrets
        .insert(0, ClientSecret::new("newest".to_owned().into()));
    let provider = store.provider(&issuer, &id).await.unwrap().unwrap();
    store.keep_registration(&provider, &client).await.unwrap();
    let client = again().await;
    let texts: Vec<_> = client
        .secrets
        .iter()
        .map(|secret| secret.secret.expose().as_str())
        .collect();
    assert_eq!(texts, ["newest", "new", "old"]);
    assert_eq!(client.secrets[1].refused, Some(now()));
    store.accept_secret(first).await.unwrap();
    assert_eq!(again().await.secrets[1].refused, None);
    let other = store
        .provider(&issuer, &ClientId::new("other"))
        .await
        .unwrap();
    assert!(other.is_none(), "what one client was told is not another's");
}

pub(super) async fn pending_sign_ins(store: &dyn Store) {
    let pending = |memory: &str| PendingSignIn {
        name: name(),
        memory: memory.to_owned().into(),
        ends: now(),
    };
    assert!(store.pending(&name()).await.unwrap().is_none());
    let earlier = now().saturating_sub(Duration::from_secs(1)).unwrap();
    store
        .keep_pending(&pending("first"), earlier)
        .await
        .unwrap();
    store
        .keep_pending(&pending("second"), earlier)
        .await
        .unwrap();
    let kept = store.pending(&name()).await.unwrap().unwrap();
    assert_eq!(
        (kept.memory.expose().as_str(), kept.ends),
        ("second", now())
    );
    store.drop_pending(&name()).await.unwrap();
    assert!(store.pending(&name()).await.unwrap().is_none());
    // What has ended is swept by the next; what is adopted is not gone on with.
    store
        .keep_pending(&pending("third"), earlier)
        .await
        .unwrap();
    let mut other = pending("fourth");
    other.name = ConnectionName::parse("other").unwrap();
    other.ends = now().saturating_add(Duration::from_secs(1)).unwrap();
    store.keep_pending(&other, now()).await.unwrap();
    assert!(store.pending(&name()).await.unwrap().is_none());
    store.adopt_sign_in(signed_in("other", "r1")).await.unwrap();
    assert!(store.pending(&other.name).await.unwrap().is_none());
}

pub(super) async fn imported_grants(store: &dyn Store) {
    let mut imported = signed_in("c", "r1");
    imported.obtained = Obtained::RefreshToken(RefreshToken {
        secret: "imported".to_owned().into(),
        expires_at: Some(now()),
    });
    imported.lifecycle = GrantLifecycle::Suspended {
        reason: SuspendReason::SecondCopy,
        since: now(),
    };
    let grant = store.adopt_sign_in(imported.clone()).await.unwrap();
    assert_eq!(grant.lifecycle, imported.lifecycle);
    assert!(grant.access.is_none() && grant.refresh.is_some());
    let claimed = store.claim(&spend(&grant), &claim("a1")).await.unwrap();
    assert!(!claimed, "what somebody else may spend is not spent");
    // As of a refresh that was in flight when it was suspended: what came is kept, and ends no suspension.
    let late = refreshed(&spend(&grant), Some("r2"));
    assert_eq!(store.commit_refresh(late).await.unwrap(), Committed::Yes);
    let grant = again(store, &grant).await;
    assert_eq!(grant.lifecycle, imported.lifecycle);
    assert_eq!(refresh_text(&grant), Some("r2"));
    assert!(store.confirm_sole_copy(&grant.id, now()).await.unwrap());
    assert!(!store.confirm_sole_copy(&grant.id, now()).await.unwrap());
    assert!(store.claim(&spend(&grant), &claim("a1")).await.unwrap());
}

/// A grant without a refresh token can be claimed only if it is our client's own.
pub(super) async fn own_grants(store: &dyn Store) {
    let without = |name: &str, grant_type| {
        let mut signed_in = signed_in(name, name);
        if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
            tokens.refresh_token = None;
        }
        signed_in.grant_type = grant_type;
        signed_in
    };
    let own = without("own", GrantType::ClientCredentials);
    let own = store.adopt_sign_in(own).await.unwrap();
    assert_eq!(own.grant_type, GrantType::ClientCredentials);
    assert!(store.claim(&spend(&own), &claim("a1")).await.unwrap());
    let code = without("code", GrantType::AuthorizationCode);
    let code = store.adopt_sign_in(code).await.unwrap();
    assert!(!store.claim(&spend(&code), &claim("a2")).await.unwrap());
}

pub(super) async fn keys(store: &dyn Store) {
    let mut signed_in = signed_in("c", "first");
    signed_in.client = None;
    signed_in.grant_type = GrantType::ApiKey;
    signed_in.rotate_by = Some(now());
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.access_token = "first".to_owned().into();
        tokens.refresh_token = None;
    }
    let first = store.adopt_sign_in(signed_in).await.unwrap();
    assert_eq!(first.rotate_by, Some(now()));
    let later = now().saturating_add(Duration::from_hours(1)).unwrap();
    let key = NewKey {
        secret: "second".to_owned().into(),
        at: moment(),
        rotate_by: None,
        overlap_until: later,
    };
    let replace = |seen| store.replace_key(&first.id, seen, &key);
    assert!(replace(first.generation).await.unwrap());
    assert!(!replace(first.generation).await.unwrap(), "seen is old");
    let second = again(store, &first).await;
    assert_eq!(second.access.unwrap().secret.expose(), "second");
    assert_eq!(
        (second.rotate_by, second.generation),
        (None, first.generation.next())
    );
    let standby = second.standby.unwrap();
    assert_eq!(
        (standby.secret.expose().as_str(), standby.until),
        ("first", later)
    );
    let fall_back = |at| store.fall_back(&first.id, second.generation, at);
    let mut too_late = moment();
    too_late.wall = later;
    assert!(!fall_back(too_late).await.unwrap(), "the overlap has ended");
    assert!(fall_back(moment()).await.unwrap());
    assert!(!fall_back(moment()).await.unwrap());
    let third = again(store, &first).await;
    assert_eq!(third.access.unwrap().secret.expose(), "first");
    assert_eq!(third.generation, second.generation.next());
    // The two have changed places; the new one is left alone for a while, and then tried again.
    let standby = third.standby.unwrap();
    assert_eq!(
        (standby.secret.expose().as_str(), standby.refused),
        ("second", Some(now()))
    );
    let back = |at| store.fall_back(&first.id, third.generation, at);
    assert!(!back(moment()).await.unwrap(), "it was refused just now");
    let mut rested = moment();
    rested.wall = now().saturating_add(Duration::from_mins(10)).unwrap();
    assert!(back(rested).await.unwrap());
    assert_eq!(
        again(store, &first).await.access.unwrap().secret.expose(),
        "second"
    );
}
