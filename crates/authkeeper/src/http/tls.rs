//! TLS: whom this machine trusts, and what to do about a handshake that failed.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, client::danger::ServerCertVerifier,
    pki_types::CertificateDer,
};
use rustls_platform_verifier::Verifier;

use crate::http::{
    certificate::{CertificateFiles, Certificates, Loaded, UnusableCertificate, chain_in},
    transport::{ConnectError, TlsFailure},
    url::HttpUrl,
};

/// A certificate that one server is shown if it asks for one (RFC 8705 has tokens bound to it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The server's host. No other server is shown it.
    pub host: String,
    /// Where it is.
    pub files: CertificateFiles,
}

/// What this machine trusts and shows.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificates of authorities (PEM) that are trusted beside those of the platform.
    pub ca_file: Option<PathBuf>,
    /// One for a host.
    pub certificates: Vec<ClientCertificate>,
}

/// What this machine trusts, read at the first handshake: most runs of the command line answer from the store.
#[derive(Debug, Default)]
pub(super) struct Trust {
    settings: TlsSettings,
    config: OnceLock<Arc<ClientConfig>>,
    certificates: Certificates,
}

impl Trust {
    pub(super) fn new(settings: TlsSettings) -> Self {
        Self {
            settings,
            config: OnceLock::new(),
            certificates: Certificates::default(),
        }
    }

    /// The certificate that this host is shown.
    pub(super) fn certificate_for(&self, host: &str) -> Option<&ClientCertificate> {
        let mut all = self.settings.certificates.iter();
        all.find(|one| one.host.eq_ignore_ascii_case(host))
    }

    /// For HTTP with this host: with the certificate of the connection, else with the one that is set for the host.
    pub(super) fn config(
        &self,
        host: &str,
        own: Option<&CertificateFiles>,
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(files) = own {
            let loaded = self.load(files)?;
            return loaded
                .map(|loaded| loaded.config)
                .map_err(|why| unusable(OF_CONNECTION, &why));
        }
        let Some(certificate) = self.certificate_for(host) else {
            return self.trusted();
        };
        let setting = format!("{OWN_CERTIFICATE}.{:?}", certificate.host);
        let loaded = self.load(&certificate.files)?;
        loaded
            .map(|loaded| loaded.config)
            .map_err(|why| unusable(&setting, &why))
    }

    /// A certificate as its files hold it now. The outer error is about what this machine trusts.
    pub(super) fn load(
        &self,
        files: &CertificateFiles,
    ) -> Result<Result<Loaded, UnusableCertificate>, rustls::Error> {
        let trusted = self.trusted()?;
        Ok(self.certificates.load(files, &trusted))
    }

