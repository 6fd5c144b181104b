use std::time::Duration;

use super::*;
use crate::model::{
    AccessToken, BootId, BootStamp, ClaimPhase, ClientId, GrantType, Issuer, LifetimeSource,
    OwnerId,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

fn moment(seconds: i64) -> Moment {
    let boot = BootStamp {
        id: BootId(1),
        since: Duration::from_mins(1),
    };
    let wall = at(seconds);
    Moment { wall, boot }
}

fn token(text: &str) -> RefreshToken {
    RefreshToken {
        secret: text.to_owned().into(),
        expires_at: None,
    }
}

fn access(generation: u64) -> AccessToken {
    AccessToken {
        secret: format!("access {generation}").into(),
        lineage: Lineage(1),
        generation: Generation(generation),
        issued: moment(0),
        lifetime: Duration::from_hours(1),
        lifetime_source: LifetimeSource::ExpiresIn,
        refresh_in: None,
        scope: None,
        resource: None,
        after_rejection: false,
    }
}

/// Lineage 1, generation 3, active, unclaimed.
fn record() -> GrantRecord {
    GrantRecord::new(Grant {
        id: GrantId::new("g"),
        issuer: Issuer::new("https://as.example"),
        client_id: ClientId::new("c"),
        grant_type: GrantType::AuthorizationCode,
        lineage: Lineage(1),
        generation: Generation(3),
        lifecycle: GrantLifecycle::Active,
        claim: None,
        refresh: Some(token("r3")),
        access: Some(access(3)),
        standby: None,
        rotate_by: None,
        probed: None,
        subject_binding: SubjectBinding::default(),
        grant_material: GrantMaterial::default(),
    })
}

fn in_lifecycle(lifecycle: GrantLifecycle) -> GrantRecord {
    let mut record = record();
    record.grant.lifecycle = lifecycle;
    record
}

fn claimed(phase: ClaimPhase) -> GrantRecord {
    let mut record = record();
    record.grant.claim = Some(Claim {
        phase,
        ..claim("a")
    });
    record
}

fn lost() -> ClaimPhase {
    ClaimPhase::Unknown {
        kind: UnknownKind::Reset,
        since: moment(1),
    }
}

fn quarantine() -> GrantLifecycle {
    GrantLifecycle::ReauthorizationRequired {
        reason: ReauthorizeReason::RefreshRefused,
        since: at(0),
    }
}

fn suspended(reason: SuspendReason) -> GrantLifecycle {
    let since = at(0);
    GrantLifecycle::Suspended { reason, since }
}

fn revoked() -> GrantLifecycle {
    GrantLifecycle::Revoked { since: at(0) }
}

fn spend(lineage: u64, generation: u64) -> Spend {
    Spend {
        grant: GrantId::new("g"),
        lineage: Lineage(lineage),
        generation: Generation(generation),
    }
}

fn current() -> Spend {
    spend(1, 3)
}

fn claim(attempt: &str) -> Claim {
    Claim {
        attempt: AttemptId::new(attempt),
        number: 1,
        owner: OwnerId::new("o"),
        since: moment(0),
        phase: ClaimPhase::Spending,
    }
}

fn attempt() -> AttemptId {
    AttemptId::new("a")
}

fn refreshed(spend: Spend, refresh: Option<&str>) -> GrantChange {
    GrantChange::Commit(Box::new(Refreshed {
        access: access(spend.generation.next().0),
        spend,
        refresh: refresh.map(token),
        subject_binding: SubjectBinding::default(),
        hold: None,
    }))
}

fn refresh_text(record: &GrantRecord) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the test made it")]
    let text = record
        .grant
        .refresh
        .as_ref()
        .map(|token| token.secret.expose().clone());
    text
}

#[test]
fn one_generation_is_claimed_once_and_only_as_it_was_read() {
    let change = GrantChange::Claim(current(), claim("a"));
    let after = change.applied_to(&record()).unwrap();
    assert_eq!(after.grant.claim, Some(claim("a")));
    assert!(change.applied_to(&after).is_none(), "claimed already");
    for stale in [spend(1, 2), spend(1, 4), spend(2, 3), spend(0, 3)] {
        let change = GrantChange::Claim(stale.clone(), claim("a"));
        assert!(change.applied_to(&record()).is_none(), "{stale:?}");
    }
    for lifecycle in [quarantine(), suspended(SuspendReason::Manual), revoked()] {
        let held = in_lifecycle(lifecycle.clone());
        assert!(change.applied_to(&held).is_none(), "{lifecycle:?}");
    }
}

