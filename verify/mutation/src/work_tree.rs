//! A copy of the tree, in which mutants are built and tested.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::source::Target;

/// A test that does not end within this many seconds has neither caught the mutant nor missed it.
const TIMEOUT: &str = "600";

/// The copy.
#[derive(Debug)]
pub struct WorkTree {
    root: PathBuf,
    tree: PathBuf,
}

impl WorkTree {
    /// Brings the copy up to date with the tree. Unchanged files keep their time stamps, so that cargo does not build
    /// them again.
    pub fn prepare(root: &Path) -> io::Result<Self> {
        let tree = root.join("target/breaks/tree");
        let files = files_of(root)?;
        for file in &files {
            copy_if_changed(&root.join(file), &tree.join(file))?;
        }
        remove_others(&tree, &tree, &files)?;
        Ok(Self {
            root: root.to_owned(),
            tree,
        })
    }

    /// Replaces a file in the copy.
    pub fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        fs::write(self.tree.join(file), text)
    }

    /// Builds the tests of a target.
    pub fn build(&self, target: &Target) -> io::Result<Output> {
        self.cargo_test(target, &["--no-run"], &[])
    }

    /// Runs the tests of these names.
    pub fn run(&self, target: &Target, names: &[&str]) -> io::Result<Output> {
        self.cargo_test(target, &[], names)
    }

    /// The build folder is not the tree's own: cargo would take the same package of two trees for one.
    fn cargo_test(&self, target: &Target, flags: &[&str], names: &[&str]) -> io::Result<Output> {
        Command::new("timeout")
            .args([TIMEOUT, "cargo", "test", "--package"])
            .args([&target.package, &target.flag])
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

/// The files that git tracks or would add: nothing that was built.
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

fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
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
