//! Who may call and where to: pure checks on the request's head.

use authkeeper::{model::ConnectionName, secret::SecretString};
use http::{HeaderMap, Method, Uri, header, request::Parts};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::carry::{TASK_HEADER, Target};

/// What a task's proxy lets through.
pub(super) struct Gate {
    pub(super) port: u16,
    pub(super) handle: SecretString,
    pub(super) declared: Vec<ConnectionName>,
}

impl Gate {
    /// The connection and the place below it that a request is for.
    pub(super) fn admit(&self, head: &Parts) -> Result<(ConnectionName, Target), Refusal> {
        self.check_host(&head.headers, &head.uri)?;
        self.check_origin(&head.headers)?;
        self.check_handle(&head.headers)?;
        if head.method == Method::CONNECT || asks_for_upgrade(&head.headers) {
            return Err(Refusal::Upgrade);
        }
        self.route(&head.uri)
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Some((host, port)) = authority.rsplit_once(':') else {
            return false;
        };
        let local = host == "127.0.0.1" || host.eq_ignore_ascii_case("localhost");
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

    fn route(&self, uri: &Uri) -> Result<(ConnectionName, Target), Refusal> {
        let rest = uri.path().strip_prefix("/c/").ok_or(Refusal::Route)?;
        let (name, suffix) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let name = self
            .declared
            .iter()
            .find(|declared| declared.as_str() == name);
        let name = name.ok_or_else(|| Refusal::Undeclared {
            declared: self.declared.clone(),
        })?;
        let target = Target::below(suffix, uri.query()).map_err(|_bad| Refusal::Path)?;
        Ok((name.clone(), target))
    }
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

    fn judged(
        uri: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(ConnectionName, Target), Refusal> {
        let gate = Gate {
            port: 4711,
            handle: "the-handle".to_owned().into(),
            declared: vec![ConnectionName::parse("notion").unwrap()],
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
        for good in ["127.0.0.1:4711", "localhost:4711", "LOCALHOST:4711"] {
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
        let (name, target) = judged("/c/notion/a%2Fb?x=1", &[HOST, BEARER]).unwrap();
        assert_eq!(name.as_str(), "notion");
        assert_eq!(target.spelled(), "/a%2Fb?x=1");
        assert_eq!(
            judged("/c/notion", &[HOST, BEARER]).unwrap().1,
            Target::exact()
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
