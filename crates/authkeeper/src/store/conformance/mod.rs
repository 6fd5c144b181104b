//! One suite that every store must pass, whatever it is made of. Each check gets a fresh store, or several handles of
//! one, as several processes have.
//!
//! A check that fails panics: this is test code, behind the feature `test-util`.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "checks panic, and compare the secrets they have made"
)]

mod kept;
mod sharing;

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::model::{
    AccessToken, Account, AttemptId, BootId, BootStamp, Claim, ClaimPhase, ClientAuthMethod,
    ClientId, ClientRegistration, ClientSecret, Connection, ConnectionName, Event, Failing,
    FailingOf, Generation, Grant, GrantId, GrantLifecycle, GrantMaterial, GrantType, IncidentId,
    Issuer, LifetimeSource, Lineage, Moment, Observation, ObservationKind, OwnerId, Presentation,
    PrincipalId, Provider, ProviderObservation, ReauthorizeReason, Record, RefreshToken,
    RegistrationSource, Rest, Said, Scope, ScopeRefusal, ServerMetadata, StepUps, SubjectBinding,
    SuspendReason, TaskId, TokenSet, UnknownKind,
};
use crate::store::{
    CarriedCall, Committed, FailingChange, History, NewIncident, NewKey, Obtained, PendingSignIn,
    Refreshed, SignedIn, Spend, Store,
};

/// Handles of one store, as two processes have them.
pub type Pair = (Arc<dyn Store>, Arc<dyn Store>);

/// Runs every check, each on a fresh store.
pub async fn run<F, Fut>(mut fresh: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Pair>,
{
    claims(&*fresh().await.0).await;
    taking_over_and_releasing(&*fresh().await.0).await;
    keeping_subjects(&*fresh().await.0).await;
    commits(&*fresh().await.0).await;
    held_commits(&*fresh().await.0).await;
    lasting_refusals(&*fresh().await.0).await;
    noticing(&*fresh().await.0).await;
    refusals(&*fresh().await.0).await;
    sign_ins(&*fresh().await.0).await;
    secrets_of_a_client(&*fresh().await.0).await;
    kept::run(&mut fresh).await;
    pending_sign_ins(&*fresh().await.0).await;
    sharing::run(&mut fresh).await;
    imported_grants(&*fresh().await.0).await;
    own_grants(&*fresh().await.0).await;
    keys(&*fresh().await.0).await;
    disconnecting(&*fresh().await.0).await;
    forgetting_spares_a_new_sign_in(&*fresh().await.0).await;
    incidents(&*fresh().await.0).await;
    amended_incidents(&*fresh().await.0).await;
    step_ups(&*fresh().await.0).await;
    failing(fresh().await).await;
    grants_whose_issuer_is_over(&*fresh().await.0).await;
    tasks_and_calls(&*fresh().await.0).await;
    runs(&*fresh().await.0).await;
    changes_are_seen(fresh().await).await;
    many_writers(fresh().await).await;
    racing_for_claims(fresh().await).await;
}

fn now() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap()
}

fn moment() -> Moment {
    let boot = BootStamp {
        id: BootId(7),
        since: Duration::from_mins(1),
    };
    Moment { wall: now(), boot }
}

fn name() -> ConnectionName {
    ConnectionName::parse("c").unwrap()
}

fn signed_in(name: &str, refresh: &str) -> SignedIn {
    let issuer = Issuer::new("https://as.example");
    let client_id = ClientId::new("client");
    let metadata: ServerMetadata =
        serde_json::from_value(serde_json::json!({"issuer": "https://as.example"})).unwrap();
    SignedIn {
        connection: Connection {
            name: ConnectionName::parse(name).unwrap(),
            principal: PrincipalId::local_user(),
            url: "https://mcp.example/".to_owned(),
            resource: None,
            issuer: issuer.clone(),
            issuer_given: false,
            internal: true,
            client_id: client_id.clone(),
            scope: None,
            provider: None,
            presentation: Presentation::default(),
            check_url: None,
            grant: None,
            created: now(),
        },
        client: Some((
            Provider {
                issuer: issuer.clone(),
                metadata,
            },
            ClientRegistration {
                secrets: vec![ClientSecret::new("client-secret".to_owned().into())],
                auth_method: ClientAuthMethod::Basic,
                grant_types: vec![GrantType::AuthorizationCode],
                ..ClientRegistration::new(issuer, client_id, RegistrationSource::Dynamic)
            },
        )),
        grant_type: GrantType::AuthorizationCode,
        lifecycle: GrantLifecycle::Active,
        grant_material: GrantMaterial::default(),
        rotate_by: None,
        at: now(),
        obtained: Obtained::Tokens(TokenSet {
            access_token: format!("access of {refresh}").into(),
            refresh_token: Some(RefreshToken {
                secret: refresh.to_owned().into(),
                expires_at: None,
            }),
            scope: Some(Scope::new("read")),
            issued: moment(),
            lifetime: Duration::from_hours(1),
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        }),
        after: Lineage(0),
        new_grant: GrantId::new(format!("grant-{name}-{refresh}")),
    }
}

