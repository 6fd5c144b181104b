//! An authorization server as the script sees it: endpoints, clients, a way to sign in, a resource
//! to try a token at, and knobs.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::SigningKey;
use crate::browser::{Callback, parameter};
use crate::http::{self, Answer, percent_encode};

/// The code verifier of RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Its S256 challenge.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The first message of an MCP session.
pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{
    "protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}"#;

/// What not every server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Clients with a secret, and sign-ins for them.
    Confidential,
    /// Other scopes than the granted one are refused.
    Scopes,
    /// Resource indicators (RFC 8707).
    Indicators,
    /// A refresh token used twice within a grace period gets the same answer.
    Grace,
    /// Accounts can be disabled.
    Accounts,
    /// RFC 8628.
    Device,
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 7523.
    PrivateKeyJwt,
    /// RFC 7662.
    Introspection,
    /// RFC 9126.
    PushedRequests,
}

/// How a client authenticates.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A public client.
    None,
    /// `client_secret_basic`.
    Basic(String),
    /// `client_secret_post`.
    Post(String),
}

/// A registered client.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// How it authenticates.
    pub auth: Auth,
}

impl Client {
    /// A public client.
    pub fn public(id: &str) -> Self {
        Self::new(id, Auth::None)
    }

    /// Any client.
    pub fn new(id: &str, auth: Auth) -> Self {
        let id = id.to_owned();
        Self { id, auth }
    }

    /// The same with a secret that is not its own.
    #[must_use]
    pub fn with_wrong_secret(&self) -> Self {
        let wrong = || "not-the-secret-of-this-client".to_owned();
        let auth = match self.auth {
            Auth::None => Auth::None,
            Auth::Basic(_) => Auth::Basic(wrong()),
            Auth::Post(_) => Auth::Post(wrong()),
        };
        Self::new(&self.id, auth)
    }
}

/// What the script turns while it plays.
#[derive(Debug, Clone, Copy)]
pub enum Knob {
    /// How many seconds access and refresh tokens live from now on.
    Lifetimes(u32, u32),
    /// The same of device codes.
    DeviceLifetime(u32),
    /// Alice's account.
    Disabled(bool),
}

/// A sign-in and where its access token is good.
#[derive(Debug, Clone)]
pub struct Access {
    /// The scope to ask for.
    pub scope: String,
    /// The `resource` to ask for, if any.
    pub indicator: Option<String>,
    /// Where its access token is good.
    pub path: String,
    /// Speaks MCP (a POST) instead of plain GET.
    pub mcp: bool,
}

/// A server with what the script must know of it.
pub struct Subject<'a> {
    /// For messages.
    pub name: &'static str,
    /// All of its endpoints are on this port of the loopback.
    pub port: u16,
    /// Its issuer.
    pub issuer: String,
    /// Where its metadata is.
    pub metadata_path: String,
    /// Its metadata.
    pub metadata: Value,
    /// What it offers.
    pub features: Vec<Feature>,
    /// A client without a secret.
    pub public: Client,
    /// One with a secret.
    pub confidential: Option<Client>,
    /// One of its own account only.
    pub service: Option<Client>,
    /// One without a browser.
    pub device: Option<Client>,
    /// One with a key.
    pub keyed: Option<(Client, SigningKey)>,
    /// What clients sign in for.
    pub access: Access,
    /// The same where the server itself, and no front of ours, refuses a bad access token.
    pub refusing: Access,
    /// More scopes than one, and one of them, that a sign-in for `refusing` may ask for.
    pub scopes: [String; 2],
    /// How long a used refresh token is good for the same answer again.
    pub grace: Duration,
    /// The client's listener.
    pub callback: Callback,
    /// Turns a knob.
    pub turn: Box<dyn Fn(Knob) + Send + Sync + 'a>,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Subject({} at {})", self.name, self.issuer)
    }
}

/// The ordinary lifetimes: nothing ends while the script plays.
pub const LIFETIMES: Knob = Knob::Lifetimes(60, 3600);

