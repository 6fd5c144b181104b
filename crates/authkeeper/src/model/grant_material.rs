//! What a grant needs beside its tokens: where the assertion it is renewed with comes from, the key its tokens are bound
//! to. Part of it is secret, so it is kept as one text, which is sealed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    http::CertificateFiles,
    model::{ClientId, RequestSettings},
    secret::SecretString,
};

/// What a grant needs beside its tokens.
#[derive(Clone, Debug, Default)]
pub struct GrantMaterial {
    /// Where the assertion comes from that stands in the place of a refresh token (RFC 7523 §2.1).
    pub assertion: Option<AssertionSource>,
    /// Whom our client's own assertions are for; none leaves it to the provider's habits.
    pub audience: Option<String>,
    /// The private key that its tokens are bound to (RFC 9449), as PKCS#8 in base64.
    pub proof_key: Option<SecretString>,
    /// Whether its tokens shall be bound to a key.
    pub dpop: DpopUse,
    /// A digest of the identity provider's refresh token that the sign-in read from its file: replaced since, it must not be
    /// sent again.
    pub began_with: Option<String>,
    /// What a person set of its requests.
    pub requests: RequestSettings,
    /// The client certificate that its servers are shown (RFC 8705). The files are read for each connection: certificates
    /// are renewed on disk.
    pub certificate: Option<CertificateFiles>,
}

/// Where an assertion comes from.
#[derive(Clone, Debug)]
pub enum AssertionSource {
    /// From a file that the platform rewrites from time to time.
    File(PathBuf),
    /// From the company's identity provider, which exchanges a person's token for it.
    IdentityProvider(IdentityProvider),
}

impl AssertionSource {
    /// The file behind it.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::IdentityProvider(idp) => idp.subject.path(),
        }
    }
}

/// The identity provider behind a grant, and our client there.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    /// Its token endpoint.
    pub token_url: String,
    /// Our client there.
    pub client_id: ClientId,
    /// That client's secret, if it has one.
    pub client_secret: Option<SecretString>,
    /// What is exchanged.
    pub subject: SubjectFile,
}

/// The person's token at the identity provider, in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectFile {
    /// An ID token: read again at each renewal.
    IdToken(PathBuf),
    /// A refresh token: read at the sign-in, and from then on the grant's own, as it may be good once.
    RefreshToken(PathBuf),
}

impl SubjectFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::IdToken(path) | Self::RefreshToken(path) => path,
        }
    }
}

/// Whether tokens shall be bound to a key of ours (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpopUse {
    /// Where both servers offer it, or demand it.
    #[default]
    Auto,
    /// Always.
    Required,
    /// Never.
    Off,
}

impl DpopUse {
    const ALL: [Self; 3] = [Self::Auto, Self::Required, Self::Off];

    /// The word stored and typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::Off => "off",
        }
    }

    /// Reads the word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

impl GrantMaterial {
    /// The identity provider, if there is one behind the grant.
    pub fn identity_provider(&self) -> Option<&IdentityProvider> {
        match &self.assertion {
            Some(AssertionSource::IdentityProvider(idp)) => Some(idp),
            _ => None,
        }
    }

