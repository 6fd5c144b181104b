//! Reads files that others write, up to a bound: a longer file is refused, never cut.

use std::{fs::File, io, io::Read as _, path::Path};

use authkeeper::secret::SecretString;

/// No secret is longer.
pub const LONGEST_SECRET: u64 = 64 * 1024;

/// The whole of a text file of at most so many bytes.
pub fn read(path: &Path, longest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let read = file.take(longest + 1).read_to_end(&mut bytes)?;
    if read as u64 > longest {
        let said = format!("it is longer than {} KiB", longest / 1024);
        return Err(io::Error::other(said));
    }
    String::from_utf8(bytes).map_err(|_shows_it| io::Error::other("it is not text"))
}

/// One secret, alone on its line, from a file; `what` names it in the error, which is a sentence.
pub fn secret_line(path: &Path, what: &str) -> Result<SecretString, String> {
    let text = read(path, LONGEST_SECRET)
        .map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    one_line(&text).ok_or_else(|| format!("{} does not hold one {what}", path.display()))
}

/// The text without surrounding white space, if it is one line.
pub fn one_line(text: &str) -> Option<SecretString> {
    let text = text.trim();
    (!text.is_empty() && !text.contains(['\n', '\r'])).then(|| text.to_owned().into())
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
