//! Which process serves the sign-in link: the one that holds the lock of the connection's file under `holds/`. The file
//! holds its address, and the lock, not the file, says that the process is alive.

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
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use subtle::ConstantTimeEq as _;

/// No file of ours is larger.
const LARGEST: u64 = 4096;

/// How often the lock is tried.
const TRIES: usize = 8;

/// Where a link server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkAddress {
    pub(super) port: u16,
    /// Unguessable: no page in a browser finds the server by itself.
    pub(super) id: String,
    /// The provider's own link, which serves on any device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) elsewhere: Option<String>,
}

impl LinkAddress {
    /// What a person is told to open.
    pub(super) fn link(&self) -> String {
        let here = || format!("http://127.0.0.1:{}/{}", self.port, self.id);
        self.elsewhere.clone().unwrap_or_else(here)
    }
}

/// The sign-in links of this machine.
#[derive(Clone, Debug)]
pub struct Links {
    folder: PathBuf,
}

/// What came of an election.
#[derive(Debug)]
pub(super) enum Election {
    /// Won; the address of the leader before it.
    Won(Leader, Option<LinkAddress>),
    /// Another process leads, or is about to.
    Lost,
}

/// The lock, held for as long as this lives.
#[derive(Debug)]
pub(super) struct Leader(File);

impl Links {
    /// Those of the store in the folder `data`.
    pub fn beside(data: &Path) -> Self {
        let folder = data.join("holds");
        Self { folder }
    }

    /// The link to sign in by, if some process serves it now.
    pub fn link(&self, connection: &ConnectionName) -> Option<String> {
        let mut file = File::open(self.folder.join(connection.as_str())).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file).map(|address| address.link()),
            _ => None,
        }
    }

    pub(super) fn elect(&self, connection: &ConnectionName) -> io::Result<Election> {
        private_folder(&self.folder)?;
        let mut file = own(&self.folder.join(connection.as_str()))?;
        // A process that only reads the link has the lock for a moment, too.
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => {
                    let before = read(&mut file);
                    // Until the new address is known: nobody listens at the old one.
                    file.set_len(0)?;
                    return Ok(Election::Won(Leader(file), before));
                }
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Election::Lost)
    }

    /// True for one caller an incident, across all processes: that one opens the browser. No connection's name has a `~`.
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

/// A page at the public URL: for one lineage, so that it ends with the sign-in.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PublicId {
    lineage: u64,
    id: String,
}

impl Links {
    /// The unguessable part of a connection's public page, the same in every process until somebody has signed in.
    pub(super) fn public_id(
        &self,
        of: &ConnectionName,
        lineage: u64,
        random: impl FnOnce() -> String,
    ) -> io::Result<String> {
        private_folder(&self.folder)?;
        let mut file = own(&self.public_file(of))?;
        file.lock()?;
        let known: Option<PublicId> = read_json(&mut file);
        if let Some(known) = known.filter(|known| known.lineage == lineage) {
            return Ok(known.id);
        }
        let id = random();
        let new = PublicId {
            lineage,
            id: id.clone(),
        };
        write(&mut file, &serde_json::to_string(&new)?)?;
        Ok(id)
    }

    /// Whether a page of this id was told for this lineage.
    pub(super) fn is_public(&self, of: &ConnectionName, lineage: u64, id: &str) -> bool {
        let file = File::open(self.public_file(of)).ok();
        let known: Option<PublicId> = file.and_then(|mut file| read_json(&mut file));
        known.is_some_and(|known| {
            known.lineage == lineage && bool::from(known.id.as_bytes().ct_eq(id.as_bytes()))
        })
    }

    fn public_file(&self, of: &ConnectionName) -> PathBuf {
        self.folder.join(format!("{of}~public"))
    }
}

impl Leader {
    /// Publishes the address.
    pub(super) fn publish(&mut self, address: &LinkAddress) -> io::Result<()> {
        write(&mut self.0, &serde_json::to_string(address)?)
    }
}

fn own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).mode(0o600);
    options.truncate(false).open(path)
}

fn read(file: &mut File) -> Option<LinkAddress> {
    read_json(file)
}

fn read_json<T: DeserializeOwned>(file: &mut File) -> Option<T> {
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
    use crate::forward::tests::notion;

    fn won(links: &Links) -> (Leader, Option<LinkAddress>) {
        match links.elect(&notion()).unwrap() {
            Election::Won(leader, before) => (leader, before),
            Election::Lost => panic!("somebody else attends"),
        }
    }

    #[test]
    fn one_attends_and_the_next_goes_on_where_it_was() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Links::beside(data.path()), Links::beside(data.path()));
        assert_eq!(one.link(&notion()), None);
        let (mut leader, before) = won(&one);
        assert_eq!(before, None);
        assert_eq!(other.link(&notion()), None, "it says nothing yet");
        let id = "0123456789abcdef".to_owned();
        let mut address = LinkAddress {
            port: 4242,
            id,
            elsewhere: Some("https://as.example/device?user_code=AB".to_owned()),
        };
        leader.publish(&address).unwrap();
        assert_eq!(other.link(&notion()), address.elsewhere);
        address.elsewhere = None;
        leader.publish(&address).unwrap();
        let link = Some("http://127.0.0.1:4242/0123456789abcdef".to_owned());
        assert_eq!(other.link(&notion()), link);
        assert!(matches!(other.elect(&notion()), Ok(Election::Lost)));
        drop(leader);
        assert_eq!(other.link(&notion()), None, "nobody is there any more");
        assert_eq!(won(&other).1, Some(address));
    }

    #[test]
    fn a_public_page_is_the_same_everywhere_until_somebody_has_signed_in() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (Links::beside(data.path()), Links::beside(data.path()));
        assert!(!one.is_public(&notion(), 1, ""));
        let id = |links: &Links, lineage, new: &str| {
            let new = new.to_owned();
            links.public_id(&notion(), lineage, || new).unwrap()
        };
        assert_eq!(id(&one, 1, "a1"), "a1");
        assert_eq!(id(&other, 1, "b2"), "a1");
        assert!(other.is_public(&notion(), 1, "a1"));
        for (lineage, id) in [(2, "a1"), (1, "a"), (1, "a11"), (1, "")] {
            assert!(!one.is_public(&notion(), lineage, id), "{lineage} {id}");
        }
        assert_eq!(id(&one, 2, "c3"), "c3");
        assert!(!other.is_public(&notion(), 1, "a1"), "its sign-in is done");
    }

    #[test]
    fn one_tab_is_opened_for_an_incident() {
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
