//! How our client proves who it is (RFC 6749 §2.3, RFC 7523 §2.2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::assertion::{self, AssertionError};
use crate::{
    http::Request,
    model::{ClientAuthMethod, ClientRegistration, Quirks},
    platform::clock::Seams,
    secret::SecretString,
};

/// What an assertion is (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Our client, proven for one request: an assertion is good once.
#[derive(Clone, Debug)]
pub struct ClientProof {
    client_id: String,
    how: Authentication,
    secret: Option<u64>,
    quirks: Quirks,
    /// What a person set beside the usual.
    parameters: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Authentication {
    Public,
    Basic(SecretString),
    Post(SecretString),
    Assertion(SecretString),
}

impl ClientProof {
    /// Our client at an identity provider: with a secret, or public.
    pub(super) fn at_identity_provider(client_id: &str, secret: Option<&SecretString>) -> Self {
        Self {
            client_id: client_id.to_owned(),
            how: secret
                .cloned()
                .map_or(Authentication::Public, Authentication::Basic),
            secret: None,
            quirks: Quirks::default(),
            parameters: vec![],
        }
    }
}

/// Our client and what it needs to prove itself.
#[derive(Clone, Copy, Debug)]
pub struct OurClient<'a> {
    /// The client.
    pub registration: &'a ClientRegistration,
    /// How its provider's token endpoint differs from the RFC.
    pub quirks: &'a Quirks,
    /// Whom an assertion is for; none means the issuer.
    pub audience: Option<&'a str>,
    /// For the time and the number of an assertion.
    pub seams: &'a Seams,
    /// How far its issuer's clock is ahead of ours, in seconds, as far as that is known.
    pub skew: i64,
}

impl<'a> OurClient<'a> {
    /// The same with its assertions for this audience; none means its issuer.
    #[must_use]
    pub fn for_audience(self, audience: Option<&'a str>) -> Self {
        Self { audience, ..self }
    }

    /// The proof for one request now.
    pub fn proof(self) -> Result<ClientProof, AssertionError> {
        self.proof_by(self.registration.auth_method)
    }

    /// The same at an endpoint with an authentication method of its own.
    pub(super) fn proof_by(self, method: ClientAuthMethod) -> Result<ClientProof, AssertionError> {
        let registration = self.registration;
        let secret = registration.secret_in_use();
        let secret = secret.filter(|_| method.shows_a_secret());
        let shown = secret.and_then(|secret| secret.id);
        let secret = secret.map(|secret| secret.secret.clone());
        let how = match (method, secret) {
            (ClientAuthMethod::Basic, Some(secret)) => Authentication::Basic(secret),
            (ClientAuthMethod::Post, Some(secret)) => Authentication::Post(secret),
            (ClientAuthMethod::PrivateKeyJwt, _) => {
                let audience = self.audience.unwrap_or(registration.issuer.as_str());
                Authentication::Assertion(assertion::sign(
                    registration,
                    audience,
                    (self.seams, self.skew),
                )?)
            }
            _ => Authentication::Public,
        };
        Ok(ClientProof {
            client_id: registration.client_id.as_str().to_owned(),
            how,
            secret: shown,
            quirks: self.quirks.clone(),
            parameters: vec![],
        })
    }
}