#[test]
fn what_has_no_refresh_token_is_claimed_only_if_it_is_issued_again() {
    let change = GrantChange::Claim(current(), claim("a"));
    for (grant_type, may) in [
        (GrantType::AuthorizationCode, false),
        (GrantType::DeviceCode, false),
        (GrantType::ApiKey, false),
        (GrantType::ClientCredentials, true),
        (GrantType::JwtBearer, true),
        (GrantType::IdJag, true),
    ] {
        let mut held = record();
        held.grant.refresh = None;
        held.grant.grant_type = grant_type;
        assert_eq!(change.applied_to(&held).is_some(), may, "{grant_type:?}");
    }
}

#[test]
fn only_what_is_in_quarantine_is_probed() {
    let change = GrantChange::Probe(current(), claim("a"), at(9));
    let after = change.applied_to(&in_lifecycle(quarantine())).unwrap();
    assert_eq!(after.grant.probed, Some(at(9)));
    assert_eq!(after.grant.lifecycle, quarantine());
    for lifecycle in [
        GrantLifecycle::Active,
        suspended(SuspendReason::Manual),
        revoked(),
    ] {
        let held = in_lifecycle(lifecycle.clone());
        assert!(change.applied_to(&held).is_none(), "{lifecycle:?}");
    }
}

#[test]
fn an_attempt_of_unknown_outcome_is_taken_over_by_one_successor() {
    let next = Claim {
        number: 2,
        ..claim("b")
    };
    let change = GrantChange::TakeOver(current(), attempt(), next.clone());
    let after = change.applied_to(&claimed(lost())).unwrap();
    assert_eq!(after.grant.claim, Some(next));
    assert!(
        change.applied_to(&after).is_none(),
        "another one was quicker"
    );
    assert!(change.applied_to(&record()).is_none(), "nobody holds it");
    let spending = claimed(ClaimPhase::Spending);
    assert!(change.applied_to(&spending).is_none(), "it is at it");
    let mut refused = claimed(lost());
    refused.grant.lifecycle = quarantine();
    assert!(change.applied_to(&refused).is_none());
}

#[test]
fn a_claim_is_given_back_or_lost_by_its_own_attempt_while_it_spends() {
    let release = GrantChange::Release(attempt());
    let lose = GrantChange::MarkUnknown(attempt(), UnknownKind::Reset, moment(1));
    let spending = claimed(ClaimPhase::Spending);
    assert!(release.applied_to(&spending).unwrap().grant.claim.is_none());
    let after = lose.applied_to(&spending).unwrap();
    assert_eq!(after.grant.claim.unwrap().phase, lost());
    for change in [release, lose] {
        assert!(change.applied_to(&claimed(lost())).is_none());
        assert!(change.applied_to(&record()).is_none());
    }
    let other = GrantChange::Release(AttemptId::new("b"));
    assert!(other.applied_to(&spending).is_none());
}

#[test]
fn a_commit_raises_the_generation_and_ends_claim_quarantine_and_suspicion() {
    let mut held = claimed(lost());
    held.grant.lifecycle = quarantine();
    held.grant.probed = Some(at(1));
    held.suspects = 2;
    held = GrantChange::NoteRefusal("no".to_owned(), moment(0))
        .applied_to(&held)
        .unwrap();
    let after = refreshed(current(), Some("r4")).applied_to(&held).unwrap();
    assert_eq!(after.grant.generation, Generation(4));
    assert_eq!(after.grant.lifecycle, GrantLifecycle::Active);
    assert_eq!(refresh_text(&after).as_deref(), Some("r4"));
    assert_eq!(after.grant.access.unwrap().generation, Generation(4));
    assert!(after.grant.claim.is_none() && after.grant.probed.is_none());
    assert_eq!((after.suspects, after.refused), (0, None));
}

#[test]
fn a_commit_without_a_refresh_token_keeps_the_old_one() {
    let after = refreshed(current(), None).applied_to(&record()).unwrap();
    assert_eq!(refresh_text(&after).as_deref(), Some("r3"));
}

