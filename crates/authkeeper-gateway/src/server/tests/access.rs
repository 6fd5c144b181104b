//! Who is let in, and what a path leads to.

use authkeeper::model::ConnectionName;

use super::super::{
    access::AccessRules,
    error_response::Rejection,
    health_endpoint::HealthDetail,
    mcp_endpoint::{EndpointRoute, route as route_endpoint},
    run_proxy::route as route_run,
};
use crate::forward::Target;

type Routed = Result<(ConnectionName, Target), Rejection>;

fn access() -> AccessRules {
    AccessRules {
        port: 4711,
        handle: "the-handle".to_owned().into(),
    }
}

fn head(uri: &str, headers: &[(&'static str, &str)]) -> http::request::Parts {
    let mut request = http::Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn judged(uri: &str, headers: &[(&'static str, &str)]) -> Routed {
    let declared = [ConnectionName::parse("notion").unwrap()];
    route_run(&access(), &declared, &head(uri, headers))
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
        assert!(matches!(refused, Err(Rejection::Handle)), "{wrong}");
    }
    assert!(matches!(
        judged("/c/notion", &[HOST]),
        Err(Rejection::Handle)
    ));
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
                Err(Rejection::Host)
            ),
            "{bad}"
        );
    }
    assert!(matches!(
        judged("/c/notion", &[BEARER]),
        Err(Rejection::Host)
    ));
    assert!(matches!(
        judged("/c/notion", &[HOST, HOST, BEARER]),
        Err(Rejection::Host)
    ));
    let absolute = judged("http://evil.example/c/notion", &[HOST, BEARER]);
    assert!(matches!(absolute, Err(Rejection::Host)));
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
        assert!(matches!(refused, Err(Rejection::Origin)), "{bad}");
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
        (notion.clone(), below)
    );
    assert_eq!(
        judged("/c/notion", &[HOST, BEARER]).unwrap(),
        (notion, Target::exact())
    );
    for path in ["/", "/c", "/C/notion", "/x/c/notion"] {
        assert!(
            matches!(judged(path, &[HOST, BEARER]), Err(Rejection::Route)),
            "{path}"
        );
    }
    for path in ["/c/", "/c/jira", "/c/notion2", "/c//notion"] {
        let refused = judged(path, &[HOST, BEARER]);
        assert!(
            matches!(refused, Err(Rejection::Undeclared { .. })),
            "{path}"
        );
    }
    for path in ["/c/notion/../x", "/c/notion/%2e%2e/x", "/c/notion/a\\b"] {
        assert!(
            matches!(judged(path, &[HOST, BEARER]), Err(Rejection::Path)),
            "{path}"
        );
    }
}

#[test]
fn a_daemon_serves_one_url_for_each_connection_and_its_health() {
    let judged = |uri: &str, headers: &[(&'static str, &str)]| {
        route_endpoint(&access(), &head(uri, headers))
    };
    let jira = ConnectionName::parse("jira").unwrap();
    assert_eq!(
        judged("/mcp/jira", &[HOST, BEARER]).unwrap(),
        EndpointRoute::Call(jira, Target::exact())
    );
    let counts = EndpointRoute::Health(HealthDetail::Counts);
    assert_eq!(judged("/healthz", &[HOST]).unwrap(), counts);
    let each = EndpointRoute::Health(HealthDetail::Each);
    assert_eq!(judged("/healthz", &[HOST, BEARER]).unwrap(), each);
    assert_eq!(judged("/livez", &[HOST]).unwrap(), EndpointRoute::Live);
    for open in ["/healthz", "/livez"] {
        assert!(matches!(judged(open, &[]), Err(Rejection::Host)));
    }
    assert!(matches!(
        judged("/mcp/jira", &[HOST]),
        Err(Rejection::Handle)
    ));
    // Without a handle too: a client that looks for OAuth metadata must see that there is none.
    for nothing in [
        "/",
        "/mcp",
        "/c/jira",
        "/.well-known/oauth-protected-resource/mcp/jira",
        "/.well-known/oauth-authorization-server",
    ] {
        assert!(
            matches!(judged(nothing, &[HOST]), Err(Rejection::Route)),
            "{nothing}"
        );
    }
    for below in ["/mcp/jira/", "/mcp/jira/x", "/mcp/", "/mcp/no%20name"] {
        let refused = judged(below, &[HOST, BEARER]);
        assert!(matches!(refused, Err(Rejection::Route)), "{below}");
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
        Err(Rejection::Upgrade)
    ));
    assert!(judged("/c/notion", &[HOST, BEARER, ("upgrade", "h2c")]).is_ok());
}
