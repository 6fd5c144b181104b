//! A client's configuration file: read whole, replaced whole, with the one before it kept beside it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use authkeeper_gateway::bounded_read;
use tempfile::NamedTempFile;

use crate::{exit::Exit, failure::Failure};

/// Claude Code keeps a history in its own.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What a file holds, and where it really lies.
#[derive(Debug)]
pub(super) struct ConfigText {
    /// Empty where there is none.
    pub(super) text: String,
    /// Behind links: a link to a file kept elsewhere stays one.
    path: PathBuf,
    there: bool,
}

impl ConfigText {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let unread = |error: &io::Error| {
            let what = format!("{} can't be read: {error}", file.display());
            Failure::new(
                Exit::Data,
                what,
                "check its permissions, or name another with --file",
            )
        };
        let path = match fs::canonicalize(file) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    text: String::new(),
                    path: file.to_owned(),
                    there: false,
                });
            }
            Err(error) => return Err(unread(&error)),
        };
        let text = bounded_read::read(&path, LONGEST).map_err(|error| unread(&error))?;
        Ok(Self {
            text,
            path,
            there: true,
        })
    }

    /// Puts this in its place at once; where the file before it is, if there was one.
    pub(super) fn replace_with(&self, text: &str, stamp: &str) -> Result<Option<PathBuf>, Failure> {
        self.replaced(text, stamp).map_err(|error| {
            let what = format!("{} can't be written: {error}", self.path.display());
            Failure::new(
                Exit::Store,
                what,
                "it is as it was; check the folder's permissions and space",
            )
        })
    }

    fn replaced(&self, text: &str, stamp: &str) -> io::Result<Option<PathBuf>> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = NamedTempFile::new_in(folder)?;
        new.write_all(text.as_bytes())?;
        if !self.there {
            new.as_file().sync_all()?;
            new.persist_noclobber(&self.path)
                .map_err(|kept| kept.error)?;
            return Ok(None);
        }
        new.as_file()
            .set_permissions(fs::metadata(&self.path)?.permissions())?;
        new.as_file().sync_all()?;
        let backup = self.backup(stamp)?;
        // The client may have written its file meanwhile: that would be lost.
        if fs::read(&self.path)? != self.text.as_bytes() {
            fs::remove_file(&backup)?;
            return Err(io::Error::other(
                "another program has just written it; try again",
            ));
        }
        new.persist(&self.path).map_err(|kept| kept.error)?;
        Ok(Some(backup))
    }

    fn backup(&self, stamp: &str) -> io::Result<PathBuf> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".before-authkeeper-{stamp}"));
        let backup = PathBuf::from(name);
        fs::copy(&self.path, &backup)?;
        Ok(backup)
    }
}

/// The lines that change, with what stands around them.
pub(super) fn diff(old: &str, new: &str) -> String {
    const AROUND: usize = 2;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(one, other): &(&&str, &&str)| one == other;
    let before = old.iter().zip(&new).take_while(same).count();
    let left = old.len().min(new.len()) - before;
    let after = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(left)
        .take_while(same)
        .count();
    let line = |sign: char| move |line: &&str| format!("{sign} {line}\n");
    let part = |lines: &[&str], from: usize, to: usize, sign: char| -> String {
        lines
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .map(line(sign))
            .collect()
    };
    let end = new.len() - after;
    [
        part(&new, before.saturating_sub(AROUND), before, ' '),
        part(&old, before, old.len() - after, '-'),
        part(&new, before, end, '+'),
        part(&new, end, new.len().min(end + AROUND), ' '),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_lines_that_change_are_shown() {
        assert_eq!(
            diff("a\nb\nc\nd\ne\n", "a\nb\nc\nx\nd\ne\n"),
            "  b\n  c\n+ x\n  d\n  e\n"
        );
        assert_eq!(diff("a\n", "b\n"), "- a\n+ b\n");
        assert_eq!(diff("", "a\n"), "+ a\n");
        assert_eq!(diff("x\nx\n", "x\nx\nx\n"), "  x\n  x\n+ x\n");
    }

    #[test]
    fn a_file_is_replaced_behind_its_link_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (
            folder.path().join("real.json"),
            folder.path().join("link.json"),
        );
        fs::write(&file, "{}").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        let old = ConfigText::read(&link).unwrap();
        let backup = old.replace_with("{\"a\":1}", "now").unwrap().unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "{\"a\":1}");
        assert_eq!(fs::read_to_string(backup).unwrap(), "{}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.json");
        let new = ConfigText::read(&file).unwrap();
        fs::write(&file, "{\"theirs\":1}").unwrap();
        assert!(new.replace_with("{}", "now").is_err());
        let old = ConfigText::read(&file).unwrap();
        fs::write(&file, "{\"theirs\":2}").unwrap();
        let refused = old.replace_with("{}", "now").unwrap_err();
        assert!(refused.what.contains("try again"), "{}", refused.what);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"theirs\":2}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
