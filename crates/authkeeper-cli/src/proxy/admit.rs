//! Who may call and where to: pure checks on the request's head.

use authkeeper::{model::ConnectionName, secret::SecretString};
use http::{HeaderMap, Method, Uri, header, request::Parts};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::carry::{TASK_HEADER, Target};

/// What the proxy lets through.
pub(super) struct Gate {
    pub(super) port: u16,
    pub(super) handle: SecretString,
    pub(super) door: Door,
}

/// Whose proxy it is, and so what is reached through it.
#[derive(Debug)]
pub(super) enum Door {
    /// A run's: `/c/NAME/…` of the connections that the task declared.
    Run { declared: Vec<ConnectionName> },
    /// The daemon's: `/mcp/NAME` of whatever is connected, and `/healthz`.
    Serve,
}

/// What a request that was let in is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// A connection, and the place below it.
    Call(ConnectionName, Target),
    /// Whether the daemon is well: nothing that needs a handle.
    Health,
}

impl Gate {
    /// What a request is for. Who shows no handle learns nothing of what is connected.
    pub(super) fn admit(&self, head: &Parts) -> Result<Admitted, Refusal> {
        self.check_host(&head.headers, &head.uri)?;
        self.check_origin(&head.headers)?;
        let below = match (&self.door, head.uri.path()) {
            (Door::Serve, "/healthz") => return Ok(Admitted::Health),
            (Door::Serve, path) => path.strip_prefix("/mcp/"),
            (Door::Run { .. }, path) => path.strip_prefix("/c/"),
        };
        let below = below.ok_or(Refusal::Route)?;
        self.check_handle(&head.headers)?;
        if head.method == Method::CONNECT || asks_for_upgrade(&head.headers) {
            return Err(Refusal::Upgrade);
        }
        self.route(below, head.uri.query())
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Some((host, port)) = authority.rsplit_once(':') else {
            return false;
        };
        let local = matches!(host, "127.0.0.1" | "[::1]") || host.eq_ignore_ascii_case("localhost");
        local && port.parse() == Ok(self.port)
    }

    /// Against DNS rebinding: a page whose name was made to point here still says its own name.
    fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let ours = host.is_some_and(|host| self.is_ours(host));
        let named = uri
            .authority()
            .is_none_or(|authority| self.is_ours(authority.as_str()));
        if ours && named && hosts.next().is_none() {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }

    /// A browser names the page's origin; programs name none.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let foreign = |origin: &http::HeaderValue| {
            let authority = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.strip_prefix("http://"));
            !authority.is_some_and(|authority| self.is_ours(authority))
        };
        let refused = headers.get_all(header::ORIGIN).iter().any(foreign);
        if refused {
            Err(Refusal::Origin)
        } else {
            Ok(())
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "compared in constant time with what the caller shows"
    )]
    fn check_handle(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let handle = self.handle.expose().as_bytes();
        let task = headers
            .get_all(TASK_HEADER)
            .iter()
            .map(http::HeaderValue::as_bytes);
        let bearer = headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .filter_map(bearer_of);
        let known = task
            .chain(bearer)
            .any(|shown| bool::from(shown.ct_eq(handle)));
        if known && !handle.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Handle)
        }
    }

    fn route(&self, below: &str, query: Option<&str>) -> Result<Admitted, Refusal> {
        let (name, suffix) = match below.find('/') {
            Some(slash) => below.split_at(slash),
            None => (below, ""),
        };
        let name = match &self.door {
            Door::Run { declared } => declared_of(name, declared)?,
            // An MCP endpoint is one URL: there is nothing below it.
            Door::Serve if !suffix.is_empty() => return Err(Refusal::Route),
            Door::Serve => ConnectionName::parse(name).map_err(|_unusable| Refusal::Route)?,
        };
        let target = Target::below(suffix, query).map_err(|_bad| Refusal::Path)?;
        Ok(Admitted::Call(name, target))
    }
}

fn declared_of(name: &str, declared: &[ConnectionName]) -> Result<ConnectionName, Refusal> {
    let found = declared.iter().find(|declared| declared.as_str() == name);
    found.cloned().ok_or_else(|| Refusal::Undeclared {
        declared: declared.to_vec(),
    })
}

fn bearer_of(value: &http::HeaderValue) -> Option<&[u8]> {
    let (scheme, shown) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then_some(shown.trim_ascii())
}