#[test]
fn a_commit_changes_nothing_of_another_generation_nor_of_a_revoked_grant() {
    let late = GrantChanged {
        applied: false,
        record: Some(record()),
    };
    assert!(refreshed(spend(1, 2), None).applied_to(&record()).is_none());
    assert_eq!(late.committed(), Committed::Superseded);
    let gone = in_lifecycle(revoked());
    assert!(refreshed(current(), None).applied_to(&gone).is_none());
    let late = GrantChanged {
        applied: false,
        record: Some(gone),
    };
    assert_eq!(late.committed(), Committed::Revoked);
}

#[test]
fn a_suspension_is_left_by_no_commit_and_entered_by_one_that_holds() {
    let held = in_lifecycle(suspended(SuspendReason::Manual));
    let after = refreshed(current(), None).applied_to(&held).unwrap();
    assert_eq!(after.grant.lifecycle, suspended(SuspendReason::Manual));
    assert_eq!(after.grant.generation, Generation(4), "its tokens are kept");
    let GrantChange::Commit(mut holds) = refreshed(current(), None) else {
        unreachable!()
    };
    holds.hold = Some((SuspendReason::OtherAccount, at(0)));
    let after = GrantChange::Commit(holds).applied_to(&record()).unwrap();
    assert_eq!(
        after.grant.lifecycle,
        suspended(SuspendReason::OtherAccount)
    );
}

#[test]
fn a_refusal_counts_only_from_the_attempt_that_holds_the_claim() {
    let reason = ReauthorizeReason::RefreshRefused;
    let refuse = |spend| GrantChange::Refuse(spend, attempt(), reason, at(0));
    let held = claimed(ClaimPhase::Spending);
    let after = refuse(current()).applied_to(&held).unwrap();
    assert_eq!(after.grant.lifecycle, quarantine());
    assert!(after.grant.claim.is_none() && after.grant.refresh.is_some());
    assert!(refuse(spend(1, 2)).applied_to(&held).is_none());
    assert!(refuse(current()).applied_to(&record()).is_none());
    let mut suspended_now = held;
    suspended_now.grant.lifecycle = suspended(SuspendReason::Manual);
    assert!(refuse(current()).applied_to(&suspended_now).is_none());
}

#[test]
fn a_person_is_asked_only_while_nobody_is_at_it_and_the_sign_in_is_the_same() {
    let reason = ReauthorizeReason::RefreshRefused;
    let require = |lineage| GrantChange::RequireSignIn(Lineage(lineage), reason, at(0));
    let after = require(1).applied_to(&record()).unwrap();
    assert_eq!(after.grant.lifecycle, quarantine());
    assert!(require(2).applied_to(&record()).is_none());
    assert!(
        require(1)
            .applied_to(&claimed(ClaimPhase::Spending))
            .is_none()
    );
    assert!(require(1).applied_to(&in_lifecycle(revoked())).is_none());
}

#[test]
fn a_subject_token_is_kept_by_the_claim_or_in_the_place_of_the_one_that_was_shown() {
    let keep = |by: &str, shown: &str| GrantChange::KeepSubject {
        spend: current(),
        attempt: AttemptId::new(by),
        shown: shown.to_owned().into(),
        refresh: token("new"),
    };
    let after = keep("a", "old").applied_to(&claimed(lost())).unwrap();
    assert_eq!(
        after.grant.claim.as_ref().unwrap().phase,
        ClaimPhase::Spending
    );
    assert_eq!(refresh_text(&after).as_deref(), Some("new"));
    let after = keep("b", "r3").applied_to(&claimed(lost())).unwrap();
    assert_eq!(
        after.grant.claim.unwrap().phase,
        lost(),
        "not its own claim"
    );
    assert!(keep("b", "old").applied_to(&claimed(lost())).is_none());
    assert!(
        keep("a", "r3")
            .applied_to(&in_lifecycle(revoked()))
            .is_none()
    );
}

fn key_record() -> GrantRecord {
    let mut held = record();
    held.grant.grant_type = GrantType::ApiKey;
    held.grant.refresh = None;
    held
}

fn new_key() -> NewKey {
    NewKey {
        secret: "new key".to_owned().into(),
        at: moment(10),
        rotate_by: Some(at(99)),
        overlap_until: at(1_000),
    }
}

