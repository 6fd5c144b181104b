//! Addresses that a URL may lead to: the guard against server-side request forgery.

use std::net::IpAddr;

use crate::http::url::HttpUrl;

/// Which addresses a URL that somebody else told us about may lead to (server-side request forgery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The person named a host of their own network or machine: anything goes.
    Anywhere,
    /// The person named a public host: what it points us to must be public too.
    PublicOnly,
}

impl Reach {
    /// What a URL typed by a person allows for the URLs it leads to.
    pub fn from_typed(url: &HttpUrl) -> Self {
        let private = url.is_loopback() || url.host().parse::<IpAddr>().is_ok_and(is_internal);
        if private {
            Self::Anywhere
        } else {
            Self::PublicOnly
        }
    }

    /// A person who named two hosts allowed what either allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Anywhere { self } else { other }
    }

    /// What was allowed when a connection was made.
    pub fn of(internal: bool) -> Self {
        if internal {
            Self::Anywhere
        } else {
            Self::PublicOnly
        }
    }

    pub(super) fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || !is_internal(address)
    }
}

pub(super) fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || (v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]))
        }
        IpAddr::V6(v6) => {
            let mapped = v6
                .to_ipv4_mapped()
                .is_some_and(|v4| is_internal(IpAddr::V4(v4)));
            mapped
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// Whether a name is one of internal networks by itself: without a dot, or below a domain that is kept for them
/// (RFC 6761 §6.3, RFC 6762 §3, RFC 8375 §3, ICANN's `internal`).
pub(super) fn is_internal_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return is_internal(address);
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    let kept = [".localhost", ".local", ".internal", ".home.arpa"];
    !name.contains('.') || kept.iter().any(|domain| name.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_server_leads_to_public_addresses_only() {
        let public = Reach::from_typed(&HttpUrl::parse("https://mcp.example/mcp").unwrap());
        for internal in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!public.allows(internal.parse().unwrap()), "{internal}");
        }
        assert!(public.allows("93.184.216.34".parse().unwrap()));
        let local = Reach::from_typed(&HttpUrl::parse("http://127.0.0.1:1/mcp").unwrap());
        assert!(local.allows("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_name_can_be_internal_by_itself() {
        for internal in [
            "wiki",
            "printer.local",
            "SSO.corp.INTERNAL.",
            "x.localhost",
            "10.1.2.3",
            "[::1]",
        ] {
            assert!(is_internal_name(internal), "{internal}");
        }
        for public in ["mcp.example", "internal.example", "93.184.216.34"] {
            assert!(!is_internal_name(public), "{public}");
        }
    }
}
