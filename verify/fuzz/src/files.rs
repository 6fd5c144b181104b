//! Our own files, after anything has happened to them.

use std::path::PathBuf;

use authkeeper::{
    fuzz::{JournalFile, Kept, ReplyArchiveFolder},
    http::Reply,
    model::{Generation, Lineage, Moment},
    platform::clock::{Clock as _, ManualClock, Seams},
    refresh::decide::JournalState,
    secret::Secret,
    vault::seal::{AssociatedData, Sealer},
};
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;

const HERE: AssociatedData<'_> = AssociatedData {
    record: "g1",
    field: "refresh_token",
    generation: 4,
};

const BODY: &[u8] = br#"{"access_token":"a","refresh_token":"r"}"#;

fn sealer() -> Sealer {
    Sealer::new(Secret::new([7; 32]), Seams::system())
}

/// How a whole file is changed: pairs of a place (two bytes) and what is added to the byte there; a last odd byte cuts
/// the file to that share of it. Nothing changes nothing.
fn changed(whole: &[u8], how: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let (steps, rest) = how.as_chunks::<3>();
    for [high, low, add] in steps {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
        bytes[at] = bytes[at].wrapping_add(*add);
    }
    if let [share, ..] = rest {
        bytes.truncate(bytes.len() * usize::from(*share) / 256);
    }
    bytes
}

/// A sealed value opens as it was sealed, and after any change not at all.
pub fn seal(case: &[u8]) {
    let (plain, how) = case.split_at(case.len() / 2);
    let sealer = sealer();
    let sealed = sealer.seal(HERE, plain);
    assert_eq!(&sealer.open(HERE, &sealed).expect("whole")[..], plain);
    let other = changed(&sealed, how);
    assert_eq!(sealer.open(HERE, &other).is_ok(), *other == *sealed);
    assert!(sealer.open(HERE, case).is_err(), "nobody sealed this");
    let elsewhere = AssociatedData {
        generation: 5,
        ..HERE
    };
    assert!(sealer.open(elsewhere, &sealed).is_err());
}

fn issued() -> Moment {
    ManualClock::new().now()
}

fn answer() -> Kept {
    let reply = Reply {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: BODY.into(),
    };
    Kept::new(reply, issued())
}

fn is_the_answer(kept: &Kept) -> bool {
    kept.reply.body == BODY && kept.reply.status == StatusCode::OK && kept.issued == issued()
}

/// A folder, a file in it, and what it holds when it is whole.
struct Ground {
    folder: TempDir,
    whole: Vec<u8>,
}

thread_local! {
    static JOURNAL: Ground = journal_ground();
    static SHELF: Ground = shelf_ground();
}

fn journal_ground() -> Ground {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sealer = sealer();
    let file = JournalFile::new(folder.path(), "a1", &sealer);
    file.write(&answer()).expect("room");
    let mut whole = std::fs::read(file.path()).expect("it was written");
    // What follows the answer is room, and a file system may lose it.
    let used = whole
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap_or_default();
    whole.truncate(used + 1);
    Ground { folder, whole }
}

fn shelf_ground() -> Ground {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shelf = ReplyArchiveFolder::new(folder.path(), &sealer());
    let written = shelf.write("g1", (Lineage(1), Generation(2)), &answer());
    Ground {
        whole: written.expect("room"),
        folder,
    }
}

/// Both ways in which a file can be anything: changed here and there, or these bytes altogether.
fn versions(ground: &Ground, case: &[u8]) -> [Vec<u8>; 2] {
    [changed(&ground.whole, case), case.to_vec()]
}

fn write(path: &PathBuf, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("room");
}

/// A journal. The answer is the one that was kept or none, and one that is about to be sent is never called unsent.
pub fn journal(case: &[u8]) {
    JOURNAL.with(|ground| {
        let sealer = sealer();
        let file = JournalFile::new(ground.folder.path(), "a1", &sealer);
        for bytes in versions(ground, case) {
            write(&file.path(), &bytes);
            let (state, reply) = file.read();
            let settled = bytes.starts_with(b"settled.");
            assert_eq!(state == JournalState::Settled, settled && bytes.len() >= 8);
            assert_eq!(state == JournalState::Reply, reply.is_some() && !settled);
            assert!(reply.as_ref().is_none_or(is_the_answer), "a wrong answer");
            if bytes == ground.whole {
                assert!(reply.is_some(), "it is whole");
            }
            let unmarked = bytes.first() == Some(&0);
            assert!(state != JournalState::Intent || unmarked, "called unsent");
        }
    });
}

/// A shelved answer: the one that was kept, or none.
pub fn shelf(case: &[u8]) {
    SHELF.with(|ground| {
        let shelf = ReplyArchiveFolder::new(ground.folder.path(), &sealer());
        for bytes in versions(ground, case) {
            write(&shelf.path("g1"), &bytes);
            let read = shelf.read("g1");
            assert_eq!(read.is_some(), bytes == ground.whole);
            if let Some((at, kept)) = read {
                assert_eq!(at, (Lineage(1), Generation(2)));
                assert!(is_the_answer(&kept), "a wrong answer");
            }
        }
    });
}
