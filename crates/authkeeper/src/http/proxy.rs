//! Proxies: which one a URL is reached through, by the rules of curl's variables.

use std::fmt;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::{
    http::{
        transport::{ConnectError, ProxyFailure},
        url::is_loopback_host,
    },
    secret::SecretString,
};

/// The protocols of proxies that are spoken.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// Proxies as somebody set them.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `https` URLs.
    pub https: Option<ProxySetting>,
    /// For `http` URLs.
    pub http: Option<ProxySetting>,
    /// For all others.
    pub all: Option<ProxySetting>,
    /// Hosts that are reached without a proxy, separated by commas or spaces: names with all below them, addresses, networks,
    /// each with a port if only that one is meant; `*` for all.
    pub direct: String,
}

/// One proxy as somebody set it.
#[derive(Clone, Debug)]
pub struct ProxySetting {
    /// The variable or setting, as a person knows it.
    pub set_by: String,
    /// `http://USER:PASSWORD@HOST:PORT`, or with `https`, `socks5` or `socks5h`.
    pub url: SecretString,
}

/// The proxies of this process.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    https: Option<Slot>,
    http: Option<Slot>,
    direct: Vec<Direct>,
}

/// A setting that can be used, or why not.
type Slot = Result<Proxy, Unusable>;

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    set_by: String,
    intercept: Intercept,
}

/// Neither user nor password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// As errors and `doctor` show it: `http://proxy.corp:3128 (HTTPS_PROXY)`.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.intercept.uri();
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        write!(f, "{}://{authority} ({})", self.scheme(), self.set_by)
    }
}

#[derive(Clone, Debug)]
struct Unusable {
    set_by: String,
    why: String,
}

/// An entry of the list of hosts that need no proxy.
#[derive(Clone, Debug)]
struct Direct {
    /// The rule is the library's: this one uses no proxy for the entry's hosts.
    rule: std::sync::Arc<Matcher>,
    port: Option<u16>,
}

impl Proxies {
    /// Reads the settings. One that can't be used is an error only when a connection needs it.
    pub fn of(settings: &ProxySettings) -> Self {
        let slot = |own: &Option<ProxySetting>| own.as_ref().or(settings.all.as_ref()).map(slot_of);
        let https = slot(&settings.https);
        let http = slot(&settings.http);
        let used = https.is_some() || http.is_some();
        let entries = settings.direct.split([',', ' ', '\t', '\n']);
        let entries = entries.filter(|entry| used && !entry.is_empty());
        Self {
            https,
            http,
            direct: entries.map(Direct::of).collect(),
        }
    }

    /// The proxy that a URL is reached through. This machine is never reached through one: it would see in the clear what is
    /// sent there.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Proxy`] if the setting for it can't be used.
    pub fn of_url(&self, uri: &Uri) -> Result<Option<&Proxy>, ConnectError> {
        let https = uri.scheme_str() == Some("https");
        let slot = if https { &self.https } else { &self.http };
        let (Some(slot), Some(host)) = (slot, uri.host()) else {
            return Ok(None);
        };
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        if is_loopback_host(host) || self.direct.iter().any(|entry| entry.covers(uri, port)) {
            return Ok(None);
        }
        slot.as_ref()
            .map(Some)
            .map_err(|unusable| unusable.error(host))
    }

    /// What is set, for a person: each proxy for what it is used, or why it can't be.
    pub fn described(&self) -> Vec<Result<String, String>> {
        let slots = [("https", &self.https), ("http", &self.http)];
        let said = slots.into_iter().filter_map(|(scheme, slot)| {
            Some(match slot.as_ref()? {
                Ok(proxy) => Ok(format!("{scheme} URLs are reached through {proxy}")),
                Err(Unusable { set_by, why }) => Err(format!("{set_by} {why}")),
            })
        });
        said.collect()
    }
}

