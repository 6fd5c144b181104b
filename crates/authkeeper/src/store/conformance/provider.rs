//! Observations and failures of a provider.

use std::time::Duration;

use crate::{
    model::{
        AttemptId, ClientId, ClientSecret, Failing, FailingOf, Generation, GrantLifecycle, Issuer,
        Lineage, Observation, ObservationKind, ProviderObservation, ReauthorizeReason, Rest, Said,
    },
    store::{
        FailingChange, Store,
        conformance::fixture::{
            Pair, again, claim, grant_of, incident, moment, name, now, refresh_text, signed_in,
            spend,
        },
    },
};

/// Each thing is counted, and of each kind the newest few are kept.
pub(super) async fn noticing(store: &dyn Store) {
    let observation = |issuer: &str, detail: String| ProviderObservation {
        issuer: Issuer::new(issuer),
        kind: ObservationKind::OddAnswer,
        detail,
    };
    let at = |seconds| now() + jiff::SignedDuration::from_secs(seconds);
    let one = observation("https://a", "400 text/plain".to_owned());
    store.observation(&one, at(0)).await.unwrap();
    store.observation(&one, at(5)).await.unwrap();
    let other = observation("https://b", String::new());
    store.observation(&other, at(6)).await.unwrap();
    let all = store.observed(None).await.unwrap();
    let first = &all[0];
    assert_eq!((&first.observation, first.times), (&one, 2));
    assert_eq!((first.first, first.last), (at(0), at(5)));
    assert_eq!(all.len(), 2);
    for number in 0..100 {
        let flood = observation("https://b", number.to_string());
        store.observation(&flood, at(7)).await.unwrap();
    }
    let of_b = store.observed(Some(&other.issuer)).await.unwrap();
    assert!((8..=32).contains(&of_b.len()), "{}", of_b.len());
    assert!(of_b.iter().any(|kept| kept.observation.detail == "99"));
    let of_a = store.observed(Some(&one.issuer)).await.unwrap();
    assert_eq!(of_a.len(), 1, "one provider's do not push out another's");
    early_ends(store).await;
}

/// What is learned of one connection stays however many others there are, within bounds.
pub(super) async fn early_ends(store: &dyn Store) {
    let issuer = Issuer::new("https://c");
    let ended = async |connection: &str, age: u64, at: i64| {
        let observation = ProviderObservation {
            issuer: issuer.clone(),
            kind: ObservationKind::EndedEarly,
            detail: format!("{connection} {age}"),
        };
        let at = now() + jiff::SignedDuration::from_secs(at);
        store.observation(&observation, at).await.unwrap();
    };
    for age in 0..3 {
        ended("mine", age, 0).await;
    }
    for other in 0..20 {
        ended(&format!("other-{other}"), 7, 1).await;
    }
    for age in 0..33 {
        ended("wild", age, 2).await;
    }
    let kept = store.observed(Some(&issuer)).await.unwrap();
    let of = |connection: &str| {
        let on_behalf_of = |kept: &&Observation| kept.observation.detail.starts_with(connection);
        kept.iter().filter(on_behalf_of).count()
    };
    assert_eq!((of("mine "), of("other-")), (3, 20));
    assert!((8..=32).contains(&of("wild ")), "{}", of("wild "));
    for other in 0..160 {
        ended(&format!("more-{other}"), 7, 3).await;
    }
    let kept = store.observed(Some(&issuer)).await.unwrap();
    assert!(kept.len() <= 150, "{}", kept.len());
}

/// Failures are changed by compare-and-set, are seen by every process, and an incident is kept with the change or not at
/// all.
pub(super) async fn failing((one, two): Pair) {
    let grant = grant_of(&*one).await;
    let of = FailingOf::Client(grant.issuer.clone(), grant.client_id.clone());
    let failing = |times| Failing {
        since: moment(),
        times,
        failures: times,
        said: Said::Unavailable("too many requests (429)".to_owned()),
        rest: Some(Rest {
            since: moment(),
            lasts: Duration::from_secs(30),
            trial: Some(AttemptId::new("a1")),
        }),
        lineage: None,
        told: vec![],
    };
    let change = |seen, new, id: &str| FailingChange {
        of: of.clone(),
        seen,
        new,
        incident: Some(incident(id, 1, id)),
    };
    assert_eq!(one.failing(&of).await.unwrap(), None);
    let first = change(None, Some(failing(1)), "first");
    assert!(one.put_failing(first).await.unwrap());
    assert_eq!(two.failing(&of).await.unwrap(), Some(failing(1)));
    let late = change(None, Some(failing(2)), "late");
    assert!(!two.put_failing(late).await.unwrap(), "not as it was seen");
    assert!(!two.put_failing(change(None, None, "late")).await.unwrap());
    let open = one.incidents().await.unwrap();
    let reasons: Vec<&str> = open
        .iter()
        .map(|kept| kept.record.reason.as_str())
        .collect();
    assert_eq!(reasons, ["first"]);
    let answered = FailingChange {
        incident: None,
        ..change(Some(failing(1)), None, "")
    };
    assert!(two.put_failing(answered).await.unwrap());
    assert_eq!(one.failing(&of).await.unwrap(), None);
    // A grant's own go with the grant.
    let resting = FailingOf::Grant(grant.id.clone());
    let rests = FailingChange {
        of: resting.clone(),
        incident: None,
        ..change(None, Some(failing(1)), "")
    };
    assert!(one.put_failing(rests).await.unwrap());
    one.disconnect(&name(), now()).await.unwrap();
    assert!(one.failing(&resting).await.unwrap().is_some());
    one.forget(&name()).await.unwrap();
    assert_eq!(one.failing(&resting).await.unwrap(), None);
}

