//! Client certificates (RFC 8705): the files that hold one, and the TLS configuration that shows it.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rustls::{
    ClientConfig,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use sha2::{Digest as _, Sha256};
use x509_cert::{Certificate, der::Decode as _, time::Time};
use zeroize::Zeroizing;

use crate::text::sanitize::one_line;

/// The files with a client certificate and its private key (PEM). One file may hold both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, with those between it and its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A client certificate that can't be shown. Neither variant quotes what a file holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableCertificate {
    /// No certificate can be read.
    #[error("{}: {why}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No private key can be read.
    #[error("{}: {why}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key is another one's.
    #[error(
        "the private key in {} does not belong to the certificate in {}",
        key.display(),
        cert.display()
    )]
    OtherKey {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

/// The largest file that is read: a chain and a key are a few KiB.
const LONGEST: u64 = 256 * 1024;

/// A certificate as its file holds it now.
#[derive(Clone)]
pub(super) struct Loaded {
    /// A digest of both files: whether they have changed.
    content: [u8; 32],
    /// The SHA-256 of the certificate, as a token that is bound to it names it (RFC 8705 §3.1, `x5t#S256`).
    pub(super) thumbprint: String,
    /// TLS that shows it.
    pub(super) config: Arc<ClientConfig>,
}

/// The key is behind rustls; nothing of it prints.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// The certificates that this process has shown. Files are read for each connection, since short-lived certificates are
/// replaced on disk; one configuration serves for as long as the files stay the same.
#[derive(Debug, Default)]
pub(super) struct Certificates(Mutex<HashMap<CertificateFiles, Loaded>>);

impl Certificates {
    /// The certificate that these files hold now. While somebody replaces them one after the other they do not match: the
    /// pair before serves until they do.
    pub(super) fn load(
        &self,
        files: &CertificateFiles,
        trusted: &ClientConfig,
    ) -> Result<Loaded, UnusableCertificate> {
        let read = Content::read(files)?;
        let digest = read.digest();
        let known = self.known().get(files).cloned();
        if let Some(known) = known.clone().filter(|known| known.content == digest) {
            return Ok(known);
        }
        let pair = match (read.pair(files, trusted.crypto_provider()), known) {
            (Err(UnusableCertificate::OtherKey { .. }), Some(known)) => {
                tracing::warn!(
                    cert = %files.cert.display(),
                    "the certificate and its key do not match; the pair before is shown until they do"
                );
                return Ok(known);
            }
            (pair, _) => pair?,
        };
        let loaded = Loaded {
            content: digest,
            thumbprint: pair
                .end_entity_cert()
                .map(|leaf| thumbprint(leaf))
                .unwrap_or_default(),
            config: Arc::new(showing(trusted, pair)),
        };
        self.known().insert(files.clone(), loaded.clone());
        Ok(loaded)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<CertificateFiles, Loaded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be told of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// By which a token that is bound to it names it (RFC 8705 §3.1, `x5t#S256`).
    pub thumbprint: String,
    /// Whom it names (RFC 4514), as far as that can be read.
    pub subject: String,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub not_after: Timestamp,
}

impl CertificateFacts {
    fn of(leaf: &[u8]) -> Result<Self, String> {
        let unreadable =
            |error: &dyn fmt::Display| format!("its certificate can't be read: {error}");
        let read = Certificate::from_der(leaf).map_err(|error| unreadable(&error))?;
        let read = read.tbs_certificate;
        let at = |time: Time| {
            let since = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(since).map_err(|error| unreadable(&error))
        };
        Ok(Self {
            thumbprint: thumbprint(leaf),
            subject: one_line(&read.subject.to_string()),
            not_before: at(read.validity.not_before)?,
            not_after: at(read.validity.not_after)?,
        })
    }
}

impl CertificateFiles {
    /// Reads both files, and tells what the certificate is.
    ///
    /// # Errors
    ///
    /// If there is no certificate with its key in them.
    pub fn facts(&self) -> Result<CertificateFacts, UnusableCertificate> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let pair = Content::read(self)?.pair(self, &provider)?;
        let leaf = pair.end_entity_cert().map_err(|error| error.to_string());
        let facts = leaf.and_then(|leaf| CertificateFacts::of(leaf));
        facts.map_err(|why| UnusableCertificate::Certificate {
            file: self.cert.clone(),
            why,
        })
    }
}

/// A session that was made with one certificate is never resumed with another.
fn showing(trusted: &ClientConfig, pair: CertifiedKey) -> ClientConfig {
    let mut config = trusted.clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
    config.resumption = Resumption::default();
    config
}

/// RFC 8705 §3.1: the SHA-256 of the certificate in DER, in base64url.
fn thumbprint(leaf: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(leaf))
}

