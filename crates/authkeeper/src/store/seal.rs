//! Sealing at rest: XChaCha20-Poly1305, bound to what a value belongs to, so that rows can't be swapped.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::StoreError;
use crate::{clock::Seams, secret::Secret};

const VERSION: u8 = 1;
const NONCE: usize = 24;

/// The value is not what was sealed: another key, another row, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value can't be opened")]
pub struct SealBroken;

/// What a sealed value belongs to; the same words must be given to open it.
#[derive(Clone, Copy, Debug)]
pub struct Belongs<'a> {
    /// The record's id.
    pub record: &'a str,
    /// The field's name.
    pub field: &'static str,
    /// The generation, where there is one.
    pub generation: u64,
}

impl Belongs<'_> {
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

/// Seals and opens values with one key.
#[derive(Clone)]
pub struct Sealer {
    key: Secret<[u8; 32]>,
    seams: Seams,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer with this key.
    pub fn new(key: Secret<[u8; 32]>, seams: Seams) -> Self {
        Self { key, seams }
    }

    /// Seals a value: version, nonce, ciphertext.
    ///
    /// # Panics
    ///
    /// Only for a value beyond 256 GiB, which nothing here comes near.
    pub fn seal(&self, belongs: Belongs<'_>, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0_u8; NONCE];
        self.seams.random.fill(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: &belongs.bytes(),
        };
        #[expect(clippy::expect_used, reason = "encryption fails only beyond 256 GiB")]
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a short message");
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Opens a sealed value.
    pub fn open(
        &self,
        belongs: Belongs<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealBroken> {
        let (&version, rest) = sealed.split_first().ok_or(SealBroken)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(SealBroken)?;
        if version != VERSION {
            return Err(SealBroken);
        }
        let payload = Payload {
            msg: sealed,
            aad: &belongs.bytes(),
        };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        opened.map(Zeroizing::new).map_err(|_opaque| SealBroken)
    }

    /// A mark by which the same secret is known again, and which says nothing of it to whoever has not the key
    /// (HMAC-SHA-256, RFC 2104).
    #[expect(clippy::disallowed_methods, reason = "the key marks")]
    pub fn mark(&self, of: &'static str, plain: &[u8]) -> [u8; 32] {
        // RFC 2104 §2: a key is filled up with zeros to the length of a block.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(self.key.expose());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        for part in [b"authkeeper/1 mark".as_slice(), of.as_bytes(), plain] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    #[expect(clippy::disallowed_methods, reason = "the key seals and opens")]
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.expose().into())
    }
}

/// Reads the key file, or makes one where there is none yet and nothing was sealed (`may_make`).
pub fn load_key(
    path: &Path,
    store: &Path,
    may_make: bool,
    seams: &Seams,
) -> Result<Secret<[u8; 32]>, StoreError> {
    match fs::File::open(path) {
        Ok(file) => read_key(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => make_key(path, seams),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::KeyMissing {
            place: store.display().to_string(),
            key: path.display().to_string(),
        }),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn read_key(path: &Path, file: fs::File) -> Result<Secret<[u8; 32]>, StoreError> {
    let bad = |detail: &str| StoreError::BadKey {
        key: path.display().to_string(),
        detail: detail.to_owned(),
    };
    let mode = file
        .metadata()
        .map_err(|error| unusable(path, &error))?
        .mode();
    if mode & 0o077 != 0 {
        return Err(bad("others may read it; run chmod 600 on it"));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(4096).read_to_string(&mut text);
    read.map_err(|error| bad(&format!("it is not text ({error})")))?;
    let decoded = STANDARD.decode(text.trim());
    let bytes = Zeroizing::new(decoded.map_err(|_shows_the_key| bad("it is not base64"))?);
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    key.map(Secret::new)
        .map_err(|_length| bad("it does not hold 32 bytes"))
}

/// Writes a new key where none is, durably, before anything is sealed with it. A race of two processes leaves one key.
fn make_key(path: &Path, seams: &Seams) -> Result<Secret<[u8; 32]>, StoreError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    seams.random.fill(key.as_mut());
    let text = Zeroizing::new(STANDARD.encode(key.as_ref()) + "\n");
    let draft = path.with_extension(format!("new-{}", seams.random_id()));
    let made = write_new(&draft, text.as_bytes())
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        })
        .and_then(|()| sync_folder_of(path));
    let _ = fs::remove_file(&draft);
    made.map_err(|error| unusable(path, &error))?;
    read_key(
        path,
        fs::File::open(path).map_err(|error| unusable(path, &error))?,
    )
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// What a file's error means for the store.
pub(crate) fn unusable(path: &Path, error: &io::Error) -> StoreError {
    let place = path.display().to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { place },
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { place },
        _ => StoreError::Unusable {
            place,
            detail: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(Secret::new([7; 32]), Seams::system())
    }

    const HERE: Belongs<'_> = Belongs {
        record: "g1",
        field: "refresh_token",
        generation: 4,
    };

    #[test]
    fn a_sealed_value_opens_only_where_it_belongs() {
        let sealed = sealer().seal(HERE, b"secret");
        assert_eq!(&sealer().open(HERE, &sealed).unwrap()[..], b"secret");
        for elsewhere in [
            Belongs {
                record: "g2",
                ..HERE
            },
            Belongs {
                field: "access_token",
                ..HERE
            },
            Belongs {
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
        let mark = sealer().mark("refresh_token", b"secret");
        assert_eq!(sealer().mark("refresh_token", b"secret"), mark);
        let other_key = Sealer::new(Secret::new([8; 32]), Seams::system());
        for other in [
            other_key.mark("refresh_token", b"secret"),
            sealer().mark("refresh_token", b"secre"),
            sealer().mark("refresh_toke", b"nsecret"),
        ] {
            assert_ne!(other, mark);
        }
    }

    #[test]
    fn any_damage_is_noticed() {
        let sealed = sealer().seal(HERE, b"secret");
        for index in 0..sealed.len() {
            let mut torn = sealed.clone();
            torn[index] ^= 1;
            assert_eq!(sealer().open(HERE, &torn), Err(SealBroken));
            assert_eq!(sealer().open(HERE, &sealed[..index]), Err(SealBroken));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the same key must come back")]
    fn the_key_is_made_once_and_only_where_nothing_was_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let (key, store) = (folder.path().join("key"), folder.path().join("store.db"));
        let seams = Seams::system();
        assert!(matches!(
            load_key(&key, &store, false, &seams),
            Err(StoreError::KeyMissing { .. })
        ));
        let first = load_key(&key, &store, true, &seams).unwrap();
        let again = load_key(&key, &store, true, &seams).unwrap();
        assert_eq!(first.expose(), again.expose());
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        fs::write(&key, "bm90IGEga2V5\n").unwrap();
        assert!(matches!(
            load_key(&key, &store, true, &seams),
            Err(StoreError::BadKey { .. })
        ));
    }
}
