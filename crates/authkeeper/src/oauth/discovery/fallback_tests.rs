//! What is wrong at one place is looked for at the next.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use super::{Discovered, DiscoveryError, WantedIssuer, discover};
use crate::{
    http::{ConnectError, Exchange, ExchangeError, HttpUrl, Reach, Reply, Request, Transport},
    model::Issuer,
};

/// Servers that answer by URL; every other URL is a 404, and a host named `gone.example` can't be reached.
#[derive(Clone, Default)]
struct Servers(BTreeMap<String, Reply>);

struct Answer(Reply);

#[async_trait]
impl Exchange for Answer {
    async fn send(self: Box<Self>, _: Request) -> Result<Reply, ExchangeError> {
        Ok(self.0)
    }
}

#[async_trait]
impl Transport for Servers {
    async fn connect(&self, url: &HttpUrl, _: Reach) -> Result<Box<dyn Exchange>, ConnectError> {
        if url.host() == "gone.example" {
            return Err(ConnectError::Unreachable {
                host: url.host().to_owned(),
                detail: "gone".to_owned(),
            });
        }
        let found = self.0.get(url.as_str()).cloned();
        Ok(Box::new(Answer(
            found.unwrap_or_else(|| reply(404, &[], "Not Found")),
        )))
    }
}

fn reply(status: u16, headers: &[(header::HeaderName, &str)], body: &str) -> Reply {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(name, value.parse().unwrap());
    }
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: all,
        body: body.to_owned().into(),
    }
}

const URL: &str = "https://mcp.example/v1/mcp";
const OWN: &str = "https://mcp.example/.well-known/oauth-protected-resource/v1/mcp";
const ROOT: &str = "https://mcp.example/.well-known/oauth-protected-resource";
const OAUTH: &str = "https://as.example/.well-known/oauth-authorization-server";
const OPENID: &str = "https://as.example/.well-known/openid-configuration";
const PAGE: &str = "<!doctype html><h1>Welcome</h1>";

