//! How servers are reached: the usual variables, then the configuration file. What starts a job unattended (cron, an MCP
//! client) passes few variables on, so all of it can stand in the file.

use std::path::Path;

use authkeeper::http::{
    CertificateFiles, ClientCertificate, ProxySetting, ProxySettings, TlsSettings,
};

use super::{environment::Environment, file::ConfigFile};
use crate::{exit::Exit, failure::Failure};

/// The proxies, and the authorities that are trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkSettings {
    pub(crate) proxies: ProxySettings,
    /// What is trusted, and what is shown to servers that ask for a certificate.
    pub(crate) tls: TlsSettings,
    /// Whether the proxy is known from the environment alone.
    pub(crate) by_environment: bool,
}

impl NetworkSettings {
    pub(super) fn load(
        environment: &Environment,
        file: &mut ConfigFile,
        config: &Path,
    ) -> Result<Self, Failure> {
        let all = file.proxy(&["network", "proxy"])?;
        let direct = file.text(&["network", "no_proxy"])?;
        let ca_file = file.text(&["network", "ca_file"])?;
        let folder = config.parent().unwrap_or(Path::new(""));
        let (https, http) = (variable(environment, "HTTPS_PROXY"), of_http(environment));
        let every = variable(environment, "ALL_PROXY");
        let by_environment = all.is_none() && (https.is_some() || every.is_some());
        let set_by = "network.proxy in config.toml".to_owned();
        let all = every.or_else(|| {
            Some(ProxySetting {
                set_by,
                url: all?.into(),
            })
        });
        let direct = environment
            .either_case("NO_PROXY")
            .map(str::to_owned)
            .or(direct);
        Ok(Self {
            proxies: ProxySettings {
                https,
                http,
                all,
                direct: direct.unwrap_or_default(),
            },
            tls: TlsSettings {
                ca_file: ca_file.map(|file| folder.join(file)),
                certificates: certificates(file, folder)?,
            },
            by_environment,
        })
    }
}

/// Those that single hosts are shown.
fn certificates(file: &mut ConfigFile, folder: &Path) -> Result<Vec<ClientCertificate>, Failure> {
    let mut certificates = Vec::new();
    for host in file.tables_of("client_certificate") {
        let cert = file.text(&["client_certificate", &host, "cert"])?;
        let key = file.text(&["client_certificate", &host, "key"])?;
        let (Some(cert), Some(key)) = (cert, key) else {
            let what = format!("client_certificate.{host:?} needs both, cert and key");
            return Err(Failure::new(
                Exit::Config,
                what,
                "name the two files (PEM) in config.toml",
            ));
        };
        let (cert, key) = (folder.join(cert), folder.join(key));
        let files = CertificateFiles { cert, key };
        certificates.push(ClientCertificate { host, files });
    }
    Ok(certificates)
}

fn variable(environment: &Environment, name: &str) -> Option<ProxySetting> {
    let url = environment.either_case(name)?.to_owned().into();
    Some(ProxySetting {
        set_by: name.to_owned(),
        url,
    })
}

/// A CGI program gets `HTTP_PROXY` from its client, who sends a header `Proxy` (CVE-2016-5385).
fn of_http(environment: &Environment) -> Option<ProxySetting> {
    let cgi = environment.get("REQUEST_METHOD").is_some();
    let url = environment
        .text("http_proxy")
        .or_else(|| environment.text("HTTP_PROXY").filter(|_| !cgi))?;
    Some(ProxySetting {
        set_by: "HTTP_PROXY".to_owned(),
        url: url.to_owned().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::without_password;

    fn loaded(variables: &[(&str, &str)], text: &str) -> NetworkSettings {
        let mut file = ConfigFile::parse(Path::new("/c/config.toml"), text).unwrap();
        let environment = crate::settings::tests::environment(variables);
        NetworkSettings::load(&environment, &mut file, Path::new("/c/config.toml")).unwrap()
    }

    #[test]
    fn variables_win_over_the_file_and_may_be_written_small() {
        let file =
            "[network]\nproxy = \"http://file:1\"\nno_proxy = \"corp\"\nca_file = \"ca.pem\"\n";
        let of_file = loaded(&[], file);
        assert_eq!(of_file.tls.ca_file.as_deref(), Some(Path::new("/c/ca.pem")));
        assert_eq!(of_file.proxies.direct, "corp");
        let set_by = |settings: &NetworkSettings| {
            let proxies = &settings.proxies;
            let used = proxies.https.as_ref().or(proxies.all.as_ref());
            used.map(|used| used.set_by.clone())
        };
        assert_eq!(
            set_by(&of_file).as_deref(),
            Some("network.proxy in config.toml")
        );
        assert!(!of_file.by_environment);
        let set = loaded(
            &[("https_proxy", "http://small:1"), ("NO_PROXY", "x")],
            file,
        );
        assert_eq!(set_by(&set).as_deref(), Some("HTTPS_PROXY"));
        assert_eq!(set.proxies.direct, "x");
        assert!(loaded(&[("ALL_PROXY", "http://all:1")], "").by_environment);
        assert_eq!(set_by(&loaded(&[("HTTPS_PROXY", "")], "")), None);
    }

    #[test]
    fn a_cgi_program_takes_no_proxy_from_its_client() {
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil:1")];
        assert!(loaded(&cgi, "").proxies.http.is_none());
        assert!(loaded(&cgi[1..], "").proxies.http.is_some());
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("http://me:p@ss@proxy:1", "http://…@proxy:1"),
            ("me:pass@proxy:1", "…@proxy:1"),
            ("http://proxy:1", "http://proxy:1"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