/// Of one client its failing requests, its refusals and its unfinished sign-ins are told apart.
pub(super) async fn kinds_of_failing(store: &dyn Store) {
    let (issuer, client) = (Issuer::new("https://a"), ClientId::new("c"));
    let all = [FailingOf::Client, FailingOf::Refusals, FailingOf::SignIns]
        .map(|of| of(issuer.clone(), client.clone()));
    for (times, of) in (1..).zip(&all) {
        assert_eq!(store.failing(of).await.unwrap(), None, "{of:?}");
        let said = Said::Refused {
            code: "invalid_client".to_owned(),
            description: Some("client not found".to_owned()),
        };
        let new = Failing {
            since: moment(),
            times,
            failures: 0,
            said,
            rest: None,
            lineage: None,
            told: vec![],
        };
        let change = FailingChange {
            of: of.clone(),
            seen: None,
            new: Some(new.clone()),
            incident: None,
        };
        assert!(store.put_failing(change).await.unwrap(), "{of:?}");
        assert_eq!(store.failing(of).await.unwrap(), Some(new), "{of:?}");
    }
}

/// That a sign-in begins proves nothing of a client that was refused; a new secret has nothing against it.
pub(super) async fn refused_clients(store: &dyn Store) {
    let grant = grant_of(store).await;
    let (issuer, id) = (&grant.issuer, &grant.client_id);
    let client = || async { store.registration(issuer, id).await.unwrap().unwrap() };
    let provider = store.provider(issuer, id).await.unwrap().unwrap();
    store.refuse_registration(issuer, id, now()).await.unwrap();
    assert_eq!(client().await.refused, Some(now()));
    let mut known = client().await;
    store.keep_registration(&provider, &known).await.unwrap();
    assert_eq!(client().await.refused, Some(now()), "nothing is new");
    known
        .secrets
        .push(ClientSecret::new("new".to_owned().into()));
    store.keep_registration(&provider, &known).await.unwrap();
    assert_eq!(client().await.refused, None);
    store.refuse_registration(issuer, id, now()).await.unwrap();
    store.accept_registration(issuer, id).await.unwrap();
    assert_eq!(client().await.refused, None);
}

/// Only a sign-in restores a grant whose issuer the resource no longer accepts; at another issuer it makes a new grant, and no number
/// of the connection is given out twice.
pub(super) async fn grants_whose_issuer_is_over(store: &dyn Store) {
    let grant = grant_of(store).await;
    let reason = ReauthorizeReason::AuthorizationServerChanged;
    let require = |lineage| store.require_sign_in(&grant.id, Lineage(lineage), reason, now());
    assert!(!require(9).await.unwrap(), "another sign-in");
    assert!(store.claim(&spend(&grant), &claim("a")).await.unwrap());
    assert!(!require(1).await.unwrap(), "somebody is at it");
    let attempt = AttemptId::new("a");
    assert!(store.release(&grant.id, &attempt).await.unwrap());
    assert!(require(1).await.unwrap());
    assert!(!require(1).await.unwrap(), "it is so already");
    let over = GrantLifecycle::ReauthorizationRequired {
        reason,
        since: now(),
    };
    assert_eq!(again(store, &grant).await.lifecycle, over);
    assert!(!store.claim(&spend(&grant), &claim("b")).await.unwrap());

    let mut elsewhere = signed_in("c", "r2");
    elsewhere.connection.issuer = Issuer::new("https://other.example");
    let new = store.adopt_sign_in(elsewhere).await.unwrap();
    assert_ne!(new.id, grant.id);
    assert_eq!((new.lineage, new.generation), (Lineage(2), Generation(2)));
    assert_eq!(refresh_text(&again(store, &grant).await), None);
}
