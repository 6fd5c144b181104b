//! Incidents and step-ups.

use crate::{
    model::{
        ConnectionName, Event, IncidentId, ProvenCall, Scope, ScopeRefusal, StepUps, Validation,
    },
    store::{
        History, Store,
        conformance::fixture::{
            grant_of, incident, moment, name, now, refreshed, signed_in, spend,
        },
    },
};

/// An incident may be told otherwise while it is open; that its owner was told stays.
pub(super) async fn amended_incidents(store: &dyn Store) {
    let (kept, _) = store
        .keep_incident(incident("t1", 1, "silence"))
        .await
        .unwrap();
    assert!(store.claim_notification(&kept.id, now()).await.unwrap());
    let mut record = kept.record.clone();
    "another".clone_into(&mut record.detail);
    store.amend_incident(&kept.id, &record).await.unwrap();
    let told = store.incidents().await.unwrap();
    assert_eq!((&told[0].record, told[0].notified), (&record, true));
    store.end_incident(&kept.id, now()).await.unwrap();
    store.amend_incident(&kept.id, &kept.record).await.unwrap();
    let history = store.history(&name()).await.unwrap();
    assert_eq!(history.incidents[0].0.record, record, "one that is over");
}

/// What was refused is changed by compare-and-set, by a sign-in, and by nothing else; a disconnection forgets it.
pub(super) async fn step_ups(store: &dyn Store) {
    let grant = grant_of(store).await;
    let none = StepUps::default();
    assert_eq!(store.step_ups(&name()).await.unwrap(), none);
    let refusal = ScopeRefusal {
        operation: "tools/call x".to_owned(),
        scope: Some(Scope::new("write")),
        lineage: grant.lineage,
    };
    let (one, _) = none.clone().refused(&refusal, None);
    assert!(store.put_step_ups(&name(), &none, &one).await.unwrap());
    let again = store.put_step_ups(&name(), &none, &one).await.unwrap();
    assert!(!again, "it is not as it was seen");
    let refreshed = refreshed(&spend(&grant), Some("r2"));
    store.commit_refresh(refreshed).await.unwrap();
    assert_eq!(store.step_ups(&name()).await.unwrap(), one, "a refresh");
    store.adopt_sign_in(signed_in("d", "r9")).await.unwrap();
    assert_eq!(store.step_ups(&name()).await.unwrap(), one, "of another");
    store.adopt_sign_in(signed_in("c", "r3")).await.unwrap();
    let asked = store.step_ups(&name()).await.unwrap();
    assert_eq!((asked.scope_request(), asked.is_empty()), (None, false));
    store.disconnect(&name(), now()).await.unwrap();
    assert!(store.step_ups(&name()).await.unwrap().is_empty());
}

/// One process takes a validation, and a connection that is forgotten leaves none.
pub(super) async fn validations(store: &dyn Store) {
    let grant = grant_of(store).await;
    assert_eq!(store.validation(&name()).await.unwrap(), None);
    let validation = |call| Validation {
        call,
        grant: grant.id.clone(),
        begun: moment(),
    };
    let (first, second) = (ProvenCall::Request, ProvenCall::ListTools);
    let (first, second) = (validation(first), validation(second));
    assert!(store.put_validation(&name(), None, &first).await.unwrap());
    let late = store.put_validation(&name(), None, &second).await.unwrap();
    assert!(!late, "it is not as it was seen");
    let seen = Some(&first);
    assert!(store.put_validation(&name(), seen, &second).await.unwrap());
    assert_eq!(store.validation(&name()).await.unwrap(), Some(second));
    store.disconnect(&name(), now()).await.unwrap();
    assert_eq!(store.validation(&name()).await.unwrap(), None);
}

/// The same incident is kept once while it is open, and told once.
pub(super) async fn incidents(store: &dyn Store) {
    let (kept, new) = store
        .keep_incident(incident("t1", 1, "silence"))
        .await
        .unwrap();
    assert!(new);
    let (same, new) = store
        .keep_incident(incident("t2", 1, "silence"))
        .await
        .unwrap();
    assert_eq!((same, new), (kept.clone(), false));
    assert!(
        store
            .keep_incident(incident("t3", 2, "silence"))
            .await
            .unwrap()
            .1,
        "another lineage"
    );
    assert!(
        store
            .keep_incident(incident("t4", 1, "reset"))
            .await
            .unwrap()
            .1,
        "another reason"
    );
    assert!(store.claim_notification(&kept.id, now()).await.unwrap());
    assert!(
        !store.claim_notification(&kept.id, now()).await.unwrap(),
        "told once"
    );
    assert!(store.incidents().await.unwrap()[0].notified);
    let other = ConnectionName::parse("another").unwrap();
    assert!(store.is_open(&name(), Event::Uncertain).await.unwrap());
    assert!(!store.is_open(&name(), Event::RotationDue).await.unwrap());
    assert!(!store.is_open(&other, Event::Uncertain).await.unwrap());
    store.end_incidents(&name(), now()).await.unwrap();
    assert!(store.incidents().await.unwrap().is_empty());
    assert!(!store.is_open(&name(), Event::Uncertain).await.unwrap());
    let (_, new) = store
        .keep_incident(incident("t5", 1, "silence"))
        .await
        .unwrap();
    assert!(new, "after its end it is a new one");
    let over = IncidentId::new("t5");
    store.end_incident(&over, now()).await.unwrap();
    let claimed = store.claim_notification(&over, now()).await.unwrap();
    assert!(!claimed, "what is over is told nobody");
    let history = store.history(&name()).await.unwrap();
    let ended: Vec<_> = history.incidents.iter().map(|(_, ended)| *ended).collect();
    assert_eq!(ended, [Some(now()); 4]);
    assert_eq!(history.events.len(), 4, "each is in the audit once");
    assert_eq!(history.events[2].1["reason"], "reset", "oldest first");
    assert_eq!(history.signed_in_at(), None);
    assert_eq!(store.history(&other).await.unwrap(), History::default());
}