async fn grant_of(store: &dyn Store) -> Grant {
    store.adopt_sign_in(signed_in("c", "r1")).await.unwrap()
}

async fn again(store: &dyn Store, grant: &Grant) -> Grant {
    store.grant(&grant.id).await.unwrap().unwrap()
}

fn spend(grant: &Grant) -> Spend {
    Spend {
        grant: grant.id.clone(),
        lineage: grant.lineage,
        generation: grant.generation,
    }
}

fn claim(attempt: &str) -> Claim {
    Claim {
        attempt: AttemptId::new(attempt),
        number: 1,
        owner: OwnerId::new("owner"),
        since: moment(),
        phase: ClaimPhase::Spending,
    }
}

fn refreshed(spend: &Spend, refresh: Option<&str>) -> Refreshed {
    let access = AccessToken {
        secret: "newer access".to_owned().into(),
        lineage: spend.lineage,
        generation: spend.generation.next(),
        issued: moment(),
        lifetime: Duration::from_hours(1),
        lifetime_source: LifetimeSource::ExpiresIn,
        refresh_in: None,
        scope: None,
        resource: None,
        after_rejection: false,
    };
    let refresh = refresh.map(|text| RefreshToken {
        secret: text.to_owned().into(),
        expires_at: Some(now()),
    });
    Refreshed {
        spend: spend.clone(),
        access,
        refresh,
        subject_binding: SubjectBinding::default(),
        hold: None,
    }
}

fn refresh_text(grant: &Grant) -> Option<&str> {
    grant
        .refresh
        .as_ref()
        .map(|token| token.secret.expose().as_str())
}

fn access_text(grant: &Grant) -> Option<&str> {
    grant
        .access
        .as_ref()
        .map(|token| token.secret.expose().as_str())
}