#[test]
fn a_key_that_is_refused_gives_way_to_the_one_before_it_once() {
    let replaced = GrantChange::ReplaceKey(Generation(3), new_key());
    let after = replaced.applied_to(&key_record()).unwrap();
    assert_eq!(after.grant.generation, Generation(4));
    assert_eq!(after.grant.rotate_by, Some(at(99)));
    assert_eq!(
        after.grant.standby.as_ref().unwrap().generation,
        Generation(3)
    );
    assert!(
        replaced.applied_to(&after).is_none(),
        "another one is current"
    );
    assert!(replaced.applied_to(&record()).is_none(), "no key");

    let back = GrantChange::FallBack(Generation(4), moment(20));
    let back = back.applied_to(&after).unwrap();
    assert_eq!(back.grant.generation, Generation(5));
    let standby = back.grant.standby.as_ref().unwrap();
    assert_eq!(
        (standby.generation, standby.refused),
        (Generation(4), Some(at(20)))
    );
    let at_once = GrantChange::FallBack(Generation(5), moment(30));
    assert!(at_once.applied_to(&back).is_none(), "it was just refused");
    let late = GrantChange::FallBack(Generation(4), moment(1_000));
    assert!(late.applied_to(&after).is_none(), "the overlap is over");
}

#[test]
fn a_disconnected_grant_is_wiped_and_no_other() {
    assert!(GrantChange::Wipe.applied_to(&record()).is_none());
    let gone = GrantChange::Revoke(at(5)).applied_to(&record()).unwrap();
    assert!(
        gone.grant.refresh.is_some(),
        "to be revoked at the provider"
    );
    assert!(GrantChange::Revoke(at(6)).applied_to(&gone).is_none());
    let wiped = GrantChange::Wipe.applied_to(&gone).unwrap();
    assert!(wiped.grant.refresh.is_none() && wiped.grant.access.is_none());
    assert_eq!(
        wiped.grant.lifecycle,
        GrantLifecycle::Revoked { since: at(5) }
    );
}

#[test]
fn a_sole_copy_is_confirmed_of_an_import_alone() {
    let confirm = GrantChange::ConfirmSoleCopy(at(1));
    let after = confirm
        .applied_to(&in_lifecycle(suspended(SuspendReason::SecondCopy)))
        .unwrap();
    assert_eq!(after.grant.lifecycle, GrantLifecycle::Active);
    for lifecycle in [
        GrantLifecycle::Active,
        suspended(SuspendReason::Manual),
        quarantine(),
        revoked(),
    ] {
        let held = in_lifecycle(lifecycle.clone());
        assert!(confirm.applied_to(&held).is_none(), "{lifecycle:?}");
    }
}

#[test]
fn a_refusal_is_dated_from_when_its_words_came_first() {
    let note = |words: &str, seconds| GrantChange::NoteRefusal(words.to_owned(), moment(seconds));
    let once = note("no", 1).applied_to(&record()).unwrap();
    let again = note("no", 2).applied_to(&once).unwrap();
    assert_eq!(again.refused.as_ref().unwrap().since, moment(1));
    let other = note("never", 3).applied_to(&again).unwrap();
    assert_eq!(other.refused.unwrap().since, moment(3));
}

#[test]
fn an_access_token_is_retired_by_its_generation() {
    let retire = |generation| GrantChange::RetireAccess(Generation(generation));
    assert!(
        retire(3)
            .applied_to(&record())
            .unwrap()
            .grant
            .access
            .is_none()
    );
    assert!(retire(2).applied_to(&record()).is_none());
}

#[test]
fn what_a_person_did_is_told_to_the_audit() {
    let told = |change: GrantChange, held: &GrantRecord| {
        let after = change.applied_to(held).unwrap();
        let (at, event) = change.audit(&after.grant)?;
        Some((at, event["event"].as_str().unwrap().to_owned()))
    };
    let replaced = GrantChange::ReplaceKey(Generation(3), new_key());
    let after = replaced.applied_to(&key_record()).unwrap();
    let expected = Some((at(10), "key_replaced".to_owned()));
    assert_eq!(told(replaced, &key_record()), expected);
    let back = GrantChange::FallBack(Generation(4), moment(20));
    assert_eq!(
        told(back, &after),
        Some((at(20), "key_fell_back".to_owned()))
    );
    let imported = in_lifecycle(suspended(SuspendReason::SecondCopy));
    let confirmed = GrantChange::ConfirmSoleCopy(at(7));
    let expected = Some((at(7), "sole_copy_confirmed".to_owned()));
    assert_eq!(told(confirmed, &imported), expected);
    assert_eq!(told(GrantChange::CountSuspect, &record()), None);
}
