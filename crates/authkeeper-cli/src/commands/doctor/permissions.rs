//! The files: who owns them, who may read them, on which file system they lie; and that the store was not rolled back.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use authkeeper::{
    platform::filesystem::{self, Locality},
    refresh::decision_log::PastDecision,
};
use jiff::Timestamp;

use super::finding::Finding;
use crate::{
    exit::Exit,
    output::{count, span},
    settings::CliSettings,
};

/// A file or folder that only its owner may enter.
#[derive(Clone, Debug)]
pub(super) struct CheckedPath {
    what: &'static str,
    path: PathBuf,
    /// The mode it should have.
    wanted: u32,
    mode: u32,
    owner: u32,
    device: u64,
}

/// Reads owner and mode of the store, its key and the files beside them. Runs before the store is opened, since opening
/// corrects the modes.
pub(super) fn look(settings: &CliSettings) -> Vec<CheckedPath> {
    let data = &settings.runtime.data;
    let look = |(what, path, wanted): (&'static str, PathBuf, u32)| {
        let metadata = std::fs::metadata(&path).ok()?;
        Some(CheckedPath {
            what,
            path,
            wanted,
            mode: metadata.mode() & 0o777,
            owner: metadata.uid(),
            device: metadata.dev(),
        })
    };
    let all = [
        ("the data folder", data.clone(), 0o700),
        ("the store", settings.runtime.store.clone(), 0o600),
        ("the key", settings.runtime.key.clone(), 0o600),
        ("the journals' folder", data.join("spill"), 0o700),
        ("the owners' folder", data.join("owners"), 0o700),
        ("the decision log's folder", data.join("decisions"), 0o700),
    ];
    all.into_iter().filter_map(look).collect()
}

/// A copy of a store has a second spender somewhere.
pub(super) fn home(copied: bool) -> Finding {
    if !copied {
        return Finding::ok("home", "the store is where it was made, and no copy");
    }
    let what = "the store was copied here; it serves what lives and refreshes nothing, for the other copy may spend the \
                same refresh tokens";
    let fix = "make sure that no other copy is used, then authkeeper doctor --adopt";
    Finding::error("home", Exit::Config, what, fix)
}

/// A key that is to go and did not yet is one more that opens all.
pub(super) fn key(changing: bool) -> Finding {
    if !changing {
        return Finding::ok("key", "one key seals and opens everything");
    }
    let what = "a rotation of the key is not over: the key file holds the old key beside the new one, and something may be \
                sealed with it";
    Finding::warning("key", what, "authkeeper rotate-key goes on with it")
}

/// Nobody but this user may read any of it.
pub(super) fn permissions(places: &[CheckedPath], me: u32) -> Vec<Finding> {
    let mut findings: Vec<Finding> = places
        .iter()
        .filter_map(|place| exposed(place, me))
        .collect();
    if findings.is_empty() && !places.is_empty() {
        let what = "store, key and journals are this user's alone";
        findings.push(Finding::ok("permissions", what));
    }
    findings
}

fn exposed(place: &CheckedPath, me: u32) -> Option<Finding> {
    let CheckedPath {
        what,
        path,
        wanted,
        mode,
        owner,
        ..
    } = place;
    let path = path.display();
    if owner != &me {
        let what = format!("{what} {path} belongs to user {owner}, and this is user {me}");
        let fix = format!("run authkeeper as its owner, or chown {me} {path}");
        return Some(Finding::error("permissions", Exit::Config, what, fix));
    }
    if mode & 0o077 != 0 {
        let what = format!("{what} {path} is open to others (mode {mode:04o})");
        let fix = format!(
            "chmod {wanted:o} {path}; if somebody else may have read store and key, reauthorize each connection"
        );
        return Some(Finding::error("permissions", Exit::Config, what, fix));
    }
    None
}

/// Whether a copy of one takes the other along.
pub(super) fn together(places: &[CheckedPath]) -> Option<Finding> {
    let device = |what: &str| Some(places.iter().find(|place| place.what == what)?.device);
    let together = device("the store")? == device("the key")?;
    together.then(|| {
        let what = "store and key lie on the same file system: a copy of it opens what it holds";
        Finding::note("file_system", what)
            .with_fix("put the key elsewhere and name it in AUTHKEEPER_KEY_FILE, or guard the backups like passwords")
    })
}

