//! One case while it is played: asks, and writes down the shape of what was answered.

use serde_json::{Value, json};

use super::Step;
use super::shape::{self, Names};
use super::subject::{Access, Client, Knob, Subject, VERIFIER};
use crate::http::{self, Answer};

/// A case in progress.
#[derive(Debug)]
pub struct Play<'a> {
    /// The server.
    pub subject: &'a Subject<'a>,
    names: Names,
    steps: Vec<Step>,
}

impl<'a> Play<'a> {
    /// Nothing asked yet.
    pub fn new(subject: &'a Subject<'a>) -> Self {
        let mut names = Names::default();
        names.know(subject.issuer.trim_end_matches('/'), "issuer");
        names.know(&format!("http://127.0.0.1:{}", subject.port), "origin");
        if let Some(resource) = &subject.access.indicator {
            names.know(resource, "resource");
        }
        let [wide, narrow] = &subject.scopes;
        names.know_whole(wide, "wide scope");
        names.know_whole(narrow, "granted scope");
        names.know_whole(&subject.access.scope, "granted scope");
        let clients = [
            (Some(&subject.public), "public client"),
            (subject.confidential.as_ref(), "confidential client"),
            (subject.service.as_ref(), "service client"),
            (subject.device.as_ref(), "device client"),
            (
                subject.keyed.as_ref().map(|(client, _)| client),
                "keyed client",
            ),
        ];
        for (client, name) in clients {
            if let Some(client) = client {
                names.know_whole(&client.id, name);
            }
        }
        let steps = Vec::new();
        Self {
            subject,
            names,
            steps,
        }
    }

    pub(super) fn steps(self) -> Vec<Step> {
        self.steps
    }

    /// Turns a knob.
    pub fn turn(&self, knob: Knob) {
        (self.subject.turn)(knob);
    }

    /// Writes an answer down.
    pub fn note(&mut self, label: &str, answer: Answer) -> Answer {
        let shape = shape::of(&answer, &mut self.names);
        self.write(label, shape);
        answer
    }

    pub(super) fn write(&mut self, label: &str, answer: Value) {
        let label = label.to_owned();
        self.steps.push(Step { label, answer });
    }

    /// Signs alice in at the public client; nothing is written down.
    pub fn sign_in(&mut self) -> Tokens {
        let subject = self.subject;
        self.sign_in_at(&subject.public, &subject.access)
    }

    /// The same at any client.
    pub fn sign_in_at(&mut self, client: &Client, access: &Access) -> Tokens {
        let tokens = Tokens(self.subject.sign_in(client, access));
        self.name_tokens(&tokens);
        tokens
    }

    /// Tokens that no step shows have their numbers too.
    fn name_tokens(&mut self, tokens: &Tokens) {
        let answer = Answer {
            status: 200,
            headers: Vec::new(),
            body: tokens.0.to_string(),
        };
        let _ = shape::of(&answer, &mut self.names);
    }

    /// Asks the token endpoint.
    pub fn token(&mut self, label: &str, client: &Client, form: &[(&str, &str)]) -> Answer {
        let answer = self.subject.token(client, form);
        self.note(label, answer)
    }

    /// Refreshes as the public client.
    pub fn refresh(&mut self, label: &str, refresh_token: &str) -> Tokens {
        self.refresh_with(label, refresh_token, &[])
    }

    /// The same with other parameters.
    pub fn refresh_with(&mut self, label: &str, token: &str, more: &[(&str, &str)]) -> Tokens {
        let subject = self.subject;
        self.refresh_as(label, &subject.public, token, more)
    }

    /// The same as any client.
    pub fn refresh_as(
        &mut self,
        label: &str,
        client: &Client,
        token: &str,
        more: &[(&str, &str)],
    ) -> Tokens {
        let form = [
            &[("grant_type", "refresh_token"), ("refresh_token", token)],
            more,
        ]
        .concat();
        Tokens::of(&self.token(label, client, &form))
    }

    /// Redeems a code as the public client.
    pub fn redeem(&mut self, label: &str, code: &str) -> Tokens {
        let answer = self.subject.redeem(&self.subject.public, code, VERIFIER);
        Tokens::of(&self.note(label, answer))
    }

    /// Asks any endpoint as this client.
    pub fn post(
        &mut self,
        label: &str,
        client: &Client,
        endpoint: &str,
        form: &[(&str, &str)],
    ) -> Answer {
        let answer = self.subject.post_as(client, endpoint, form);
        self.note(label, answer)
    }

    /// Whether an access token is still good: the status alone.
    pub fn alive(&mut self, label: &str, token: &str) {
        let status = self.subject.show(&self.subject.access, token).status;
        self.write(label, json!({ "status": status }));
    }

    /// Shows an access token where the server itself refuses it; of a refusal all is written down.
    pub fn show(&mut self, label: &str, token: &str) {
        let answer = self.subject.show(&self.subject.refusing, token);
        if answer.status == 200 {
            self.write(label, json!({ "status": 200 }));
        } else {
            let _ = self.note(label, answer);
        }
    }

    /// The names of the metadata document's fields.
    pub fn metadata(&mut self) {
        let answer = http::get(self.subject.port, &self.subject.metadata_path);
        let document = answer.expect("metadata").json();
        let fields = document.as_object().expect("an object");
        let present = fields
            .keys()
            .map(|key| (key.clone(), Value::from("present")));
        self.write("fields", present.collect());
    }
}

/// What a token endpoint gave.
#[derive(Debug)]
pub struct Tokens(Value);

impl Tokens {
    pub(super) fn of(answer: &Answer) -> Self {
        Self(serde_json::from_str(&answer.body).unwrap_or_default())
    }

    /// Whether there are none.
    pub fn is_refusal(&self) -> bool {
        self.0["access_token"].is_null()
    }

    /// The access token; a refusal has none, and the script goes on with one that nobody knows.
    pub fn access(&self) -> &str {
        self.0["access_token"]
            .as_str()
            .unwrap_or("no-access-token-was-given")
    }

    /// The refresh token, likewise.
    pub fn refresh(&self) -> &str {
        self.0["refresh_token"]
            .as_str()
            .unwrap_or("no-refresh-token-was-given")
    }
}