    /// The server chooses the version of HTTP (RFC 7301).
    fn trusted(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(ready) = self.config.get() {
            return Ok(Arc::clone(ready));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let extra = self
            .settings
            .ca_file
            .as_deref()
            .map_or_else(|| Ok(vec![]), read_authorities)?;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Verifier::new_with_extra_roots(
            extra,
            Arc::clone(&provider),
        )?);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

const AUTHORITIES: &str = "network.ca_file";
const OWN_CERTIFICATE: &str = "client_certificate";
const OF_CONNECTION: &str = "the connection's client certificate";

fn read_authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
    let read = std::fs::read(file).map_err(|error| error.to_string());
    let read = read.and_then(|text| chain_in(&text));
    read.map_err(|why| unusable(AUTHORITIES, &format!("{}: {why}", file.display())))
}

fn unusable(setting: &str, why: &dyn std::fmt::Display) -> rustls::Error {
    rustls::Error::General(format!("{setting} can't be used, {why}"))
}

/// A handshake that failed with `host`, as a person knows it.
pub(super) fn failed(host: &str, error: &(dyn Error + 'static)) -> ConnectError {
    let of_tls = of_tls(error);
    ConnectError::Tls(Box::new(TlsFailure {
        host: host.to_owned(),
        detail: match of_tls {
            Some(rustls::Error::General(why)) => why.clone(),
            Some(rustls::Error::InvalidMessage(_)) => NO_TLS.to_owned(),
            Some(of_tls) => of_tls.to_string(),
            None => error.to_string(),
        },
        remedy: of_tls.map(|error| remedy(host, error)),
    }))
}

const NO_TLS: &str = "what answers there does not speak TLS";

/// What a person does about a server without TLS. Only on this machine may a URL do without it.
fn remedy_without_tls(host: &str) -> String {
    let plain = host.replacen("https://", "http://", 1);
    let here = HttpUrl::parse(&plain).is_ok();
    if here && plain != host {
        return format!("it seems to be plain HTTP: write {plain} in the URL, or correct the port");
    }
    "check the port in the URL, and whether a proxy is needed (HTTPS_PROXY); a server that is called over the network \
     needs TLS"
        .to_owned()
}

/// The TLS error inside. A connection that broke has none, and may come about later.
fn of_tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let inside = |error: &'e io::Error| error.get_ref().and_then(|inner| of_tls(inner));
    error
        .downcast_ref::<rustls::Error>()
        .or_else(|| error.downcast_ref::<io::Error>().and_then(inside))
}

const OWN_AUTHORITY: &str = "if your organisation has its own certificate authority, or a proxy that opens TLS, set \
     SSL_CERT_FILE to a file with the authorities to trust (PEM), or network.ca_file in config.toml to the one to add";
const CLIENT_CERTIFICATE: &str = "the server wants a client certificate that it trusts: ask its operator for one, then \
     connect with --client-cert FILE --client-key FILE, or name it for every connection to that host in config.toml as \
     [client_certificate.\"HOST\"] with cert and key";

/// What a person does about it.
fn remedy(host: &str, error: &rustls::Error) -> String {
    let own = |text: &str| text.to_owned();
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => own(
                "check this machine's clock; if it is right, the server's operator must renew the certificate",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                own("check the host in the URL; if it is right, tell the server's operator")
            }
            _ => own(OWN_AUTHORITY),
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure,
        ) => own(CLIENT_CERTIFICATE),
        rustls::Error::General(why) if why.starts_with(AUTHORITIES) => {
            own("correct network.ca_file in config.toml")
        }
        rustls::Error::General(why) if why.starts_with(OWN_CERTIFICATE) => {
            own("correct client_certificate in config.toml, or the files that it names")
        }
        rustls::Error::General(why) if why.starts_with(OF_CONNECTION) => own(
            "correct the files that --client-cert and --client-key named, or connect again with others",
        ),
        rustls::Error::General(why) if why.starts_with("No CA") => {
            own("install the package ca-certificates, or correct SSL_CERT_FILE")
        }
        rustls::Error::InvalidMessage(_) => remedy_without_tls(host),
        _ => {
            own("check the host and port in the URL; if they are right, tell the server's operator")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(error: rustls::Error) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_certificate_is_a_matter_of_configuration_and_a_broken_connection_is_not() {
        let remedy = |error: &(dyn Error + 'static)| {
            let failed = failed("https://mcp.example", error);
            failed.remedy().map(str::to_owned)
        };
        let unknown = inside(CertificateError::UnknownIssuer.into());
        let said = remedy(&unknown).unwrap();
        assert!(said.contains("SSL_CERT_FILE") && said.contains("network.ca_file"));
        let wanted = inside(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired,
        ));
        assert!(remedy(&wanted).unwrap().contains("[client_certificate."));
        let old = inside(CertificateError::Expired.into());
        assert!(remedy(&old).unwrap().contains("clock"));
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(remedy(&reset), None);
    }

    #[test]
    fn a_server_without_tls_is_called_one() {
        let said = |host: &str| {
            let why = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
            let failed = failed(host, &inside(why));
            assert!(failed.to_string().ends_with(NO_TLS), "{failed}");
            failed.remedy().unwrap().to_owned()
        };
        let here = said("https://127.0.0.1:8765");
        assert!(
            here.contains("write http://127.0.0.1:8765 in the URL"),
            "{here}"
        );
        let elsewhere = said("https://mcp.example:80");
        assert!(
            elsewhere.contains("check the port") && !elsewhere.contains("http://"),
            "{elsewhere}"
        );
    }

    #[test]
    fn files_that_cannot_be_read_are_named_with_their_setting() {
        let of_nobody = |file: &str| ClientCertificate {
            host: "mcp.example".to_owned(),
            files: CertificateFiles {
                cert: file.into(),
                key: file.into(),
            },
        };
        for file in ["/nowhere/ca.pem", "/dev/null"] {
            let (authorities, own) = (
                TlsSettings {
                    ca_file: Some(file.into()),
                    ..TlsSettings::default()
                },
                TlsSettings {
                    certificates: vec![of_nobody(file)],
                    ..TlsSettings::default()
                },
            );
            for (settings, name) in [(authorities, AUTHORITIES), (own, OWN_CERTIFICATE)] {
                let error = Trust::new(settings)
                    .config("MCP.example", None)
                    .unwrap_err();
                let failed = failed("https://mcp.example", &error);
                assert!(failed.to_string().contains(file), "{failed}");
                assert!(failed.remedy().unwrap().contains(name), "{failed}");
            }
        }
    }
}