/// What the two files hold.
struct Content {
    cert: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Content {
    fn read(files: &CertificateFiles) -> Result<Self, UnusableCertificate> {
        let cert = read(&files.cert).map_err(|why| UnusableCertificate::Certificate {
            file: files.cert.clone(),
            why,
        })?;
        let key = if files.key == files.cert {
            cert.clone()
        } else {
            read(&files.key).map_err(|why| UnusableCertificate::Key {
                file: files.key.clone(),
                why,
            })?
        };
        Ok(Self { cert, key })
    }

    fn digest(&self) -> [u8; 32] {
        let cert = Sha256::digest(&*self.cert);
        Sha256::new()
            .chain_update(cert)
            .chain_update(&*self.key)
            .finalize()
            .into()
    }

    fn pair(
        &self,
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, UnusableCertificate> {
        let chain = chain_in(&self.cert).map_err(|why| UnusableCertificate::Certificate {
            file: files.cert.clone(),
            why,
        })?;
        let of_key = |why: String| UnusableCertificate::Key {
            file: files.key.clone(),
            why,
        };
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| of_key(self.without_key(&error)))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => UnusableCertificate::OtherKey {
                cert: files.cert.clone(),
                key: files.key.clone(),
            },
            other => of_key(other.to_string()),
        })
    }

    /// Why there is no key in the file.
    fn without_key(&self, error: &rustls::pki_types::pem::Error) -> String {
        let text = String::from_utf8_lossy(&self.key);
        if text.contains("ENCRYPTED") {
            "its key is encrypted, and nobody is there to type the passphrase; store it without one"
                .to_owned()
        } else if matches!(error, rustls::pki_types::pem::Error::NoItemsFound) {
            "it holds no private key in PEM".to_owned()
        } else {
            error.to_string()
        }
    }
}

/// The certificates in a text of PEM blocks, the leaf first.
pub(super) fn chain_in(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if read.is_empty() {
        return Err("it holds no certificate in PEM".to_owned());
    }
    Ok(read)
}

/// A FIFO would be waited for until somebody writes to it, and a device need not end.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let read = || {
        let found = fs::metadata(file)?;
        if !found.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if found.len() > LONGEST {
            return Err(io::Error::other("it is too large for a certificate or key"));
        }
        fs::read(file)
    };
    read()
        .map(Zeroizing::new)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    // Two pairs that were made for this test and are good for nothing else.
    const CERT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnjCCAUWgAwIBAgIUOCEjQ7M6PVf7ZEUmemcAdLlQ0jcwCgYIKoZIzj0EAwIw
JDEQMA4GA1UECgwHRXhhbXBsZTEQMA4GA1UEAwwHYWdlbnQgYTAgFw0yNjExMzAy
MjA2NDVaGA8yMTI2MTEwNjIyMDY0NVowJDEQMA4GA1UECgwHRXhhbXBsZTEQMA4G
A1UEAwwHYWdlbnQgYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABP9M54+IYFMT
q14uZ0Lf7yWbajUGwbVo6MWWG6w/LR9cUh5wRuro5LyUNBOJz8dygVgBS6LV9/8V
5nff6sWF/x+jUzBRMB0GA1UdDgQWBBQ8fPA9Vw5wg4XJrl2mOAtjegHW4zAfBgNV
HSMEGDAWgBQ8fPA9Vw5wg4XJrl2mOAtjegHW4zAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0cAMEQCICoSfrDOwO0Xwzf6gomuxWmqurlqfOIKSG4nsuMKKod2
AiACF5lDFvR7z+LMN4Xs8S7Dx0KIMcSkgYSUAQnira5AZA==
-----END CERTIFICATE-----
";
    const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxTWQtwfKVHzn/DO9
2MszWtFMRUXo1rGuUax7VPwicjOhRANCAAT/TOePiGBTE6teLmdC3+8lm2o1BsG1
aOjFlhusPy0fXFIecEbq6OS8lDQTic/HcoFYAUui1ff/FeZ33+rFhf8f
-----END PRIVATE KEY-----
";
    const OTHER_CERT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnjCCAUWgAwIBAgIUdI5e2Ae4YfTAWC6E1Q95ll+YqoMwCgYIKoZIzj0EAwIw