fn pairs(all: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    all.iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

impl ClientProof {
    /// The same with what a person set beside the usual; what the request itself says goes before it.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Vec<(String, String)>) -> Self {
        self.parameters = parameters;
        self
    }

    /// What a person set for this parameter. A flow takes it in the place of its own default.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut set = pairs(&self.parameters);
        set.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Which of the client's secrets is shown.
    pub fn secret(&self) -> Option<u64> {
        self.secret
    }

    /// What every refresh at its provider carries beside the fields of RFC 6749 §6.
    pub(super) fn refresh_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.quirks.refresh_parameters)
    }

    /// What every exchange of a code carries beside the fields of RFC 6749 §4.1.3.
    pub(super) fn exchange_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.quirks.exchange_parameters)
    }

    /// A `POST` to an endpoint that our client authenticates at. `fields` are sent in order: as a form, or as JSON where
    /// the provider wants that.
    pub fn form(&self, fields: &[(&str, &str)]) -> Request {
        let mut headers = form_headers();
        let set =
            pairs(&self.parameters).filter(|(key, _)| !fields.iter().any(|(own, _)| own == key));
        let mut all: Vec<(&str, &str)> = fields.iter().copied().chain(set).collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "the client's proof is sent to its issuer"
        )]
        match &self.how {
            Authentication::Basic(secret) => {
                let value = basic(&self.client_id, secret.expose());
                headers.insert(header::AUTHORIZATION, value);
            }
            Authentication::Post(secret) => {
                all.push(("client_id", &self.client_id));
                all.push(("client_secret", secret.expose()));
            }
            Authentication::Assertion(assertion) => {
                all.push(("client_id", &self.client_id));
                all.push(("client_assertion_type", ASSERTION_TYPE));
                all.push(("client_assertion", assertion.expose()));
            }
            // RFC 7523 §3.1: an assertion may stand without a client.
            Authentication::Public if self.client_id.is_empty() => {}
            Authentication::Public => all.push(("client_id", &self.client_id)),
        }
        let body = if self.quirks.json {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
            let object: serde_json::Map<String, serde_json::Value> = all
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.into()))
                .collect();
            serde_json::Value::Object(object).to_string()
        } else {
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(all)
                .finish()
        };
        self.add_quirks(&mut headers);
        Request {
            method: http::Method::POST,
            headers,
            body: body.into(),
        }
    }

    fn add_quirks(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.quirks.headers {
            let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
            if let (Ok(name), Ok(value)) = pair {
                headers.insert(name, value);
            }
        }
    }
}

fn form_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

/// RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
fn basic(client_id: &str, secret: &str) -> HeaderValue {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClientId, ClientSecret, Issuer, RegistrationSource};

    fn form(auth_method: ClientAuthMethod, fields: &[(&str, &str)]) -> Request {
        form_with(&Quirks::default(), auth_method, fields)
    }

    fn form_with(
        quirks: &Quirks,
        auth_method: ClientAuthMethod,
        fields: &[(&str, &str)],
    ) -> Request {
        let registration = ClientRegistration {
            secrets: vec![ClientSecret::new("p q&r".to_owned().into())],
            auth_method,
            ..ClientRegistration::new(
                Issuer::new("https://as.example"),
                ClientId::new("a:b"),
                RegistrationSource::Given,
            )
        };
        let our = OurClient {
            registration: &registration,
            quirks,
            audience: None,
            seams: &Seams::system(),
            skew: 0,
        };
        our.proof().unwrap().form(fields)
    }

    #[test]
    fn each_method_puts_the_secret_where_it_belongs_and_nowhere_else() {
        let basic = form(ClientAuthMethod::Basic, &[("x", "1")]);
        assert_eq!(
            basic.headers[header::AUTHORIZATION],
            format!("Basic {}", STANDARD.encode("a%3Ab:p+q%26r"))
        );
        assert_eq!(&basic.body[..], b"x=1");
        let post = form(ClientAuthMethod::Post, &[]);
        assert_eq!(&post.body[..], b"client_id=a%3Ab&client_secret=p+q%26r");
        assert!(!post.headers.contains_key(header::AUTHORIZATION));
        let none = form(ClientAuthMethod::None, &[]);
        assert_eq!(&none.body[..], b"client_id=a%3Ab");
    }

    #[test]
    fn a_provider_that_wants_json_and_headers_gets_them() {
        let quirks = Quirks {
            json: true,
            headers: vec![("Notion-Version".to_owned(), "2025-09-03".to_owned())],
            ..Quirks::default()
        };
        let request = form_with(&quirks, ClientAuthMethod::Basic, &[("grant_type", "x")]);
        assert_eq!(&request.body[..], br#"{"grant_type":"x"}"#);
        assert_eq!(request.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(request.headers["notion-version"], "2025-09-03");
    }
}
