//! Sealing at rest: XChaCha20-Poly1305, bound to what a value belongs to, so that rows can't be swapped.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    platform::clock::Seams,
    secret::Secret,
    vault::{
        VaultError,
        key_file::{self, Key, KeyId, LoadedKeys},
    },
};

const VERSION: u8 = 2;
/// What was sealed before keys had names.
const NAMELESS: u8 = 1;
const NONCE: usize = 24;
/// The version and the key's name.
pub(crate) const PREFIX: usize = 1 + size_of::<KeyId>();

/// The value is not what was sealed: another key, another row, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value can't be opened")]
pub struct SealBroken;

/// What a sealed value belongs to; the same words must be given to open it.
#[derive(Clone, Copy, Debug)]
pub struct AssociatedData<'a> {
    /// The record's id.
    pub record: &'a str,
    /// The field's name.
    pub field: &'static str,
    /// The generation, where there is one.
    pub generation: u64,
}

impl AssociatedData<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in ["authkeeper/1", self.field, self.record] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes
    }
}

/// Seals with one key, and opens what that or a key before it sealed. Clones share their keys, and all follow the key file.
#[derive(Clone)]
pub struct Sealer {
    ring: Arc<KeyRing>,
    seams: Seams,
}

struct KeyRing {
    /// None for a key that is in no file.
    file: Option<PathBuf>,
    loaded: RwLock<Arc<LoadedKeys>>,
}

/// A sealed value. While it lives the key that sealed it is not retired: it is kept until it is written.
#[derive(Clone)]
pub struct Sealed {
    bytes: Vec<u8>,
    _key: Arc<LoadedKeys>,
}

impl std::ops::Deref for Sealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer with this key.
    pub fn new(key: Secret<[u8; 32]>, seams: Seams) -> Self {
        Self::with(LoadedKeys::alone(Key::new(key)), None, seams)
    }

    /// A sealer with the keys of this file, which is made where there is none yet and nothing was sealed (`may_make`).
    pub fn load(
        path: &Path,
        store: &Path,
        may_make: bool,
        seams: &Seams,
    ) -> Result<Self, VaultError> {
        let loaded = key_file::load_or_make(path, store, may_make, seams)?;
        Ok(Self::with(loaded, Some(path.to_owned()), seams.clone()))
    }

    fn with(loaded: LoadedKeys, file: Option<PathBuf>, seams: Seams) -> Self {
        let loaded = RwLock::new(Arc::new(loaded));
        Self {
            ring: Arc::new(KeyRing { file, loaded }),
            seams,
        }
    }

    /// Seals a value: version, the key's name, nonce, ciphertext.
    ///
    /// # Panics
    ///
    /// Only for a value beyond 256 GiB, which nothing here comes near.
    pub fn seal(&self, belongs: AssociatedData<'_>, plain: &[u8]) -> Sealed {
        let mut nonce = [0_u8; NONCE];
        self.seams.random.fill(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: &belongs.bytes(),
        };
        let loaded = self.ring.current();
        let key = &loaded.keys[0];
        #[expect(clippy::expect_used, reason = "encryption fails only beyond 256 GiB")]
        let sealed = cipher(key)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a short message");
        let mut bytes = Vec::with_capacity(PREFIX + NONCE + sealed.len());
        bytes.extend_from_slice(&prefix(key));
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Sealed {
            bytes,
            _key: loaded,
        }
    }

    /// Opens a sealed value.
    pub fn open(
        &self,
        belongs: AssociatedData<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealBroken> {
        let (&version, rest) = sealed.split_first().ok_or(SealBroken)?;
        let loaded = self.ring.current();
        match version {
            VERSION => {
                let (id, rest) = rest.split_first_chunk().ok_or(SealBroken)?;
                let mut keys = loaded.keys.iter();
                let key = keys.find(|key| key.id == *id).ok_or(SealBroken)?;
                open_with(key, belongs, rest)
            }
            NAMELESS => {
                let mut opened = loaded.keys.iter().map(|key| open_with(key, belongs, rest));
                opened.find(Result::is_ok).ok_or(SealBroken)?
            }
            _ => Err(SealBroken),
        }
    }

    /// What everything that the current key seals begins with.
    pub(crate) fn prefix(&self) -> [u8; PREFIX] {
        prefix(&self.ring.current().keys[0])
    }

    /// Seals a value again with the current key; none if no key opens it.
    pub(crate) fn reseal(&self, belongs: AssociatedData<'_>, sealed: &[u8]) -> Option<Sealed> {
        let plain = self.open(belongs, sealed).ok()?;
        Some(self.seal(belongs, &plain))
    }

    /// Whether the key file holds a key beside the one that seals: a change that is not over.
    pub(crate) fn is_changing(&self) -> bool {
        self.ring.current().in_file > 1
    }

    /// The key file, where there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.ring.file.as_deref()
    }
}

impl KeyRing {
    /// The keys as the file has them now. A file that can't be used changes nothing for who knows the keys already.
    fn current(&self) -> Arc<LoadedKeys> {
        let loaded = self.loaded();
        let Some(file) = self.file.as_ref().filter(|file| loaded.is_outdated(file)) else {
            return loaded;
        };
        match loaded.followed_by(file) {
            Ok(next) => {
                let next = Arc::new(next);
                let mut place = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
                *place = Arc::clone(&next);
                next
            }
            Err(error) => {
                tracing::warn!(%error, "the key file was replaced; the key that was read from it stays in use");
                loaded
            }
        }
    }

    fn loaded(&self) -> Arc<LoadedKeys> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&loaded)
    }
}

