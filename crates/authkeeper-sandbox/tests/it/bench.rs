//! A raw HTTP client, and the steps that every test takes.

use std::time::Duration;

use authkeeper_sandbox::{
    BuiltIn, ClientSpec, Fault, Profile, Revision, Rules, Sandbox, SandboxSettings,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const REDIRECT: &str = "http://127.0.0.1:49152/callback";
pub(crate) const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-and-then-some";

/// What came back. A cut socket has no status.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.status == 0
    }
}

pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
}

impl Bench {
    pub(crate) async fn start(settings: SandboxSettings) -> Self {
        let sandbox = Sandbox::start(settings).await.expect("a free port");
        Self { sandbox }
    }

    pub(crate) async fn start_built_in(
        settings: SandboxSettings,
        scenario: BuiltIn,
        revision: Revision,
    ) -> Self {
        let sandbox = Sandbox::start_built_in(settings, scenario, revision).await;
        Self {
            sandbox: sandbox.expect("a free port"),
        }
    }

    /// A standing clock, sign-ins approved at once, access tokens of 60 s, refresh tokens of 600 s.
    pub(crate) async fn with(profile: Profile) -> Self {
        Self::start(settings(profile)).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Got {
        let authority = self.sandbox.url().trim_start_matches("http://");
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &["Host: ", authority, "\r\n"].concat();
        }
        for (name, value) in headers {
            head += &[*name, ": ", *value, "\r\n"].concat();
        }
        head += &[
            "Content-Length: ",
            &body.len().to_string(),
            "\r\n\r\n",
            body,
        ]
        .concat();
        let mut stream = TcpStream::connect(authority).await.expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        // A cut socket may also be a reset one.
        let _ = stream.read_to_end(&mut answer).await;
        parsed(&String::from_utf8_lossy(&answer))
    }

    /// Whether anybody listens.
    pub(crate) async fn connects(&self) -> bool {
        let authority = self.sandbox.url().trim_start_matches("http://");
        TcpStream::connect(authority).await.is_ok()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        self.send("GET", path, headers, "").await
    }

    pub(crate) async fn form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Got {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut headers = headers.to_vec();
        headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        self.send("POST", path, &headers, &body).await
    }

    pub(crate) async fn control(&self, path: &str, body: &Value) -> Got {
        let path = format!("/control/{path}");
        self.send("POST", &path, &[], &body.to_string()).await
    }

    /// An authorization code for the public client.
    pub(crate) async fn code(&self, more: &[(&str, &str)]) -> String {
        let got = self.authorize(more).await;
        let location = got.header("location").unwrap_or_default();
        query(location, "code").unwrap_or_default()
    }

    pub(crate) async fn authorize(&self, more: &[(&str, &str)]) -> Got {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut fields = vec![
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("state", "a state"),
        ];
        if !more.iter().any(|(name, _)| *name == "client_id") {
            fields.push(("client_id", "public"));
        }
        fields.extend(more);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.get(&format!("/authorize?{query}"), &[]).await
    }

    pub(crate) async fn exchange(&self, code: &str) -> Got {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_id", "public"),
        ];
        self.form("/token", &[], &fields).await
    }

    pub(crate) async fn sign_in(&self, more: &[(&str, &str)]) -> Tokens {
        let code = self.code(more).await;
        Tokens::of(&self.exchange(&code).await)
    }

    pub(crate) async fn refresh(&self, token: &str, more: &[(&str, &str)]) -> Got {
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        if !more.iter().any(|(name, _)| *name == "client_id") {
            fields.push(("client_id", "public"));
        }
        fields.extend(more);
        self.form("/token", &[], &fields).await
    }

    pub(crate) async fn refreshed(&self, token: &str) -> Tokens {
        Tokens::of(&self.refresh(token, &[]).await)
    }

    pub(crate) async fn api(&self, access: &str) -> Got {
        let bearer = format!("Bearer {access}");
        self.get("/api/me", &[("Authorization", &bearer)]).await
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.sandbox.control().advance(Duration::from_secs(seconds));
    }

    pub(crate) fn fault(&self, spec: &str) {
        let fault: Fault = spec.parse().expect("a fault");
        self.sandbox.control().fault(fault);
    }

    pub(crate) fn say(&self, words: &str) -> Value {
        let done = self.sandbox.control().say(words);
        done.unwrap_or_else(|error| json!({"error": error.to_string()}))
    }
}

pub(crate) fn settings(profile: Profile) -> SandboxSettings {
    SandboxSettings {
        rules: Rules {
            profile,
            ttl: Duration::from_mins(1),
            refresh_ttl: Some(Duration::from_mins(10)),
            auto_approve: true,
            ..Rules::default()
        },
        clients: vec![ClientSpec::public("public"), ClientSpec::public("other")],
        standing_clock: true,
        ..SandboxSettings::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) scope: String,
}

impl Tokens {
    pub(crate) fn of(got: &Got) -> Self {
        assert_eq!(got.status, 200, "{got:?}");
        Self {
            access: got.text("access_token"),
            refresh: got.text("refresh_token"),
            scope: got.text("scope"),
        }
    }
}

fn parsed(text: &str) -> Got {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut got = Got {
        status: status.unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    };
    if got.header("transfer-encoding") == Some("chunked") {
        got.body = dechunked(body);
    }
    got
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some((piece, after)) = rest.split_at_checked(size).filter(|_| size > 0) else {
            break;
        };
        whole += piece;
        body = after.trim_start_matches("\r\n");
    }
    whole
}

/// A field of a URL's query.
pub(crate) fn query(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut fields = form_urlencoded::parse(query.as_bytes());
    fields.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}