/// `h2c` is an offer that may be ignored (RFC 9110 §7.8); anything else needs the connection itself.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|protocol| !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(uri: &str, headers: &[(&'static str, &str)]) -> Result<Admitted, Refusal> {
        let declared = vec![ConnectionName::parse("notion").unwrap()];
        judged_at(Door::Run { declared }, uri, headers)
    }

    fn judged_at(
        door: Door,
        uri: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Admitted, Refusal> {
        let gate = Gate {
            port: 4711,
            handle: "the-handle".to_owned().into(),
            door,
        };
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        gate.admit(&request.body(()).unwrap().into_parts().0)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:4711");
    const BEARER: (&str, &str) = ("authorization", "bearer the-handle");

    #[test]
    fn the_handle_is_taken_in_both_places() {
        assert!(judged("/c/notion", &[HOST, BEARER]).is_ok());
        let task = ("x-authkeeper-task", "the-handle");
        assert!(
            judged(
                "/c/notion",
                &[HOST, task, ("authorization", "Bearer other")]
            )
            .is_ok()
        );
        for wrong in [
            "Bearer the-handlf",
            "Bearer the-handl",
            "Basic the-handle",
            "Bearer ",
            "the-handle",
            "x",
        ] {
            let refused = judged("/c/notion", &[HOST, ("authorization", wrong)]);
            assert!(matches!(refused, Err(Refusal::Handle)), "{wrong}");
        }
        assert!(matches!(judged("/c/notion", &[HOST]), Err(Refusal::Handle)));
    }

    #[test]
    fn only_this_machines_names_with_this_port_are_hosts() {
        for good in [
            "127.0.0.1:4711",
            "localhost:4711",
            "LOCALHOST:4711",
            "[::1]:4711",
        ] {
            assert!(
                judged("/c/notion", &[("host", good), BEARER]).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "127.0.0.1",
            "127.0.0.1:80",
            "evil.example:4711",
            "127.0.0.1.evil:4711",
            "::1:4711",
            "[::2]:4711",
        ] {
            assert!(
                matches!(
                    judged("/c/notion", &[("host", bad), BEARER]),
                    Err(Refusal::Host)
                ),
                "{bad}"
            );
        }
        assert!(matches!(judged("/c/notion", &[BEARER]), Err(Refusal::Host)));
        assert!(matches!(
            judged("/c/notion", &[HOST, HOST, BEARER]),
            Err(Refusal::Host)
        ));
        let absolute = judged("http://evil.example/c/notion", &[HOST, BEARER]);
        assert!(matches!(absolute, Err(Refusal::Host)));
    }

    #[test]
    fn a_page_of_another_origin_is_refused_even_with_the_handle() {
        for bad in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:80",
            "https://127.0.0.1:4711",
        ] {
            let refused = judged("/c/notion", &[HOST, BEARER, ("origin", bad)]);
            assert!(matches!(refused, Err(Refusal::Origin)), "{bad}");
        }
        assert!(
            judged(
                "/c/notion",
                &[HOST, BEARER, ("origin", "http://localhost:4711")]
            )
            .is_ok()
        );
    }

    #[test]
    fn routes() {
        let notion = ConnectionName::parse("notion").unwrap();
        let below = Target::below("/a%2Fb", Some("x=1")).unwrap();
        assert_eq!(
            judged("/c/notion/a%2Fb?x=1", &[HOST, BEARER]).unwrap(),
            Admitted::Call(notion.clone(), below)
        );
        assert_eq!(
            judged("/c/notion", &[HOST, BEARER]).unwrap(),
            Admitted::Call(notion, Target::exact())
        );
        for path in ["/", "/c", "/C/notion", "/x/c/notion"] {
            assert!(
                matches!(judged(path, &[HOST, BEARER]), Err(Refusal::Route)),
                "{path}"
            );
        }
        for path in ["/c/", "/c/jira", "/c/notion2", "/c//notion"] {
            let refused = judged(path, &[HOST, BEARER]);
            assert!(matches!(refused, Err(Refusal::Undeclared { .. })), "{path}");
        }
        for path in ["/c/notion/../x", "/c/notion/%2e%2e/x", "/c/notion/a\\b"] {
            assert!(
                matches!(judged(path, &[HOST, BEARER]), Err(Refusal::Path)),
                "{path}"
            );
        }
    }

    #[test]
    fn a_daemon_serves_one_url_for_each_connection_and_its_health() {
        let judged = |uri, headers: &[(&'static str, &str)]| judged_at(Door::Serve, uri, headers);
        let jira = ConnectionName::parse("jira").unwrap();
        assert_eq!(
            judged("/mcp/jira", &[HOST, BEARER]).unwrap(),
            Admitted::Call(jira, Target::exact())
        );
        assert_eq!(judged("/healthz", &[HOST]).unwrap(), Admitted::Health);
        assert!(matches!(judged("/healthz", &[]), Err(Refusal::Host)));
        assert!(matches!(judged("/mcp/jira", &[HOST]), Err(Refusal::Handle)));
        // Without a handle too: a client that looks for OAuth metadata must see that there is none.
        for nothing in [
            "/",
            "/mcp",
            "/c/jira",
            "/.well-known/oauth-protected-resource/mcp/jira",
            "/.well-known/oauth-authorization-server",
        ] {
            assert!(
                matches!(judged(nothing, &[HOST]), Err(Refusal::Route)),
                "{nothing}"
            );
        }
        for below in ["/mcp/jira/", "/mcp/jira/x", "/mcp/", "/mcp/no%20name"] {
            let refused = judged(below, &[HOST, BEARER]);
            assert!(matches!(refused, Err(Refusal::Route)), "{below}");
        }
    }

    #[test]
    fn an_upgrade_is_refused_but_an_offer_of_h2c_ignored() {
        let websocket = [
            HOST,
            BEARER,
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
        ];
        assert!(matches!(
            judged("/c/notion", &websocket),
            Err(Refusal::Upgrade)
        ));
        assert!(judged("/c/notion", &[HOST, BEARER, ("upgrade", "h2c")]).is_ok());
    }
}
