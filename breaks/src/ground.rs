//! A copy of the tree, in which things may be broken.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::book::Place;

/// A test that a break keeps from ending has told nothing.
const PATIENCE: &str = "600";

/// The copy.
#[derive(Debug)]
pub struct Ground {
    root: PathBuf,
    tree: PathBuf,
}

impl Ground {
    /// Brings the copy up to what stands in the tree. What has not changed is left alone, for cargo looks at its time.
    pub fn prepare(root: &Path) -> io::Result<Self> {
        let tree = root.join("target/breaks/tree");
        let files = files_of(root)?;
        for file in &files {
            copy_if_new(&root.join(file), &tree.join(file))?;
        }
        remove_others(&tree, &tree, &files)?;
        Ok(Self {
            root: root.to_owned(),
            tree,
        })
    }

    /// A file's content in the copy.
    pub fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.tree.join(file))
    }

    /// Replaces a file in the copy.
    pub fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.tree.join(file), text)
    }

    /// Builds a package's tests.
    pub fn build(&self, place: &Place) -> io::Result<Output> {
        self.test(place, &["--no-run"], &[])
    }

    /// Runs the tests of these names.
    pub fn run(&self, place: &Place, names: &[&str]) -> io::Result<Output> {
        self.test(place, &[], names)
    }

    /// In a folder of its own: cargo takes the same package of two trees for one.
    fn test(&self, place: &Place, flags: &[&str], names: &[&str]) -> io::Result<Output> {
        Command::new("timeout")
            .args([PATIENCE, "cargo", "test", "--package"])
            .args([&place.package, &place.target])
            .args(flags)
            .arg("--")
            .args(names)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", self.root.join("target/breaks/build"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TERM_COLOR", "never")
            .output()
    }
}

/// What git knows or would take: nothing that was built.
fn files_of(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr).into_owned();
        return Err(io::Error::other(said));
    }
    let names = String::from_utf8(listed.stdout).map_err(io::Error::other)?;
    let names = names.split_terminator('\0').map(PathBuf::from);
    Ok(names.filter(|name| root.join(name).is_file()).collect())
}

fn copy_if_new(from: &Path, to: &Path) -> io::Result<()> {
    let wanted = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, to).map(drop)
}

fn remove_others(tree: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, files)?;
        } else if path
            .strip_prefix(tree)
            .is_ok_and(|name| !files.contains(name))
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