    /// As one text; none if there is nothing to keep.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is written into one secret, which is sealed"
    )]
    pub fn write(&self) -> Option<SecretString> {
        let usual = self.dpop == DpopUse::default()
            && self.requests.is_usual()
            && self.certificate.is_none();
        if self.assertion.is_none() && self.audience.is_none() && self.proof_key.is_none() && usual
        {
            return None;
        }
        let assertion = self.assertion.as_ref().map(|source| match source {
            AssertionSource::File(path) => json!({"file": path.to_string_lossy()}),
            AssertionSource::IdentityProvider(idp) => {
                let (kind, path) = match &idp.subject {
                    SubjectFile::IdToken(path) => ("id_token", path),
                    SubjectFile::RefreshToken(path) => ("refresh_token", path),
                };
                json!({
                    "token_url": idp.token_url, "client_id": idp.client_id.as_str(),
                    "client_secret": idp.client_secret.as_ref().map(SecretString::expose),
                    "subject": kind, "subject_file": path.to_string_lossy(),
                })
            }
        });
        let certificate = self.certificate.as_ref().map(|files| {
            json!({"cert": files.cert.to_string_lossy(), "key": files.key.to_string_lossy()})
        });
        let whole = json!({
            "assertion": assertion, "audience": self.audience, "dpop": self.dpop.as_str(),
            "proof_key": self.proof_key.as_ref().map(SecretString::expose),
            "began_with": self.began_with, "requests": self.requests.write(),
            "certificate": certificate,
        });
        Some(whole.to_string().into())
    }

    /// Reads the text back.
    #[expect(clippy::disallowed_methods, reason = "it is read back")]
    pub fn read(text: &SecretString) -> Option<Self> {
        let whole: Value = serde_json::from_str(text.expose()).ok()?;
        let text = |from: &Value, key: &str| from.get(key)?.as_str().map(str::to_owned);
        let assertion = whole.get("assertion").filter(|source| !source.is_null());
        let assertion = match assertion {
            None => None,
            Some(source) => Some(match text(source, "file") {
                Some(path) => AssertionSource::File(path.into()),
                None => AssertionSource::IdentityProvider(IdentityProvider {
                    token_url: text(source, "token_url")?,
                    client_id: ClientId::new(text(source, "client_id")?),
                    client_secret: text(source, "client_secret").map(Into::into),
                    subject: {
                        let path = text(source, "subject_file")?.into();
                        match text(source, "subject")?.as_str() {
                            "id_token" => SubjectFile::IdToken(path),
                            _ => SubjectFile::RefreshToken(path),
                        }
                    },
                }),
            }),
        };
        let certificate = whole.get("certificate").filter(|files| !files.is_null());
        let certificate = match certificate {
            None => None,
            Some(files) => Some(CertificateFiles {
                cert: text(files, "cert")?.into(),
                key: text(files, "key")?.into(),
            }),
        };
        Some(Self {
            assertion,
            audience: text(&whole, "audience"),
            proof_key: text(&whole, "proof_key").map(Into::into),
            dpop: DpopUse::parse(&text(&whole, "dpop")?)?,
            began_with: text(&whole, "began_with"),
            requests: RequestSettings::read(whole.get("requests")),
            certificate,
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests compare what came back"
)]
mod tests {
    use super::*;

    #[test]
    fn means_read_back_what_they_wrote() {
        assert!(
            GrantMaterial::default().write().is_none(),
            "nothing to keep"
        );
        let grant_material = GrantMaterial {
            assertion: Some(AssertionSource::IdentityProvider(IdentityProvider {
                token_url: "https://idp.example/token".to_owned(),
                client_id: ClientId::new("at-idp"),
                client_secret: Some("s3cret".to_owned().into()),
                subject: SubjectFile::RefreshToken("/run/rt".into()),
            })),
            audience: Some("https://as.example/token".to_owned()),
            proof_key: Some("key".to_owned().into()),
            dpop: DpopUse::Required,
            began_with: Some("digest".to_owned()),
            requests: RequestSettings::default(),
            certificate: Some(CertificateFiles {
                cert: "/run/tls.crt".into(),
                key: "/run/tls.key".into(),
            }),
        };
        let back = GrantMaterial::read(&grant_material.write().unwrap()).unwrap();
        assert_eq!(format!("{back:?}"), format!("{grant_material:?}"));
        assert_eq!(back.proof_key.unwrap().expose(), "key");
        let file = GrantMaterial {
            assertion: Some(AssertionSource::File("/run/jwt".into())),
            ..GrantMaterial::default()
        };
        let back = GrantMaterial::read(&file.write().unwrap()).unwrap();
        assert_eq!(format!("{back:?}"), format!("{file:?}"));
        let certificate = GrantMaterial {
            certificate: grant_material.certificate.clone(),
            ..GrantMaterial::default()
        };
        let back = GrantMaterial::read(&certificate.write().unwrap()).unwrap();
        assert_eq!(back.certificate, certificate.certificate);
        let mut requests = GrantMaterial::default();
        requests.requests.without_resource = true;
        let back = GrantMaterial::read(&requests.write().unwrap()).unwrap();
        assert_eq!(back.requests, requests.requests);
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"dpop":"maybe"}"#,
            r#"{"dpop":"off","assertion":{}}"#,
            r#"{"dpop":"off","certificate":{}}"#,
        ] {
            assert!(
                GrantMaterial::read(&bad.to_owned().into()).is_none(),
                "{bad}"
            );
        }
    }
}