impl Subject<'_> {
    /// A server with one public client `pub`, without features and without knobs.
    pub fn at(
        name: &'static str,
        address: (u16, &str),
        metadata_path: &str,
        access: Access,
    ) -> Self {
        let (port, issuer) = address;
        let metadata = http::get(port, metadata_path).expect("metadata");
        assert_eq!(metadata.status, 200, "{name}: {}", metadata.body);
        Self {
            name,
            port,
            issuer: issuer.to_owned(),
            metadata_path: metadata_path.to_owned(),
            metadata: metadata.json(),
            features: Vec::new(),
            public: Client::public("pub"),
            confidential: None,
            service: None,
            device: None,
            keyed: None,
            refusing: access.clone(),
            access,
            scopes: ["read write".to_owned(), "read".to_owned()],
            grace: Duration::ZERO,
            callback: Callback::new(),
            turn: Box::new(|_| {}),
        }
    }

    /// Whether it has a feature.
    pub fn offers(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Registers a client for code and refresh (RFC 7591).
    pub fn register(&self, method: &str) -> Client {
        self.register_for(method, &["authorization_code", "refresh_token"])
    }

    /// Registers a client for these grants.
    pub fn register_for(&self, method: &str, grants: &[&str]) -> Client {
        let by_code = grants.contains(&"authorization_code");
        let redirect_uris = by_code.then(|| self.callback.uri());
        let answer = self.try_register(&json!({
            "redirect_uris": Vec::from_iter(redirect_uris),
            "response_types": Vec::from_iter(by_code.then_some("code")),
            "grant_types": grants,
            "scope": "read write",
            "token_endpoint_auth_method": method,
        }));
        let client = answer.json();
        let id = client["client_id"].as_str().expect("a client id");
        let secret = client["client_secret"].as_str().unwrap_or_default();
        match method {
            "client_secret_post" => Client::new(id, Auth::Post(secret.to_owned())),
            "client_secret_basic" => Client::new(id, Auth::Basic(secret.to_owned())),
            _ => Client::public(id),
        }
    }

    /// Registers a client that signs its assertions, for its own account.
    pub fn register_key(&self) -> (Client, SigningKey) {
        let key = SigningKey::generate();
        let answer = self.try_register(&json!({
            "redirect_uris": [],
            "response_types": [],
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": key.jwks(),
        }));
        let client = answer.json();
        let id = client["client_id"].as_str().expect("a client id");
        (Client::public(id), key)
    }

    /// Any registration, which must work.
    pub fn try_register(&self, metadata: &Value) -> Answer {
        let path = self.path("registration_endpoint");
        let json = [("content-type", "application/json")];
        let answer = http::request(self.port, "POST", &path, &json, &metadata.to_string());
        let answer = answer.expect("an answer");
        assert!(
            matches!(answer.status, 200 | 201),
            "{}: {}",
            self.name,
            answer.body
        );
        answer
    }

    /// The path of an endpoint that its metadata names.
    pub fn path(&self, endpoint: &str) -> String {
        let url = self.metadata[endpoint].as_str();
        let url = url.unwrap_or_else(|| panic!("{} has no {endpoint}", self.name));
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = after_scheme.split_once('/').map_or("", |(_, path)| path);
        format!("/{path}")
    }

    /// Asks the token endpoint.
    pub fn token(&self, client: &Client, form: &[(&str, &str)]) -> Answer {
        self.post_as(client, "token_endpoint", form)
    }

    /// Asks an endpoint as this client.
    pub fn post_as(&self, client: &Client, endpoint: &str, form: &[(&str, &str)]) -> Answer {
        let mut form = form.to_vec();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        let basic;
        match &client.auth {
            Auth::None => form.push(("client_id", &client.id)),
            Auth::Post(secret) => form.extend([
                ("client_id", client.id.as_str()),
                ("client_secret", secret.as_str()),
            ]),
            Auth::Basic(secret) => {
                basic = http::basic(&client.id, secret);
                headers.push(("authorization", &basic));
            }
        }
        let body = http::form(&form);
        http::request(self.port, "POST", &self.path(endpoint), &headers, &body).expect("an answer")
    }

    /// Lets alice sign in at this client; returns the code.
    pub fn authorize(&self, client: &Client, access: &Access) -> String {
        let path = self.authorization_path(client, access);
        let answer = http::get(self.port, &path).expect("an answer");
        // Some ask nobody; elsewhere a person looks at pages.
        let location = answer.header("location").unwrap_or_default();
        let redirect = if location.starts_with(&self.callback.uri()) {
            location.to_owned()
        } else {
            let url = format!("http://127.0.0.1:{}{path}", self.port);
            self.callback.browse(&url, "approve")
        };
        let code = parameter(&redirect, "code");
        code.unwrap_or_else(|| panic!("{}: no code in {redirect}", self.name))
            .to_owned()
    }

    /// The authorization request of this client, as a path.
    pub fn authorization_path(&self, client: &Client, access: &Access) -> String {
        let indicator = access.indicator.as_deref().map_or(String::new(), |url| {
            format!("&resource={}", percent_encode(url))
        });
        format!(
            "{}?response_type=code&client_id={}&redirect_uri={}&state=an-unguessable-state\
             &code_challenge={CHALLENGE}&code_challenge_method=S256&scope={}{indicator}",
            self.path("authorization_endpoint"),
            percent_encode(&client.id),
            percent_encode(&self.callback.uri()),
            percent_encode(&access.scope),
        )
    }

    /// Pushes the same request (RFC 9126).
    pub fn push(&self, client: &Client, access: &Access) -> Answer {
        let redirect_uri = self.callback.uri();
        let mut form = vec![
            ("response_type", "code"),
            ("redirect_uri", redirect_uri.as_str()),
            ("scope", access.scope.as_str()),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        form.extend(access.indicator.as_deref().map(|url| ("resource", url)));
        if !matches!(client.auth, Auth::None) {
            form.push(("client_id", &client.id));
        }
        self.post_as(client, "pushed_authorization_request_endpoint", &form)
    }

    /// Redeems a code.
    pub fn redeem(&self, client: &Client, code: &str, verifier: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.callback.uri()),
            ("code_verifier", verifier),
        ];
        self.token(client, &form)
    }

    /// Alice's sign-in at this client, to the end.
    pub fn sign_in(&self, client: &Client, access: &Access) -> Value {
        let code = self.authorize(client, access);
        let answer = self.redeem(client, &code, VERIFIER);
        assert_eq!(answer.status, 200, "{}: {}", self.name, answer.body);
        answer.json()
    }

    /// Shows an access token to a resource.
    pub fn show(&self, access: &Access, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let (method, body) = if access.mcp {
            ("POST", INITIALIZE)
        } else {
            ("GET", "")
        };
        http::request(self.port, method, &access.path, &headers, body).expect("an answer")
    }
}
