use std::{fs::OpenOptions, os::unix::fs::FileExt as _};

use super::*;
use crate::{
    platform::clock::{Clock as _, ManualClock, Seams},
    secret::Secret,
};

fn claim() -> (Spend, Claim) {
    let spend = Spend {
        grant: GrantId::new("g"),
        lineage: Lineage(2),
        generation: Generation(7),
    };
    let claim = Claim {
        attempt: AttemptId::new("a1"),
        number: 3,
        owner: OwnerId::new("me"),
        since: ManualClock::new().now(),
        phase: ClaimPhase::Spending,
    };
    (spend, claim)
}

fn on_disk(folder: &tempfile::TempDir) -> Folder {
    Folder::on_disk(folder.path().to_owned())
}

fn prepared(folder: &tempfile::TempDir) -> Journal {
    let (spend, claim) = claim();
    Journal::prepare(&on_disk(folder), (&spend, &claim), Reach::Anywhere).unwrap()
}

#[test]
fn a_journal_names_what_it_spends_and_under_which_claim() {
    let folder = tempfile::tempdir().unwrap();
    let journal = prepared(&folder);
    assert_eq!(journal.on_behalf_of(), Some(claim()));
    let (mut longer, other) = claim();
    longer.grant = GrantId::new("g2");
    Journal::prepare(&on_disk(&folder), (&longer, &other), Reach::PublicOnly).unwrap();
    let found = Journal::all_of(&on_disk(&folder), &claim().0.grant);
    let on_behalf_of: Vec<_> = found.iter().map(Journal::on_behalf_of).collect();
    assert_eq!(on_behalf_of, [Some(claim())]);
    assert_eq!(journal.reach(), Reach::Anywhere);
    let other = Journal::all_of(&on_disk(&folder), &longer.grant);
    assert_eq!(other[0].reach(), Reach::PublicOnly);
    assert_eq!(Journal::all(&on_disk(&folder)).len(), 2);
    journal.file.write_at(b"}", WHOSE_AT).unwrap();
    assert_eq!(found[0].on_behalf_of(), None);
}

#[test]
fn headers_that_are_read_later_are_kept_unless_they_are_endless() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
    let journal = prepared(&folder);
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    let endless = "d".repeat(HEADER_LIMIT + 1);
    headers.insert(header::DATE, HeaderValue::try_from(endless).unwrap());
    let kept = StoredReply {
        reply: Reply {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers,
            body: "".into(),
        },
        issued: ManualClock::new().now(),
        after_rejection: false,
    };
    journal.keep_reply(&sealer, &kept).unwrap();
    let read = journal.reply(&sealer).unwrap().reply.headers;
    assert_eq!(read.get(header::RETRY_AFTER).unwrap(), "60");
    assert_eq!(read.get(header::DATE), None);
}

#[test]
fn room_for_an_answer_is_tried_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    has_room(&on_disk(&folder), "try").unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let gone = Folder::on_disk(folder.path().join("gone"));
    has_room(&gone, "try").unwrap_err();
}

/// A whole reply in base64 takes four bytes for three; what is sealed takes a little more.
#[test]
fn a_journal_has_room_for_the_largest_answer_and_no_more_than_twice_that() {
    let folder = tempfile::tempdir().unwrap();
    prepared(&folder);
    let size = std::fs::metadata(folder.path().join("g.a1")).unwrap().len();
    let largest = REPLY_LIMIT as u64;
    assert!(size > largest * 4 / 3 && size < largest * 2, "{size}");
}

#[test]
fn what_is_settled_or_says_nothing_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
    let journal = prepared(&folder);
    journal.mark_sending().unwrap();
    let kept = StoredReply {
        reply: Reply {
            status: StatusCode::BAD_GATEWAY,
            headers: HeaderMap::new(),
            body: "oops".into(),
        },
        issued: ManualClock::new().now(),
        after_rejection: false,
    };
    journal.keep_reply(&sealer, &kept).unwrap();
    assert_eq!(journal.state(&sealer), JournalState::Reply);
    journal.drop_reply();
    assert_eq!(journal.state(&sealer), JournalState::Sending);
    journal.keep_reply(&sealer, &kept).unwrap();
    journal.settle();
    assert_eq!(journal.state(&sealer), JournalState::Settled);
}

#[test]
fn a_journal_tells_how_far_an_attempt_came() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
    let (grant, attempt) = (GrantId::new("g"), AttemptId::new("a1"));
    assert!(Journal::open(&on_disk(&folder), &grant, &attempt).is_none());
    let journal = prepared(&folder);
    let other = Journal::open(&on_disk(&folder), &grant, &attempt).unwrap();
    assert_eq!(other.state(&sealer), JournalState::Intent);
    journal.mark_sending().unwrap();
    assert_eq!(other.state(&sealer), JournalState::Sending);
    let reply = Reply {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: r#"{"access_token":"very-secret-token"}"#.into(),
    };
    let issued = ManualClock::new().now();
    let kept = StoredReply {
        reply: reply.clone(),
        issued,
        after_rejection: true,
    };
    journal.keep_reply(&sealer, &kept).unwrap();
    assert_eq!(other.state(&sealer), JournalState::Reply);
    let stored = other.reply(&sealer).unwrap();
    assert_eq!((stored.reply.body, stored.issued), (reply.body, issued));
    assert!(stored.after_rejection);
    let raw = std::fs::read(folder.path().join("g.a1")).unwrap();
    let encoded = STANDARD.encode(&kept.reply.body);
    for shown in ["very-secret-token", encoded.as_str()] {
        let shown = &shown.as_bytes()[..10];
        assert!(!raw.windows(10).any(|window| window == shown), "sealed");
    }
    // Torn in the middle: what is not whole is no answer.
    raw_damage(folder.path());
    assert_eq!(other.state(&sealer), JournalState::Sending);
}

#[test]
fn a_mark_that_is_damaged_does_not_say_that_nothing_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(Secret::new([3; 32]), Seams::system());
    let journal = prepared(&folder);
    journal.file.write_at(&[3], PHASE_AT).unwrap();
    assert_eq!(journal.state(&sealer), JournalState::Sending);
}

fn raw_damage(folder: &Path) {
    let file = OpenOptions::new()
        .write(true)
        .open(folder.join("g.a1"))
        .unwrap();
    file.write_all_at(&[0; 32], REPLY_AT + 40).unwrap();
}
