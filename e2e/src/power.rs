//! A power cut: everything that a process wrote and did not sync is gone.
//!
//! A small preloaded library (`e2e/shim/unsynced.c`) notes what is durable; [`Disk::cut`] puts the folder back to that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::home::{Home, Invocation};
use crate::repository;

/// The disk under a home's store.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    notes: PathBuf,
    ignored: String,
}

impl Disk {
    /// A disk on which what is synced stays.
    pub fn under(home: &Home) -> Self {
        Self::that_forgets(home, "")
    }

    /// A disk that forgets also what was synced, where a path has this part.
    pub fn that_forgets(home: &Home, part: &str) -> Self {
        let notes = home.outside().join("synced");
        fs::create_dir_all(&notes).expect("our own directory");
        Self {
            root: home.store_dir(),
            notes,
            ignored: part.to_owned(),
        }
    }

    /// Runs it on this disk.
    pub fn under_it<'a>(&self, invocation: Invocation<'a>) -> Invocation<'a> {
        let text = |path: &Path| path.display().to_string();
        invocation
            .env("LD_PRELOAD", text(shim()))
            .env("UNSYNCED_ROOT", text(&self.root))
            .env("UNSYNCED_NOTES", text(&self.notes))
            .env("UNSYNCED_IGNORE", &self.ignored)
    }

    /// The power is cut: each folder holds what it held when it was last synced, and each file too. What was never synced is
    /// gone. How many files are left.
    pub fn cut(&self) -> usize {
        let notes = files_in(&self.notes).into_iter();
        let listings = notes.filter(|note| is_note(note, "d."));
        let durable: BTreeMap<PathBuf, Vec<u8>> =
            listings.flat_map(|note| self.listed(&note)).collect();
        let folders = ["", "spill", "answers", "owners", "decisions"];
        let there = folders
            .iter()
            .flat_map(|name| files_in(&self.root.join(name)));
        for file in there.filter(|file| !durable.contains_key(file)) {
            fs::remove_file(file).expect("it was there");
        }
        // In its place, so that it stays the same file: the machine is the same one.
        for (path, content) in &durable {
            private_file(path, content);
        }
        durable.len()
    }

    fn listed(&self, listing: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let listing = fs::read_to_string(listing).expect("the shim wrote it");
        let mut lines = listing.lines();
        let folder = PathBuf::from(lines.next().expect("the folder's path"));
        let files = lines.filter_map(|line| line.split_once(' '));
        let content = |id| {
            // A file whose name is durable and whose content is not.
            fs::read(self.notes.join(format!("f.{id}"))).unwrap_or_default()
        };
        files
            .map(|(id, name)| (folder.join(name), content(id)))
            .collect()
    }
}

fn private_file(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).expect("our own directory");
    file.write_all(content).expect("there is room");
}

fn is_note(path: &Path, kind: &str) -> bool {
    let name = path.file_name().and_then(std::ffi::OsStr::to_str);
    name.is_some_and(|name| name.starts_with(kind))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|entry| entry.path()).collect()
}

/// The library, built once by whatever links this test.
fn shim() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = repository().join("e2e/shim/unsynced.c");
        let folder = tempfile::tempdir().expect("a temporary directory").keep();
        let built = folder.join("unsynced.so");
        let done = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&built, &source])
            .status();
        assert!(done.is_ok_and(|done| done.success()), "cc builds the shim");
        built
    })
}
