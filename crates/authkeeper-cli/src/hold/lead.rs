//! Which process attends to the person: the one that holds the lock of the connection's file under `holds/`. The file
//! says where its desk is, and the lock, not the file, says that it is there.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use authkeeper::{
    model::{ConnectionName, IncidentId},
    platform::process_lease::private_folder,
};
use serde::{Deserialize, Serialize};

/// No file of ours is larger.
const LARGEST: u64 = 4096;

/// How often the lock is tried.
const TRIES: usize = 8;

/// Where a desk is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Door {
    pub(super) port: u16,
    /// Unguessable: no page in a browser finds the desk by itself.
    pub(super) id: String,
    /// The provider's own link, which serves on any device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) elsewhere: Option<String>,
}

impl Door {
    /// What a person is told to open.
    pub(super) fn link(&self) -> String {
        let here = || format!("http://127.0.0.1:{}/{}", self.port, self.id);
        self.elsewhere.clone().unwrap_or_else(here)
    }
}

/// The links to the desks of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    folder: PathBuf,
}

/// What came of an election.
#[derive(Debug)]
pub(super) enum Election {
    /// Won; where the desk of the one before it was.
    Won(Lead, Option<Door>),
    /// Somebody else attends, or is about to.
    Lost,
}

/// The lock, held for as long as this lives.
#[derive(Debug)]
pub(super) struct Lead(File);

impl Links {
    /// Of the store in this folder.
    pub(crate) fn beside(data: &Path) -> Self {
        let folder = data.join("holds");
        Self { folder }
    }

    /// The link to sign in by, if some process attends to it now.
    pub(crate) fn link(&self, connection: &ConnectionName) -> Option<String> {
        let mut file = File::open(self.folder.join(connection.as_str())).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file).map(|door| door.link()),
            _ => None,
        }
    }

    pub(super) fn elect(&self, connection: &ConnectionName) -> io::Result<Election> {
        private_folder(&self.folder)?;
        let mut file = own(&self.folder.join(connection.as_str()))?;
        // Who only looks for the link has the lock for a moment, too.
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => {
                    let before = read(&mut file);
                    // Until the new place is known: the old one is nobody's.
                    file.set_len(0)?;
                    return Ok(Election::Won(Lead(file), before));
                }
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Election::Lost)
    }

    /// True for one caller an incident, whichever process it is: that one opens the browser. No connection's name has a `~`.
    pub(super) fn claim_tab(&self, of: &ConnectionName, incident: &IncidentId) -> io::Result<bool> {
        let mut file = own(&self.folder.join(format!("{of}~tab")))?;
        file.lock()?;
        let mut last = String::new();
        (&mut file).take(LARGEST).read_to_string(&mut last)?;
        if last == incident.as_str() {
            return Ok(false);
        }
        write(&mut file, incident.as_str())?;
        Ok(true)
    }
}

impl Lead {
    /// Says where the desk is.
    pub(super) fn opens(&mut self, door: &Door) -> io::Result<()> {
        write(&mut self.0, &serde_json::to_string(door)?)
    }
}

fn own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).mode(0o600);
    options.truncate(false).open(path)
}

fn read(file: &mut File) -> Option<Door> {
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carry::tests::notion;

    fn won(links: &Links) -> (Lead, Option<Door>) {
        match links.elect(&notion()).unwrap() {
            Election::Won(lead, before) => (lead, before),
            Election::Lost => panic!("somebody else attends"),
        }
    }

    #[test]
    fn one_attends_and_the_next_goes_on_where_it_was() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Links::beside(data.path()), Links::beside(data.path()));
        assert_eq!(one.link(&notion()), None);
        let (mut lead, before) = won(&one);
        assert_eq!(before, None);
        assert_eq!(other.link(&notion()), None, "it says nothing yet");
        let id = "0123456789abcdef".to_owned();
        let mut door = Door {
            port: 4242,
            id,
            elsewhere: Some("https://as.example/device?user_code=AB".to_owned()),
        };
        lead.opens(&door).unwrap();
        assert_eq!(other.link(&notion()), door.elsewhere);
        door.elsewhere = None;
        lead.opens(&door).unwrap();
        let link = Some("http://127.0.0.1:4242/0123456789abcdef".to_owned());
        assert_eq!(other.link(&notion()), link);
        assert!(matches!(other.elect(&notion()), Ok(Election::Lost)));
        drop(lead);
        assert_eq!(other.link(&notion()), None, "nobody is there any more");
        assert_eq!(won(&other).1, Some(door));
    }

    #[test]
    fn one_tab_is_opened_for_a_trouble() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Links::beside(data.path()), Links::beside(data.path()));
        drop(won(&one));
        let claim = |links: &Links, id: &str| {
            let id = IncidentId::new(id);
            links.claim_tab(&notion(), &id).unwrap()
        };
        assert!(claim(&one, "t1") && !claim(&other, "t1") && !claim(&one, "t1"));
        assert!(claim(&other, "t2") && !claim(&one, "t2"));
    }
}
