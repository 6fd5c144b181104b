//! Where a store is at home. A copy of it (a backup put back, a cloned machine, a folder carried elsewhere) holds refresh
//! tokens that the original may spend too, and a token spent twice can cost the grant: a copy serves what lives and spends
//! nothing until a person has confirmed that the other one is retired.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use rusqlite::{Connection as Sqlite, OptionalExtension as _};
use sha2::{Digest as _, Sha256};

use crate::text::hex::hex;

/// systemd's `machine-id(5)`: made once for each machine.
const MACHINE_ID: &str = "/etc/machine-id";

/// The machine and the file. What can't be told is left out, and is then no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    machine: Option<String>,
    file: Option<u64>,
}

impl Home {
    /// Where this file is.
    pub(super) fn of(path: &Path) -> Self {
        let machine = std::fs::read_to_string(MACHINE_ID).ok();
        let machine = machine.filter(|id| id.trim().len() >= 32);
        Self {
            machine: machine.map(|id| fingerprint(id.trim())),
            file: std::fs::metadata(path).ok().map(|file| file.ino()),
        }
    }

    fn text(&self) -> String {
        let machine = self.machine.as_deref().unwrap_or("-");
        let file = self.file.map_or("-".to_owned(), |inode| inode.to_string());
        format!("{machine} {file}")
    }

    fn parse(text: &str) -> Self {
        let mut parts = text.split(' ').map(|part| (part != "-").then_some(part));
        let mut next = || parts.next().flatten();
        Self {
            machine: next().map(str::to_owned),
            file: next().and_then(|inode| inode.parse().ok()),
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        same(self.machine.as_ref(), other.machine.as_ref())
            && same(self.file.as_ref(), other.file.as_ref())
    }
}

/// The machine's own id is nobody's business, and must not be shown (`machine-id(5)` asks for a hash).
fn fingerprint(machine: &str) -> String {
    let digest = Sha256::digest(format!("authkeeper store home {machine}").as_bytes());
    hex(digest.get(..8).unwrap_or_default())
}

/// Whether the store is where it was; one that knows no home yet is at home here.
pub(super) fn is_at_home(sql: &Sqlite, here: &Home) -> rusqlite::Result<bool> {
    let select = "SELECT value FROM meta WHERE key = 'home'";
    let known: Option<Vec<u8>> = sql.query_row(select, [], |row| row.get(0)).optional()?;
    if let Some(known) = known {
        let known = String::from_utf8_lossy(&known);
        return Ok(Home::parse(&known).is_same_as(here));
    }
    // One that can't be written (a full or read-only disk) learns it the next time.
    let keep = "INSERT OR IGNORE INTO meta (key, value) VALUES ('home', ?1)";
    let _ = sql.execute(keep, [here.text().into_bytes()]);
    Ok(true)
}

/// From now on it is at home here.
pub(super) fn settle(sql: &Sqlite, here: &Home) -> rusqlite::Result<()> {
    let keep = "INSERT OR REPLACE INTO meta (key, value) VALUES ('home', ?1)";
    sql.execute(keep, [here.text().into_bytes()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_only_where_both_sides_can_tell() {
        let home = |machine: &str, file: &str| Home::parse(&format!("{machine} {file}"));
        let here = home("aa", "7");
        assert_eq!(Home::parse(&here.text()), here);
        for same in [
            home("aa", "7"),
            home("-", "7"),
            home("aa", "-"),
            home("-", "-"),
        ] {
            assert!(here.is_same_as(&same), "{same:?}");
        }
        for other in [home("bb", "7"), home("aa", "8"), home("-", "8")] {
            assert!(!here.is_same_as(&other), "{other:?}");
        }
    }
}
