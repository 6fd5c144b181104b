//! Which headers cross, in either direction.

use authkeeper::oauth::dpop::DPOP;
use http::{HeaderMap, HeaderName, header};

/// How a caller shows its task handle where `Authorization` is taken.
pub const TASK_HEADER: HeaderName = HeaderName::from_static("x-authkeeper-task");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// RFC 9110 §7.6.1: what belongs to one connection, by name or because `Connection` lists it.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = [
        header::CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    remove(headers, listed.into_iter().chain(fixed));
}

/// What the caller meant for us and not for the server: who it is, and where it thinks it is.
pub(super) fn strip_ours(headers: &mut HeaderMap) {
    let ours = [
        header::AUTHORIZATION,
        DPOP,
        TASK_HEADER,
        header::COOKIE,
        header::HOST,
        header::ORIGIN,
        header::REFERER,
        header::EXPECT,
    ];
    remove(headers, ours);
}

fn remove(headers: &mut HeaderMap, names: impl IntoIterator<Item = HeaderName>) {
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_lists_goes_as_well() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("connection", "x-second"),
            ("x-private", "1"),
            ("x-second", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["accept"]
        );
    }
}
