//! Files that others write are read up to a bound: one that is longer is refused, never cut.

use std::{fs::File, io, io::Read as _, path::Path};

/// The whole of a text file of at most so many bytes.
pub(crate) fn read(path: &Path, longest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let read = file.take(longest + 1).read_to_end(&mut bytes)?;
    if read as u64 > longest {
        let said = format!("it is longer than {} KiB", longest / 1024);
        return Err(io::Error::other(said));
    }
    String::from_utf8(bytes).map_err(|_shows_it| io::Error::other("it is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (text, whole) in [
            ("x".repeat(1024), true),
            ("x".repeat(1025), false),
            ("x".repeat(1024) + "é", false),
        ] {
            std::fs::write(&path, &text).unwrap();
            let read = read(&path, 1024);
            let said = read.as_ref().err().map(ToString::to_string);
            assert_eq!(read.ok(), whole.then_some(text));
            assert_eq!(said.is_none(), whole);
            assert!(said.is_none_or(|said| said.ends_with("longer than 1 KiB")));
        }
        assert!(read(&folder.path().join("none"), 1024).is_err());
    }
}