impl Unusable {
    fn error(&self, host: &str) -> ConnectError {
        let Self { set_by, why } = self;
        ConnectError::Proxy(Box::new(ProxyFailure {
            proxy: set_by.clone(),
            host: host.to_owned(),
            detail: format!("{set_by} {why}"),
            remedy: Some(format!("correct {set_by}, or unset it")),
        }))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "user and password become the header that the proxy wants"
)]
fn slot_of(setting: &ProxySetting) -> Slot {
    let text = setting.url.expose().as_str();
    let unusable = |why: &str| Unusable {
        set_by: setting.set_by.clone(),
        why: why.to_owned(),
    };
    let scheme = text.split_once("://").map_or("http", |(scheme, _)| scheme);
    if !SCHEMES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
    {
        return Err(unusable(
            "names a kind of proxy that is not supported; http, https, socks5 and socks5h are",
        ));
    }
    let matcher = Matcher::builder().all(text.to_owned()).build();
    let any = Uri::from_static("https://any.invalid/");
    let intercept = matcher.intercept(&any).ok_or_else(|| {
        unusable("is no URL of a proxy; write http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT with each special \
             character of the password as %XX")
    })?;
    Ok(Proxy {
        set_by: setting.set_by.clone(),
        intercept,
    })
}

impl Direct {
    fn of(entry: &str) -> Self {
        // An IPv6 address has several colons, and a port of its own only behind brackets.
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => port
                .parse()
                .map_or((entry, None), |port| (host, Some(port))),
            _ => (entry, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_prefix("*.").unwrap_or(host);
        let matcher = Matcher::builder()
            .all("http://any.invalid")
            .no(host.to_owned());
        Self {
            rule: std::sync::Arc::new(matcher.build()),
            port,
        }
    }

    fn covers(&self, uri: &Uri, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.rule.intercept(uri).is_none()
    }
}

impl Proxy {
    /// The variable or setting that names it.
    pub(super) fn set_by(&self) -> &str {
        &self.set_by
    }

    pub(super) fn scheme(&self) -> &str {
        self.intercept.uri().scheme_str().unwrap_or("http")
    }

    pub(super) fn uri(&self) -> &Uri {
        self.intercept.uri()
    }

    pub(super) fn host(&self) -> &str {
        let host = self.intercept.uri().host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        let usual = match self.scheme() {
            "https" => 443,
            "http" => 80,
            _ => 1080,
        };
        self.intercept.uri().port_u16().unwrap_or(usual)
    }

    pub(super) fn is_socks(&self) -> bool {
        self.scheme().starts_with("socks")
    }

    /// Whether names are resolved here and not by the proxy.
    pub(super) fn resolves_here(&self) -> bool {
        self.scheme() == "socks5"
    }

    pub(super) fn basic_auth(&self) -> Option<HeaderValue> {
        let mut header = self.intercept.basic_auth()?.clone();
        header.set_sensitive(true);
        Some(header)
    }

    pub(super) fn user_and_password(&self) -> Option<(&str, &str)> {
        self.intercept.raw_auth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(set_by: &str, url: &str) -> ProxySetting {
        ProxySetting {
            set_by: set_by.to_owned(),
            url: url.to_owned().into(),
        }
    }

    fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.of_url(&url.parse().unwrap()).unwrap();
        proxy.map(ToString::to_string)
    }

    #[test]
    fn the_most_specific_setting_is_used() {
        let proxies = Proxies::of(&ProxySettings {
            https: Some(setting("HTTPS_PROXY", "http://secure.corp:3128")),
            all: Some(setting("ALL_PROXY", "socks5h://rest.corp")),
            ..ProxySettings::default()
        });
        let https = chosen(&proxies, "https://mcp.example/mcp");
        assert_eq!(
            https.as_deref(),
            Some("http://secure.corp:3128 (HTTPS_PROXY)")
        );
        let http = chosen(&proxies, "http://mcp.example/mcp");
        assert_eq!(http.as_deref(), Some("socks5h://rest.corp (ALL_PROXY)"));
        assert_eq!(chosen(&Proxies::default(), "https://mcp.example/"), None);
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let all = Some(setting("ALL_PROXY", "proxy.corp:3128"));
        let proxies = Proxies::of(&ProxySettings {
            all,
            ..ProxySettings::default()
        });
        for url in [
            "http://127.0.0.1:1/",
            "https://localhost/",
            "http://[::1]:1/",
        ] {
            assert_eq!(chosen(&proxies, url), None, "{url}");
        }
        assert!(chosen(&proxies, "https://mcp.example/").is_some());
    }