/// Locks and write-ahead logs do not work as they must across a network: such a store is not even opened.
pub(super) fn file_system(path: &Path) -> Option<Finding> {
    placed(&filesystem::of(path), path)
}

fn placed(lies: &Locality, path: &Path) -> Option<Finding> {
    let path = path.display();
    match lies {
        Locality::Here => None,
        Locality::Remote(kind) => {
            let what = format!("{path} is on a network file system ({kind})");
            let fix = "keep it on a local disk (AUTHKEEPER_STORE, XDG_DATA_HOME): locks across a network fail, and a \
                        grant is lost by it";
            Some(Finding::error("file_system", Exit::Config, what, fix))
        }
        Locality::Unclear(kind) => {
            let what = format!("{path} is on {kind}, which another machine may share");
            let fix = "see to it that nothing outside this machine opens it, or keep it on a local disk (AUTHKEEPER_STORE)";
            Some(Finding::warning("file_system", what, fix))
        }
    }
}

/// What the store says of one connection's grant.
#[derive(Clone, Debug)]
pub(super) struct StoredGrant {
    pub(super) name: String,
    /// When its grant was given. What the log says of a grant before that is not about this one.
    pub(super) since: Timestamp,
    pub(super) lineage: u64,
    pub(super) generation: u64,
}

/// The decision log lies outside the store: what it saw refreshed, the store must know, or it is an old copy. The
/// refresh token in an old copy is spent: to show it again can cost the grant.
pub(super) fn rolled_back(log: &[PastDecision], connections: &[StoredGrant]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = connections
        .iter()
        .filter_map(|one| older(log, one))
        .collect();
    if findings.is_empty() {
        let what = "the store is as new as the decision log";
        findings.push(Finding::ok("rollback", what));
    }
    findings
}

fn older(log: &[PastDecision], known: &StoredGrant) -> Option<Finding> {
    let newest = log
        .iter()
        .filter(|line| line.connection == known.name && line.ts >= known.since)
        .max_by_key(|line| line.proves())?;
    let (lineage, generation) = newest.proves();
    if (lineage, generation) <= (known.lineage, known.generation) {
        return None;
    }
    let StoredGrant {
        name,
        generation: stored,
        ..
    } = known;
    let what = format!(
        "the store is an old copy: it holds generation {stored} of this grant, and generation {generation} was refreshed at {}",
        newest.ts
    );
    let fix = format!(
        "run nothing that uses it: a spent refresh token can cost the grant. Put the newer store back, or authkeeper \
         reauthorize {name}"
    );
    Some(Finding::error("rollback", Exit::Store, what, fix).of(name))
}

/// Journals that no claim names: the next refresh of their grant reads them and clears them away. `claims` are the ends of
/// the names of those that one does name.
pub(super) fn leftovers(journals: &[(String, u64)], claims: &[String]) -> Option<Finding> {
    let named = |name: &str| claims.iter().any(|claim| name.ends_with(claim.as_str()));
    let orphaned = |(name, age): &&(String, u64)| *age > 3600 && !named(name);
    let orphans: Vec<&(String, u64)> = journals.iter().filter(orphaned).collect();
    let oldest = orphans.iter().map(|(_, age)| *age).max()?;
    let what = format!(
        "{} of attempts that no claim names any more, the oldest of {} ago",
        count(orphans.len(), "journal"),
        span(oldest)
    );
    let fix = "the next refresh of each of their grants reads them and clears them away; once every connection works, what \
                is still there may be removed from spill/";
    Some(Finding::note("leftovers", what).with_fix(fix))
}