fn prefix(key: &Key) -> [u8; PREFIX] {
    let mut prefix = [VERSION; PREFIX];
    prefix[1..].copy_from_slice(&key.id);
    prefix
}

fn open_with(
    key: &Key,
    belongs: AssociatedData<'_>,
    rest: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealBroken> {
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(SealBroken)?;
    let payload = Payload {
        msg: sealed,
        aad: &belongs.bytes(),
    };
    let opened = cipher(key).decrypt(&XNonce::from(*nonce), payload);
    opened.map(Zeroizing::new).map_err(|_opaque| SealBroken)
}

#[expect(clippy::disallowed_methods, reason = "the key seals and opens")]
fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.secret.expose().into())
}

/// A fingerprint that recognizes the same secret again and tells nothing of it without the key (HMAC-SHA-256, RFC 2104).
#[expect(clippy::disallowed_methods, reason = "the key marks")]
pub(crate) fn mark(key: &Secret<[u8; 32]>, of: &'static str, plain: &[u8]) -> [u8; 32] {
    // RFC 2104 §2: a key is filled up with zeros to the length of a block.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key.expose());
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in [b"authkeeper/1 mark".as_slice(), of.as_bytes(), plain] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(Secret::new([7; 32]), Seams::system())
    }

    const HERE: AssociatedData<'_> = AssociatedData {
        record: "g1",
        field: "refresh_token",
        generation: 4,
    };

    #[test]
    fn a_sealed_value_opens_only_where_it_belongs() {
        let sealed = sealer().seal(HERE, b"secret");
        assert_eq!(&sealer().open(HERE, &sealed).unwrap()[..], b"secret");
        for elsewhere in [
            AssociatedData {
                record: "g2",
                ..HERE
            },
            AssociatedData {
                field: "access_token",
                ..HERE
            },
            AssociatedData {
                generation: 5,
                ..HERE
            },
        ] {
            assert_eq!(sealer().open(elsewhere, &sealed), Err(SealBroken));
        }
        let other_key = Sealer::new(Secret::new([8; 32]), Seams::system());
        assert_eq!(other_key.open(HERE, &sealed), Err(SealBroken));
    }

    #[test]
    fn a_mark_knows_the_same_secret_again_and_needs_the_key() {
        let key = |byte| Secret::new([byte; 32]);
        let known = mark(&key(7), "refresh_token", b"secret");
        assert_eq!(mark(&key(7), "refresh_token", b"secret"), known);
        for other in [
            mark(&key(8), "refresh_token", b"secret"),
            mark(&key(7), "refresh_token", b"secre"),
            mark(&key(7), "refresh_toke", b"nsecret"),
        ] {
            assert_ne!(other, known);
        }
    }

    #[test]
    fn any_damage_is_noticed() {
        let sealed = sealer().seal(HERE, b"secret");
        for index in 0..sealed.len() {
            let mut torn = sealed.to_vec();
            torn[index] ^= 1;
            assert_eq!(sealer().open(HERE, &torn), Err(SealBroken));
            assert_eq!(sealer().open(HERE, &sealed[..index]), Err(SealBroken));
        }
    }

    #[test]
    fn what_was_sealed_before_keys_had_names_opens_still() {
        let sealed = sealer().seal(HERE, b"secret");
        let mut nameless = vec![NAMELESS];
        nameless.extend_from_slice(&sealed[PREFIX..]);
        assert_eq!(&sealer().open(HERE, &nameless).unwrap()[..], b"secret");
    }

    #[test]
    fn those_who_share_a_key_file_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("key"), folder.path().join("store.db"));
        let seams = Seams::system();
        let one = Sealer::load(&path, &store, true, &seams).unwrap();
        let other = Sealer::load(&path, &store, true, &seams).unwrap();
        let before = one.seal(HERE, b"secret");
        let change = crate::vault::key_change::KeyFileChange::enter(&path)
            .unwrap()
            .unwrap();
        change.begin(&seams).unwrap();
        assert!(other.is_changing());
        let after = one.seal(HERE, b"secret");
        assert_ne!(before[..PREFIX], after[..PREFIX]);
        for sealed in [&before, &after] {
            assert_eq!(&other.open(HERE, sealed).unwrap()[..], b"secret");
        }
        assert_eq!(change.old_key_is_free(), Some(false), "not written yet");
        let read_meanwhile = before.to_vec();
        drop(before);
        assert_eq!(change.old_key_is_free(), Some(true));
        change.retire().unwrap();
        assert!(!other.is_changing());
        for sealed in [&read_meanwhile[..], &after] {
            assert_eq!(&other.open(HERE, sealed).unwrap()[..], b"secret");
        }
        let late = Sealer::load(&path, &store, false, &seams).unwrap();
        assert!(late.open(HERE, &after).is_ok());
        assert_eq!(late.open(HERE, &read_meanwhile), Err(SealBroken));
    }

    #[test]
    fn a_key_file_of_another_store_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, store) = (folder.path().join("key"), folder.path().join("store.db"));
        let seams = Seams::system();
        let sealer = Sealer::load(&path, &store, true, &seams).unwrap();
        let before = sealer.seal(HERE, b"secret");
        for replace in [
            (|path: &Path| fs::write(path, "garbage").unwrap()) as fn(&Path),
            |path| fs::remove_file(path).unwrap(),
            |path| drop(Sealer::load(path, path, true, &Seams::system()).unwrap()),
        ] {
            replace(&path);
            let after = sealer.seal(HERE, b"secret");
            assert_eq!(before[..PREFIX], after[..PREFIX]);
            assert!(sealer.open(HERE, &before).is_ok());
        }
    }
}
