//! Where this installation is reached from other machines: a reverse proxy there forwards to the daemon.

use authkeeper::{http::HttpUrl, model::ConnectionName};
use http::{HeaderMap, header};

/// The path of the sign-in pages, below the public URL and at the daemon itself.
const PAGES: &str = "/sign-in/";

/// The URL that the reverse proxy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(HttpUrl);

impl PublicUrl {
    /// An `https` URL (or `http` on this machine) without a query.
    pub fn new(url: HttpUrl) -> Option<Self> {
        url.uri().query().is_none().then_some(Self(url))
    }

    /// The page on which a person signs in to this connection.
    pub(super) fn page(&self, connection: &ConnectionName, id: &str) -> String {
        let base = self.0.as_str().trim_end_matches('/');
        format!("{base}{PAGES}{connection}/{id}")
    }

    /// Where its pages are, as a router writes it: below the path of the public URL, or without that.
    pub(crate) fn routes(&self) -> Vec<String> {
        let prefix = self.0.path().trim_end_matches('/');
        let prefix = prefix.replace('{', "{{").replace('}', "}}");
        let mut prefixes = vec![String::new(), prefix];
        prefixes.dedup();
        let route = |prefix| format!("{prefix}{PAGES}{{name}}/{{*id}}");
        prefixes.into_iter().map(route).collect()
    }

    /// Which page a path is, as the proxy forwards it: with the path of the public URL, or without.
    pub(crate) fn page_of<'a>(&self, path: &'a str) -> Option<PageAddress<'a>> {
        let prefix = self.0.path().trim_end_matches('/');
        let below = path.strip_prefix(prefix).unwrap_or(path);
        let below = below.strip_prefix(PAGES).or(path.strip_prefix(PAGES))?;
        let (name, id) = below.split_once('/')?;
        let name = ConnectionName::parse(name).ok()?;
        Some(PageAddress { name, id })
    }

    /// Whether a request came to this URL, by its `Host`.
    pub(crate) fn is_host(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let ours = self.0.uri().authority();
        let same = host
            .zip(ours)
            .is_some_and(|(host, ours)| host.eq_ignore_ascii_case(ours.as_str()));
        same && hosts.next().is_none()
    }

    /// Whether a page of this URL sent it: a browser says so of every form.
    pub(crate) fn is_origin(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().and_then(|origin| origin.to_str().ok());
        origin.is_some_and(|origin| origin == self.0.origin()) && origins.next().is_none()
    }
}

/// A sign-in page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageAddress<'a> {
    pub(crate) name: ConnectionName,
    /// Unguessable.
    pub(crate) id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::notion;

    fn public(url: &str) -> PublicUrl {
        PublicUrl::new(HttpUrl::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn a_page_is_found_whether_the_proxy_keeps_the_path_or_not() {
        let url = public("https://keeper.example/ak/");
        let page = url.page(&notion(), "a1b2");
        assert_eq!(page, "https://keeper.example/ak/sign-in/notion/a1b2");
        let found = Some(PageAddress {
            name: notion(),
            id: "a1b2",
        });
        assert_eq!(url.page_of("/ak/sign-in/notion/a1b2"), found);
        assert_eq!(url.page_of("/sign-in/notion/a1b2"), found);
        for path in [
            "/ak",
            "/mcp/notion",
            "/sign-in/notion",
            "/other/sign-in/notion/a1b2",
        ] {
            assert_eq!(url.page_of(path), None, "{path}");
        }
        let plain = public("https://keeper.example");
        assert_eq!(plain.page_of("/sign-in/notion/a1b2"), found);
        assert_eq!(
            plain.page(&notion(), "x"),
            "https://keeper.example/sign-in/notion/x"
        );
    }

    #[test]
    fn other_hosts_and_origins_are_told_apart() {
        let url = public("https://keeper.example:8443/ak");
        let of = |name: &'static str, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, value.parse().unwrap());
            }
            headers
        };
        assert!(url.is_host(&of("host", &["Keeper.example:8443"])));
        assert!(url.is_origin(&of("origin", &["https://keeper.example:8443"])));
        for values in [
            &["keeper.example"][..],
            &["evil.example:8443"],
            &[],
            &["keeper.example:8443", "evil.example"],
        ] {
            assert!(!url.is_host(&of("host", values)), "{values:?}");
        }
        for values in [
            &["http://keeper.example:8443"][..],
            &["null"],
            &[],
            &["https://keeper.example:8443", "https://evil.example"],
        ] {
            assert!(!url.is_origin(&of("origin", values)), "{values:?}");
        }
    }

    #[test]
    fn a_url_with_a_query_is_none() {
        let url = HttpUrl::parse("https://keeper.example/?a=1").unwrap();
        assert_eq!(PublicUrl::new(url), None);
    }
}