/// The journals with their ages in seconds.
pub(super) fn journals(data: &Path, now: Timestamp) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(data.join("spill"));
    let age = |entry: std::fs::DirEntry| {
        let changed = entry.metadata().ok()?.mtime();
        let age = u64::try_from(now.as_second() - changed).unwrap_or_default();
        Some((entry.file_name().into_string().ok()?, age))
    };
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(age)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(what: &'static str, mode: u32, owner: u32, device: u64) -> CheckedPath {
        let path = PathBuf::from("/nowhere/x");
        CheckedPath {
            what,
            path,
            wanted: 0o600,
            mode,
            owner,
            device,
        }
    }

    #[test]
    fn what_others_may_read_or_own_is_an_error() {
        let fine = place("the store", 0o600, 7, 1);
        let ok = permissions(std::slice::from_ref(&fine), 7);
        assert_eq!(ok[0].exit, None);
        let open = permissions(&[fine.clone(), place("the key", 0o640, 7, 1)], 7);
        assert_eq!((open.len(), open[0].exit), (1, Some(Exit::Config)));
        assert!(
            open[0]
                .fix
                .as_ref()
                .unwrap()
                .starts_with("chmod 600 /nowhere/x")
        );
        let foreign = permissions(&[fine], 8);
        assert!(foreign[0].what.contains("belongs to user 7"), "{foreign:?}");
    }

    #[test]
    fn a_key_beside_its_store_is_noted() {
        let at = |device| {
            [
                place("the store", 0o600, 7, 1),
                place("the key", 0o600, 7, device),
            ]
        };
        assert!(together(&at(1)).is_some());
        assert!(together(&at(2)).is_none());
        assert!(together(&at(1)[..1]).is_none());
    }

    #[test]
    fn a_network_is_an_error_and_what_can_not_be_told_a_warning() {
        let found = |lies| placed(&lies, Path::new("/nowhere"));
        assert_eq!(found(Locality::Here), None);
        let remote = found(Locality::Remote("NFS".to_owned())).unwrap();
        assert_eq!(remote.exit, Some(Exit::Config));
        assert!(remote.what.contains("NFS"), "{remote:?}");
        let unclear = found(Locality::Unclear("virtiofs".to_owned())).unwrap();
        assert_eq!(unclear.exit, None);
    }

    fn line(second: i64, generation: u64, decision: &str, outcome: &str) -> PastDecision {
        let ts = Timestamp::from_second(second).unwrap();
        let line = json!({
            "ts": ts, "connection": "notion", "lineage": 1, "generation": generation,
            "decision": decision, "outcome": outcome,
        });
        serde_json::from_value(line).unwrap()
    }

    fn known(since: i64, lineage: u64, generation: u64) -> StoredGrant {
        let since = Timestamp::from_second(since).unwrap();
        StoredGrant {
            name: "notion".to_owned(),
            since,
            lineage,
            generation,
        }
    }

    #[test]
    fn a_store_older_than_the_log_is_an_old_copy() {
        let log = [
            line(10, 1, "refresh", "fresh"),
            line(20, 2, "refresh", "fresh"),
            line(30, 3, "refresh", "uncertain"),
        ];
        let found = |known: StoredGrant| rolled_back(&log, &[known])[0].exit;
        assert_eq!(found(known(0, 1, 3)), None);
        assert_eq!(found(known(0, 1, 4)), None, "it may be newer");
        assert_eq!(found(known(0, 1, 2)), Some(Exit::Store));
        assert_eq!(found(known(0, 2, 2)), None, "a later sign-in");
        assert_eq!(
            found(known(40, 1, 1)),
            None,
            "a later grant under this name"
        );
        let served = [line(10, 5, "serve", "")];
        assert_eq!(
            rolled_back(&served, &[known(0, 1, 4)])[0].exit,
            Some(Exit::Store)
        );
    }

    #[test]
    fn old_journals_without_a_claim_are_noted() {
        let journals = [
            ("g1.a".to_owned(), 7200),
            ("g2.b".to_owned(), 7200),
            ("g3.c".to_owned(), 10),
        ];
        let found = leftovers(&journals, &["a".to_owned()]).unwrap();
        assert!(found.what.starts_with("1 journal of"), "{found:?}");
        assert!(leftovers(&journals, &["a".to_owned(), "b".to_owned()]).is_none());
    }
}
