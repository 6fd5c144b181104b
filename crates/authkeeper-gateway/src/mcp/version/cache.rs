//! A cache of the era that each server speaks, for later processes (2026-07-28, basic/versioning: "MAY persist it across
//! restarts").
//!
//! Without it, each start costs a client of the other era a refused message and a question. With it, the server is asked in
//! its own era at once. The answer is checked each time: the first contradiction drops the entry, and the message goes its
//! usual way. An entry expires after [`GOOD_FOR`], since a server that has learnt the client's era meanwhile never
//! contradicts.
//!
//! The key is a hash of the server's whole URL (a query may hold a secret), not its origin: two servers of different eras may
//! share one. A server that speaks the client's own era costs nothing to find out, and has no entry.
//!
//! Only the era is kept, never the answer to `server/discover` or `initialize`, and no client is answered from the cache while
//! authorization is missing. A stateless server says by `ttlMs` and `cacheScope` how long and for whom its answer holds (by
//! default: not at all, private), and its offer may depend on the caller and on the scopes of a token that is gone. A client
//! that was told of tools would also take the connection for a good one, though nobody is signed in. `--hold` lets it wait
//! for the true answer instead.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs, io};

use authkeeper::platform::{clock::Clock, process_lease::private_folder};
use authkeeper::text::hex::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{bounded_read, mcp::codec::era::Era};

/// How long it is relied on.
const GOOD_FOR: Duration = Duration::from_hours(7 * 24);
/// No file of ours is larger.
const LARGEST: u64 = 1024;

/// What is known of one server.
#[derive(Clone)]
pub struct VersionCache {
    path: PathBuf,
    clock: Arc<dyn Clock>,
}

#[derive(Serialize, Deserialize)]
struct VersionCacheEntry {
    speaks: Era,
    since: Timestamp,
}

impl VersionCache {
    /// Of the server at this URL, beside the store.
    pub fn beside(data: &Path, url: &str, clock: Arc<dyn Clock>) -> Self {
        let name = hex(&Sha256::digest(url.as_bytes()));
        let path = data.join("eras").join(name);
        Self { path, clock }
    }

    /// The only era that the server was found to speak.
    pub(super) fn load(&self) -> Option<Era> {
        let text = bounded_read::read(&self.path, LARGEST).ok()?;
        let kept: VersionCacheEntry = serde_json::from_str(&text).ok()?;
        let age = self.clock.now().wall.duration_since(kept.since);
        // What was learnt in the future was learnt by another clock.
        let good = Duration::try_from(age).is_ok_and(|age| age < GOOD_FOR);
        good.then_some(kept.speaks)
    }

    /// The server speaks this era, and not the other. If that can't be kept, it is found out again.
    pub(super) fn store(&self, speaks: Era) {
        if self.load() == Some(speaks) {
            return;
        }
        let since = self.clock.now().wall;
        if let Err(error) = self.write(&VersionCacheEntry { speaks, since }) {
            tracing::debug!(%error, "the server's era is not remembered");
        }
    }

    pub(super) fn clear(&self) {
        // What is not there is forgotten.
        let _ = fs::remove_file(&self.path);
    }

    fn write(&self, kept: &VersionCacheEntry) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        private_folder(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

impl fmt::Debug for VersionCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("VersionCache")
            .field(&self.path)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::platform::clock::SystemClock;

    use super::*;

    fn memory(data: &Path, url: &str) -> VersionCache {
        VersionCache::beside(data, url, Arc::new(SystemClock::new()))
    }

    #[test]
    fn what_one_process_learns_the_next_one_knows() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = ("https://a.example/mcp?key=s3cret", "https://a.example/old");
        assert_eq!(memory(data.path(), one).load(), None);
        memory(data.path(), one).store(Era::Stateless);
        memory(data.path(), other).store(Era::Handshake);
        assert_eq!(memory(data.path(), one).load(), Some(Era::Stateless));
        assert_eq!(memory(data.path(), other).load(), Some(Era::Handshake));
        memory(data.path(), one).store(Era::Handshake);
        assert_eq!(memory(data.path(), one).load(), Some(Era::Handshake));
        memory(data.path(), one).clear();
        assert_eq!(memory(data.path(), one).load(), None);
        assert!(!format!("{:?}", memory(data.path(), one)).contains("s3cret"));
    }

    #[test]
    fn what_is_old_or_unreadable_is_not_relied_on() {
        let data = tempfile::tempdir().unwrap();
        let memory = memory(data.path(), "https://a.example/mcp");
        let now = memory.clock.now().wall;
        let kept_since = |hours: i64| {
            let since = now + jiff::SignedDuration::from_hours(hours);
            let speaks = Era::Stateless;
            memory.write(&VersionCacheEntry { speaks, since }).unwrap();
            memory.load()
        };
        assert_eq!(kept_since(-24), Some(Era::Stateless));
        assert_eq!(kept_since(-7 * 24 - 1), None);
        assert_eq!(kept_since(1), None, "from the future");
        for text in [
            "",
            "{}",
            "{\"speaks\":\"greek\",\"since\":\"2026-01-01T00:00:00Z\"}",
        ] {
            fs::write(&memory.path, text).unwrap();
            assert_eq!(memory.load(), None, "{text}");
        }
        memory.store(Era::Handshake);
        assert_eq!(memory.load(), Some(Era::Handshake));
    }
}