/// Only the current generation of the current lineage, active and unclaimed.
pub async fn claims(store: &dyn Store) {
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
pub async fn taking_over_and_releasing(store: &dyn Store) {
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

/// What came in the place of a token is kept by whoever claims it, or for as long as the token is the current one.
pub async fn keeping_subjects(store: &dyn Store) {
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
pub async fn commits(store: &dyn Store) {
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
pub async fn lasting_refusals(store: &dyn Store) {
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
pub async fn held_commits(store: &dyn Store) {
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
        "a sign-in starts anew"
    );
    assert_eq!(new.lifecycle, GrantLifecycle::Active);
}

/// Each thing is counted, and of each kind the newest few are kept.
pub async fn noticing(store: &dyn Store) {
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
async fn early_ends(store: &dyn Store) {
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

/// A refusal counts only from the attempt that holds the claim, and takes no token away.
pub async fn refusals(store: &dyn Store) {
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

/// A sign-in raises lineage and generation, clears the claim, and makes what is late stay late.
pub async fn sign_ins(store: &dyn Store) {
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
pub async fn disconnecting(store: &dyn Store) {
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
pub async fn forgetting_spares_a_new_sign_in(store: &dyn Store) {
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

fn incident(id: &str, lineage: u64, reason: &str) -> NewIncident {
    let record = Record {
        event: Event::Uncertain,
        connection: "c".to_owned(),
        principal: "local".to_owned(),
        task: None,
        reason: reason.to_owned(),
        detail: "detail".to_owned(),
        since: now(),
        expires_at: None,
        scope: None,
        action: "none".to_owned(),
        link: None,
        trace_id: id.to_owned(),
        ts: now(),
    };
    NewIncident {
        id: IncidentId::new(id),
        lineage: Lineage(lineage),
        record,
    }
}

/// An incident may be told otherwise while it is open; that its owner was told stays.
pub async fn amended_incidents(store: &dyn Store) {
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
pub async fn step_ups(store: &dyn Store) {
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

/// Failures are changed by compare-and-set, are seen by every process, and an incident is kept with the change or not at
/// all.
pub async fn failing((one, two): Pair) {
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

/// Only a sign-in mends a grant whose issuer is not taken any more; at another issuer it makes a new grant, and no number
/// of the connection is given out twice.
pub async fn grants_whose_issuer_is_over(store: &dyn Store) {
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

/// The same incident is kept once while it is open, and told once.
pub async fn incidents(store: &dyn Store) {
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

/// An epoch is raised by this process's commits before they are answered, and by those of others at the next look.
pub async fn changes_are_seen((one, two): Pair) {
    one.look().unwrap();
    let before = one.epoch().get();
    one.look().unwrap();
    assert_eq!(one.epoch().get(), before, "nothing was written");
    let mut last = before;
    for number in 0..20 {
        let id = format!("t{number}");
        let writer = if number % 2 == 0 { &two } else { &one };
        let kept = writer.keep_incident(incident(&id, number, "silence"));
        kept.await.unwrap();
        if number % 2 == 0 {
            one.look().unwrap();
        }
        assert!(one.epoch().get() > last, "{id} went unseen");
        last = one.epoch().get();
        // Its own commits are seen once more by the reader's number: that costs one reading and no more.
        one.look().unwrap();
        last = last.max(one.epoch().get());
    }
    let (used, reads) = (one.used(), one.used().reads());
    assert_eq!(used.commits(), 10);
    one.incidents().await.unwrap();
    assert_eq!(used.reads(), reads + 1);
}

/// Runs, who leads them, and the calls that failed in them.
pub async fn tasks_and_calls(store: &dyn Store) {
    let (one, two) = (TaskId::new("one"), TaskId::new("two"));
    store.begin_task(&one, "10:1", now()).await.unwrap();
    store.begin_task(&two, "20:1", now()).await.unwrap();
    let led = async |processes: &[&str]| {
        let processes: Vec<String> = processes.iter().map(ToString::to_string).collect();
        store.task_led_by(&processes).await.unwrap()
    };
    assert_eq!(
        led(&["99:1", "20:1", "10:1"]).await,
        Some(two.clone()),
        "the nearest first"
    );
    assert_eq!(led(&["99:1"]).await, None);
    store.end_task(&two, 0, now()).await.unwrap();
    assert_eq!(
        led(&["20:1", "10:1"]).await,
        Some(one.clone()),
        "an ended run leads nothing"
    );
    let call = |text: &str| CarriedCall {
        task: one.clone(),
        connection: name(),
        fingerprint: text.to_owned(),
    };
    store
        .call_failed(&call("x"), "rejected", now())
        .await
        .unwrap();
    store
        .call_failed(&call("x"), "rejected", now())
        .await
        .unwrap();
    store
        .call_failed(&call("y"), "rejected", now())
        .await
        .unwrap();
    let failed = store.unrecovered(&one).await.unwrap();
    assert_eq!(
        (failed.len(), failed[0].times, failed[0].first),
        (1, 3, now())
    );
    store.call_recovered(&call("x"), now()).await.unwrap();
    assert_eq!(store.unrecovered(&one).await.unwrap()[0].times, 1);
    store.call_recovered(&call("y"), now()).await.unwrap();
    assert!(store.unrecovered(&one).await.unwrap().is_empty());
    store
        .call_failed(&call("x"), "rejected", now())
        .await
        .unwrap();
    assert_eq!(
        store.unrecovered(&one).await.unwrap().len(),
        1,
        "failed again"
    );
    assert!(store.unrecovered(&two).await.unwrap().is_empty());
}

/// Thirty-two writers at once: every write is there afterwards.
pub async fn runs(store: &dyn Store) {
    assert_eq!(store.longest_run().await.unwrap(), None);
    for (id, seconds) in [("a", 5), ("b", 9), ("c", 2)] {
        let task = TaskId::new(id);
        store.begin_task(&task, id, now()).await.unwrap();
        let ended = now().saturating_add(Duration::from_secs(seconds)).unwrap();
        store.end_task(&task, 0, ended).await.unwrap();
    }
    store
        .begin_task(&TaskId::new("d"), "d", now())
        .await
        .unwrap();
    let longest = store.longest_run().await.unwrap();
    assert_eq!(longest, Some(Duration::from_secs(9)));
}

async fn many_writers((one, two): Pair) {
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
pub async fn racing_for_claims((one, two): Pair) {
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

async fn secrets_of_a_client(store: &dyn Store) {
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
    // A sign-in takes nothing away; a secret that is kept anew goes in front, and a refusal stays with its secret.
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

async fn pending_sign_ins(store: &dyn Store) {
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

async fn imported_grants(store: &dyn Store) {
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
async fn own_grants(store: &dyn Store) {
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

async fn keys(store: &dyn Store) {
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