impl Servers {
    /// A sound MCP server and its authorization server.
    fn sound() -> Self {
        let mut servers = Self::default();
        servers.put(URL, challenge(r#"Bearer scope="read""#));
        servers.put(OWN, of_resource(&["https://as.example"]));
        servers.put(OAUTH, of_server("https://as.example"));
        servers
    }

    fn put(&mut self, url: &str, reply: Reply) {
        self.0.insert(url.to_owned(), reply);
    }

    fn with(mut self, url: &str, reply: Reply) -> Self {
        self.put(url, reply);
        self
    }

    async fn discover(&self) -> Result<Discovered, DiscoveryError> {
        discover(self, &HttpUrl::parse(URL).unwrap(), WantedIssuer::default()).await
    }

    async fn issuer(&self) -> String {
        let found = self.discover().await.unwrap();
        found.provider.issuer.as_str().to_owned()
    }
}

fn challenge(text: &str) -> Reply {
    reply(401, &[(header::WWW_AUTHENTICATE, text)], "")
}

fn of_resource(servers: &[&str]) -> Reply {
    let body = json!({
        "resource": URL, "authorization_servers": servers, "scopes_supported": ["read", "write"],
    });
    reply(200, &[], &body.to_string())
}

fn of_server(issuer: &str) -> Reply {
    let body = json!({"issuer": issuer, "token_endpoint": "https://as.example/token"});
    reply(200, &[], &body.to_string())
}

/// What stands at a place that holds no metadata.
fn nonsense() -> Vec<Reply> {
    let compressed = [("content-encoding", "gzip")]
        .map(|(name, value)| (header::HeaderName::from_static(name), value));
    vec![
        reply(200, &[], PAGE),
        reply(200, &[], "{}"),
        reply(
            200,
            &[],
            r#"{"error":"not_found","message":"no such page"}"#,
        ),
        reply(200, &[], r#"["https://as.example"]"#),
        reply(200, &compressed, "\u{1f}garbage"),
        reply(400, &[], r#"{"error":"invalid_request"}"#),
        reply(302, &[(header::LOCATION, "https://login.example/")], ""),
    ]
}

#[tokio::test]
async fn nonsense_at_one_place_is_no_end_of_the_search() {
    for nonsense in nonsense() {
        let servers = Servers::sound().with(OAUTH, nonsense.clone());
        let servers = servers.with(OPENID, of_server("https://as.example"));
        assert_eq!(servers.issuer().await, "https://as.example", "{nonsense:?}");
        let servers = Servers::sound().with(OWN, nonsense.clone());
        let servers = servers.with(ROOT, of_resource(&["https://as.example"]));
        assert_eq!(servers.issuer().await, "https://as.example", "{nonsense:?}");
    }
}

#[tokio::test]
async fn nonsense_at_every_place_is_told_with_its_place() {
    let page = || reply(200, &[], PAGE);
    let servers = Servers::sound().with(OAUTH, page()).with(OPENID, page());
    let error = servers.discover().await.unwrap_err().to_string();
    assert!(
        error.contains(OAUTH) && error.contains("not metadata"),
        "{error}"
    );
    let busy = Servers::sound().with(OAUTH, page());
    let error = busy.with(OPENID, reply(503, &[], "")).discover().await;
    assert!(
        matches!(error, Err(DiscoveryError::Unavailable { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn metadata_moves_within_its_origin_and_no_further() {
    let to = |place: &str| reply(302, &[(header::LOCATION, place)], "");
    let moved = "https://as.example/oauth/metadata";
    let servers = Servers::sound()
        .with(OAUTH, to("/hop"))
        .with("https://as.example/hop", to(moved))
        .with(moved, of_server("https://as.example"));
    assert_eq!(servers.issuer().await, "https://as.example");

    let elsewhere = "https://evil.example/metadata";
    let servers = Servers::sound()
        .with(OAUTH, to(elsewhere))
        .with(elsewhere, of_server("https://as.example"));
    let error = servers.discover().await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("redirects to {elsewhere}")),
        "{error}"
    );

    let circle = Servers::sound().with(OAUTH, to(OAUTH));
    let error = circle.discover().await.unwrap_err().to_string();
    assert!(error.contains("redirects to"), "{error}");
}

#[tokio::test]
async fn a_field_of_a_wrong_type_spoils_that_field() {
    let body = json!({
        "issuer": "https://as.example", "token_endpoint": ["https://as.example/token"],
        "scopes_supported": "read",
    });
    let servers = Servers::sound().with(OAUTH, reply(200, &[], &body.to_string()));
    let found = servers.discover().await.unwrap();
    let error = super::token_endpoint(&found.provider.metadata).unwrap_err();
    assert!(
        error.to_string().contains("wrong token_endpoint"),
        "{error}"
    );
    let body = json!({"resource": URL, "authorization_servers": "https://as.example", "scopes_supported": 7});
    let servers = Servers::sound().with(OWN, reply(200, &[], &body.to_string()));
    assert_eq!(servers.issuer().await, "https://as.example");
}

#[tokio::test]
async fn an_origin_is_one_issuer_with_and_without_its_slash() {
    for (named, spelled) in [
        ("https://as.example/", "https://as.example"),
        ("https://as.example", "https://as.example/"),
    ] {
        let servers = Servers::sound().with(OWN, of_resource(&[named]));
        let servers = servers.with(OAUTH, of_server(spelled));
        assert_eq!(
            servers.issuer().await,
            spelled,
            "the server's own spelling counts"
        );
    }
    let tenant = "https://as.example/.well-known/oauth-authorization-server/tenant";
    let servers = Servers::sound().with(OWN, of_resource(&["https://as.example/tenant"]));
    let servers = servers.with(tenant, of_server("https://as.example/tenant/"));
    let error = servers.discover().await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::IssuerMismatch { .. }),
        "{error}"
    );
    for (one, other, same) in [
        ("https://a", "https://a/", true),
        ("https://a:8/", "https://a:8", true),
        ("https://a//", "https://a/", false),
        ("https://a", "https://A", false),
        ("https://a/x", "https://a/x/", false),
        ("https://a?x", "https://a?x/", false),
        ("a", "a/", false),
    ] {
        assert_eq!(super::is_same_issuer(one, other), same, "{one} {other}");
        assert_eq!(super::is_same_issuer(other, one), same, "{other} {one}");
    }
}

#[tokio::test]
async fn bad_resource_metadata_leads_to_the_servers_own_places() {
    for named in [
        "/relative",
        "not a url",
        "https://gone.example/metadata",
        "https://mcp.example/nothing",
    ] {
        let text = format!(r#"Bearer resource_metadata="{named}""#);
        let servers = Servers::sound().with(URL, challenge(&text));
        assert_eq!(servers.issuer().await, "https://as.example", "{named}");
        let mut without = servers.clone();
        without.0.remove(OWN);
        let error = without.discover().await.unwrap_err().to_string();
        assert!(
            error.contains("resource_metadata") || error.contains(named),
            "{error}"
        );
    }
    for page in nonsense() {
        let at = "https://mcp.example/named";
        let text = format!(r#"Bearer resource_metadata="{at}""#);
        let servers = Servers::sound().with(URL, challenge(&text)).with(at, page);
        assert_eq!(servers.issuer().await, "https://as.example");
    }
}

#[tokio::test]
async fn the_next_authorization_server_is_used_if_the_first_can_not_be() {
    for first in [
        "https://gone.example",
        "/relative",
        "https://nothing.example",
        "7",
    ] {
        let servers = Servers::sound().with(OWN, of_resource(&[first, "https://as.example"]));
        assert_eq!(servers.issuer().await, "https://as.example", "{first}");
    }
    let servers = Servers::sound().with(OWN, of_resource(&["https://gone.example", "/relative"]));
    let error = servers.discover().await.unwrap_err().to_string();
    assert!(error.contains("gone.example"), "the first is told: {error}");
}

#[tokio::test]
async fn a_connection_stays_with_its_server_while_the_resource_names_it() {
    let second = "https://second.example/.well-known/oauth-authorization-server";
    let both = ["https://as.example", "https://second.example/"];
    let servers = Servers::sound()
        .with(OWN, of_resource(&both))
        .with(second, of_server("https://second.example"));
    let before = Issuer::new("https://second.example");
    let wanted = WantedIssuer {
        before: Some(&before),
        ..WantedIssuer::default()
    };
    let found = discover(&servers, &HttpUrl::parse(URL).unwrap(), wanted).await;
    assert_eq!(found.unwrap().provider.issuer, before);
    assert_eq!(servers.issuer().await, "https://as.example");
}

#[tokio::test]
async fn an_issuer_that_is_given_loses_nothing_of_what_the_resource_says() {
    let servers = Servers::sound();
    let (url, issuer) = (
        HttpUrl::parse(URL).unwrap(),
        Issuer::new("https://as.example/"),
    );
    let wanted = WantedIssuer {
        given: Some(&issuer),
        ..WantedIssuer::default()
    };
    let found = discover(&servers, &url, wanted).await.unwrap();
    assert_eq!(found.resource.unwrap().as_str(), URL);
    assert_eq!(found.scope.unwrap().as_str(), "read");
    assert_eq!(found.listed.unwrap().as_str(), "read write");

    let mut plain = servers.clone();
    plain.0.remove(OWN);
    plain.put(URL, reply(404, &[], ""));
    let found = discover(&plain, &url, wanted).await.unwrap();
    assert_eq!((found.resource, found.scope), (None, None), "a plain API");

    let known = WantedIssuer {
        known: true,
        ..wanted
    };
    let found = discover(&servers, &url, known).await.unwrap();
    assert_eq!(found.resource, None, "the catalogue says what to ask for");
}

#[tokio::test]
async fn a_server_that_publishes_the_metadata_of_another_names_it() {
    let own = "https://mcp.example/.well-known/oauth-authorization-server";
    let servers = Servers::default()
        .with(URL, challenge("Bearer"))
        .with(own, of_server("https://as.example"));
    let error = servers.discover().await.unwrap_err();
    let claimed = match &error {
        DiscoveryError::IssuerElsewhere { claimed, .. } => claimed.as_str(),
        _ => "",
    };
    assert_eq!(claimed, "https://as.example", "{error}");
}