JDEQMA4GA1UECgwHRXhhbXBsZTEQMA4GA1UEAwwHYWdlbnQgYjAgFw0yNjExMzAy
MjA2NDVaGA8yMTI2MTEwNjIyMDY0NVowJDEQMA4GA1UECgwHRXhhbXBsZTEQMA4G
A1UEAwwHYWdlbnQgYjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCeLLyjFpRO3
ZTq3bI7sZJmDWTSptCJxLwpbf4ez0re2dzjYTGP5zOYsYALVl502k2ZFDGW9InrC
Tokf5KCdVEKjUzBRMB0GA1UdDgQWBBRlTiaysPvwmI1s9kwAp6W8mEYTETAfBgNV
HSMEGDAWgBRlTiaysPvwmI1s9kwAp6W8mEYTETAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0cAMEQCID/uw/j5m+IG50IWIVPGlTmt5GMiUxt3qXJTgq/EsyjB
AiBy4uoC0uugs+yGO3E1MOsqY1+rVs6NBmZZnWmgUxC0Cg==
-----END CERTIFICATE-----
";
    const OTHER_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEdbTC+q+uWu11dD2
j3BSXDif4RqIV6hX2HG6MAeh5xWhRANCAAQniy8oxaUTt2U6t2yO7GSZg1k0qbQi
cS8KW3+Hs9K3tnc42Exj+czmLGAC1ZedNpNmRQxlvSJ6wk6JH+SgnVRC
-----END PRIVATE KEY-----
";

    fn trusted() -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()
    }

    fn files(folder: &Path) -> CertificateFiles {
        CertificateFiles {
            cert: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        }
    }

    #[test]
    fn a_certificate_tells_whom_it_names_and_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let both = folder.path().join("both.pem");
        fs::write(&both, format!("{KEY}{CERT}")).unwrap();
        let one = CertificateFiles {
            cert: both.clone(),
            key: both,
        };
        let facts = one.facts().unwrap();
        assert_eq!(
            facts.thumbprint,
            "s9Rq1XajcWc86wcS0MltAAfRuGBnn1UeBM7qspNqn5g"
        );
        assert_eq!(facts.subject, "CN=agent a,O=Example");
        assert_eq!(facts.not_after.to_string(), "2126-11-06T22:06:45Z");
        assert!(!format!("{facts:?}").contains("PRIVATE"));
    }

    #[test]
    fn between_two_files_the_pair_before_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (files, trusted) = (files(folder.path()), trusted());
        let certificates = Certificates::default();
        fs::write(&files.cert, CERT).unwrap();
        fs::write(&files.key, OTHER_KEY).unwrap();
        let never_shown = certificates.load(&files, &trusted).unwrap_err();
        assert!(matches!(never_shown, UnusableCertificate::OtherKey { .. }));
        fs::write(&files.key, KEY).unwrap();
        let first = certificates.load(&files, &trusted).unwrap();
        let same = certificates.load(&files, &trusted).unwrap();
        assert!(Arc::ptr_eq(&first.config, &same.config), "parsed once");
        fs::write(&files.cert, OTHER_CERT).unwrap();
        let between = certificates.load(&files, &trusted).unwrap();
        assert!(Arc::ptr_eq(&first.config, &between.config));
        fs::write(&files.key, OTHER_KEY).unwrap();
        let renewed = certificates.load(&files, &trusted).unwrap();
        assert!(!Arc::ptr_eq(&first.config, &renewed.config));
        assert_ne!(first.thumbprint, renewed.thumbprint);
        fs::remove_file(&files.key).unwrap();
        certificates.load(&files, &trusted).unwrap_err();
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        fs::write(&files.cert, CERT).unwrap();
        let key_line = KEY.lines().nth(1).unwrap();
        for (key, why) in [
            ("", "no private key"),
            (CERT, "no private key"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n",
                "passphrase",
            ),
            (OTHER_KEY, "does not belong"),
            (&KEY.replace("-----END PRIVATE KEY-----", ""), "tls.key"),
        ] {
            fs::write(&files.key, key).unwrap();
            let said = files.facts().unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
            assert!(!said.contains(key_line), "{said}");
        }
    }
}