    #[test]
    fn hosts_are_excepted_by_name_network_and_port() {
        let direct = "corp.example, .dot.example *.star.example\t10.0.0.0/8,[fd00::1]:8443,port.example:8443,fd00::2";
        let proxies = Proxies::of(&ProxySettings {
            all: Some(setting("ALL_PROXY", "http://proxy:1")),
            direct: direct.to_owned(),
            ..ProxySettings::default()
        });
        for url in [
            "https://corp.example/",
            "https://A.B.CORP.example/",
            "https://dot.example/",
            "https://x.dot.example:1/",
            "https://x.star.example/",
            "https://10.1.2.3/",
            "https://port.example:8443/",
            "https://[fd00::1]:8443/",
            "https://[fd00::2]/",
        ] {
            assert_eq!(chosen(&proxies, url), None, "{url}");
        }
        for url in [
            "https://notcorp.example/",
            "https://11.1.2.3/",
            "https://port.example/",
            "https://[fd00::1]/",
        ] {
            assert!(chosen(&proxies, url).is_some(), "{url}");
        }
        let none = Proxies::of(&ProxySettings {
            all: Some(setting("ALL_PROXY", "http://proxy:1")),
            direct: "*".to_owned(),
            ..ProxySettings::default()
        });
        assert_eq!(chosen(&none, "https://mcp.example/"), None);
    }

    #[test]
    fn a_setting_that_is_no_proxy_is_an_error_and_not_ignored() {
        for wrong in [
            "socks4://proxy:1",
            "ftp://proxy:1",
            "http://",
            "http://a b",
            "://",
        ] {
            let proxies = Proxies::of(&ProxySettings {
                https: Some(setting("HTTPS_PROXY", wrong)),
                ..ProxySettings::default()
            });
            let error = proxies.of_url(&"https://mcp.example/".parse().unwrap());
            let error = error.unwrap_err();
            assert!(
                error.to_string().contains("HTTPS_PROXY"),
                "{wrong}: {error}"
            );
            assert!(error.remedy().is_some(), "{wrong}");
            assert!(
                proxies
                    .of_url(&"https://localhost/".parse().unwrap())
                    .is_ok()
            );
        }
    }

    #[test]
    fn a_password_does_not_print() {
        let settings = ProxySettings {
            https: Some(setting("HTTPS_PROXY", "http://me:hunter2@proxy.corp:3128")),
            http: Some(setting("HTTP_PROXY", "socks5://me:hunter2@proxy.corp")),
            all: Some(setting("ALL_PROXY", "gopher://me:hunter2@proxy.corp")),
            ..ProxySettings::default()
        };
        let proxies = Proxies::of(&settings);
        let all = Proxies::of(&ProxySettings {
            https: settings.all.clone(),
            ..ProxySettings::default()
        });
        let error = all.of_url(&"https://mcp.example/".parse().unwrap());
        let described = (proxies.described(), all.described());
        let printed = format!("{settings:?} {proxies:?} {all:?} {error:?} {described:?}");
        assert!(
            printed.contains("proxy.corp:3128 (HTTPS_PROXY)"),
            "{printed}"
        );
        for secret in ["hunter2", "aHVudGVy", "me:", "me@"] {
            assert!(!printed.contains(secret), "{secret}: {printed}");
        }
        let proxy = proxies.of_url(&"https://mcp.example/".parse().unwrap());
        assert!(proxy.unwrap().unwrap().basic_auth().unwrap().is_sensitive());
    }
}
