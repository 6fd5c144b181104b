//! A metadata document, read field by field: a field of the wrong type spoils itself and not the document.

use http::{StatusCode, header};
use serde_json::{Map, Value};

use crate::{
    http::{HttpUrl, Reach, Reply, Request, Transport},
    model::{MtlsAliases, Quirks, ServerMetadata},
    oauth::{WireError, body_hint, discovery::error::DiscoveryError, exchange, exchange_by},
    platform::clock::Clock,
    text::sanitize::one_line,
};

/// How often a document may point to another place of its own origin.
const MOST_REDIRECTS: usize = 3;

/// How documents are fetched.
#[derive(Clone, Copy)]
pub(in crate::oauth) struct Fetcher<'a> {
    pub(in crate::oauth) transport: &'a dyn Transport,
    pub(in crate::oauth) reach: Reach,
    /// The clock that was handed in, if one was.
    pub(in crate::oauth) clock: Option<&'a dyn Clock>,
}

impl Fetcher<'_> {
    /// One request.
    pub(super) async fn ask(&self, at: &HttpUrl, request: Request) -> Result<Reply, WireError> {
        match self.clock {
            Some(clock) => exchange_by(clock, self.transport, (at, self.reach), request).await,
            None => exchange(self.transport, at, self.reach, request).await,
        }
    }

    /// The document at a place, or at the one on the same origin that it redirects to; none if there is none.
    pub(in crate::oauth) async fn document(
        &self,
        at: &HttpUrl,
    ) -> Result<Option<(Document, Reply)>, DiscoveryError> {
        let mut place = at.clone();
        for _ in 0..=MOST_REDIRECTS {
            let reply = self.ask(&place, Request::get_json()).await?;
            let Some(to) = target(&place, &reply) else {
                return read(&place, reply);
            };
            match to {
                Ok(next) if next.same_origin(at) => place = next,
                other => {
                    return Err(DiscoveryError::MetadataRedirected {
                        url: at.as_str().to_owned(),
                        to: other.map_or_else(|named| named, |next| next.as_str().to_owned()),
                    });
                }
            }
        }
        Err(DiscoveryError::MetadataRedirected {
            url: at.as_str().to_owned(),
            to: place.as_str().to_owned(),
        })
    }
}

/// Where a reply redirects to: a URL, or what stands in the place of one. None if it does not redirect.
pub(super) fn target(at: &HttpUrl, reply: &Reply) -> Option<Result<HttpUrl, String>> {
    if !reply.status.is_redirection() {
        return None;
    }
    let location = reply.headers.get(header::LOCATION)?;
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    Some(at.join(&location).map_err(|_invalid| one_line(&location)))
}

fn read(at: &HttpUrl, reply: Reply) -> Result<Option<(Document, Reply)>, DiscoveryError> {
    check_available(at, &reply)?;
    if !reply.status.is_success() {
        return Ok(None);
    }
    match reply.json() {
        Some(Value::Object(fields)) => Ok(Some((Document(fields), reply))),
        _ => Err(not_metadata(at, &reply)),
    }
}

/// What is not answered now may be answered in a moment: it does not count as not there.
fn check_available(at: &HttpUrl, reply: &Reply) -> Result<(), DiscoveryError> {
    let status = reply.status;
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(DiscoveryError::Unavailable {
            url: at.as_str().to_owned(),
            answer: status.as_u16(),
        });
    }
    Ok(())
}

/// What is at a place is no metadata.
pub(super) fn not_metadata(at: &HttpUrl, reply: &Reply) -> DiscoveryError {
    DiscoveryError::NotMetadata {
        url: at.as_str().to_owned(),
        answer: body_hint(reply),
    }
}

/// The fields of a document.
#[derive(Debug)]
pub(in crate::oauth) struct Document(Map<String, Value>);

impl Document {
    fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text; none of another type.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.field(name)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            warn(name, "text");
        }
        text
    }

    /// A URL as it stands there. What is no text is kept as it is written, so that a flow that needs it
    /// names the field.
    fn url(&self, name: &str) -> Option<String> {
        let value = self.field(name)?;
        let text = value.as_str().map(str::to_owned);
        Some(text.unwrap_or_else(|| {
            warn(name, "URL");
            one_line(&value.to_string())
        }))
    }

    /// A list of texts; one text is a list of one, and what is no text is left out.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.field(name)? {
            Value::String(one) => Some(vec![one.clone()]),
            Value::Array(all) => {
                let texts = all.iter().filter_map(Value::as_str).map(str::to_owned);
                let texts: Vec<String> = texts.collect();
                if texts.len() < all.len() {
                    warn(name, "list of texts");
                }
                Some(texts)
            }
            _ => {
                warn(name, "list of texts");
                None
            }
        }
    }

    /// Scopes, which some servers write as one text.
    pub(super) fn scopes(&self, name: &str) -> Option<Vec<String>> {
        let listed = self.texts(name)?;
        let words = listed.iter().flat_map(|text| text.split_whitespace());
        Some(words.map(str::to_owned).collect())
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &str) -> bool {
        match self.field(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            Some(_) => {
                warn(name, "yes or no");
                false
            }
            None => false,
        }
    }

    /// RFC 8705 §5.
    fn mtls_aliases(&self) -> MtlsAliases {
        const FIELD: &str = "mtls_endpoint_aliases";
        let aliases = match self.field(FIELD) {
            Some(Value::Object(aliases)) => Self(aliases.clone()),
            None => return MtlsAliases::default(),
            Some(_) => {
                warn(FIELD, "object");
                return MtlsAliases::default();
            }
        };
        MtlsAliases {
            token_endpoint: aliases.url("token_endpoint"),
            registration_endpoint: aliases.url("registration_endpoint"),
            revocation_endpoint: aliases.url("revocation_endpoint"),
            introspection_endpoint: aliases.url("introspection_endpoint"),
            device_authorization_endpoint: aliases.url("device_authorization_endpoint"),
            pushed_authorization_request_endpoint: aliases
                .url("pushed_authorization_request_endpoint"),
        }
    }

    /// The metadata of an authorization server; none without an issuer: then it is something else.
    pub(in crate::oauth) fn server(&self) -> Option<ServerMetadata> {
        let list = |name: &str| self.texts(name).unwrap_or_default();
        Some(ServerMetadata {
            issuer: self.text("issuer")?,
            authorization_endpoint: self.url("authorization_endpoint"),
            token_endpoint: self.url("token_endpoint"),
            registration_endpoint: self.url("registration_endpoint"),
            revocation_endpoint: self.url("revocation_endpoint"),
            introspection_endpoint: self.url("introspection_endpoint"),
            device_authorization_endpoint: self.url("device_authorization_endpoint"),
            pushed_authorization_request_endpoint: self
                .url("pushed_authorization_request_endpoint"),
            require_pushed_authorization_requests: self
                .flag("require_pushed_authorization_requests"),
            code_challenge_methods_supported: list("code_challenge_methods_supported"),
            token_endpoint_auth_methods_supported: list("token_endpoint_auth_methods_supported"),
            revocation_endpoint_auth_methods_supported: list(
                "revocation_endpoint_auth_methods_supported",
            ),
            scopes_supported: self.scopes("scopes_supported").unwrap_or_default(),
            dpop_signing_alg_values_supported: list("dpop_signing_alg_values_supported"),
            authorization_response_iss_parameter_supported: self
                .flag("authorization_response_iss_parameter_supported"),
            client_id_metadata_document_supported: self
                .flag("client_id_metadata_document_supported"),
            mtls_endpoint_aliases: self.mtls_aliases().into(),
            tls_client_certificate_bound_access_tokens: self
                .flag("tls_client_certificate_bound_access_tokens"),
            // Ours to know, and not a server's to say.
            quirks: Quirks::default(),
        })
    }
}

fn warn(field: &str, wanted: &'static str) {
    tracing::warn!(field, wanted, "a metadata field has the wrong type");
}

/// Whether another place of the same server may have what this one has not. A server that can't be reached, or does not
/// answer, is not asked again at another path.
pub(super) fn may_be_elsewhere(error: &DiscoveryError) -> bool {
    match error {
        DiscoveryError::Wire(error) => matches!(error, WireError::Exchange { .. }),
        _ => true,
    }
}

/// The trouble to tell of two: one that may pass says that nothing is known, else the first.
pub(super) fn to_tell(first: Option<DiscoveryError>, next: DiscoveryError) -> DiscoveryError {
    match first {
        Some(first) if first.is_passing() || !next.is_passing() => first,
        _ => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        let Value::Object(fields) = serde_json::from_str(text).unwrap() else {
            panic!("an object")
        };
        Document(fields)
    }

    #[test]
    fn a_field_of_a_wrong_type_spoils_itself_alone() {
        let metadata = document(
            r#"{"issuer":"https://as.example","token_endpoint":"https://as.example/t",
                "registration_endpoint":7,"revocation_endpoint":null,"scopes_supported":"read write",
                "code_challenge_methods_supported":"S256","token_endpoint_auth_methods_supported":[1,"none"],
                "require_pushed_authorization_requests":"true","dpop_signing_alg_values_supported":{},
                "client_id_metadata_document_supported":1}"#,
        );
        let read = metadata.server().unwrap();
        assert_eq!(read.token_endpoint.as_deref(), Some("https://as.example/t"));
        assert_eq!(
            read.registration_endpoint.as_deref(),
            Some("7"),
            "named where it is needed"
        );
        assert_eq!(read.revocation_endpoint, None);
        assert_eq!(read.scopes_supported, ["read", "write"]);
        assert_eq!(read.code_challenge_methods_supported, ["S256"]);
        assert_eq!(read.token_endpoint_auth_methods_supported, ["none"]);
        assert!(read.require_pushed_authorization_requests);
        assert!(read.dpop_signing_alg_values_supported.is_empty());
        assert!(!read.client_id_metadata_document_supported);
    }

    #[test]
    fn without_an_issuer_it_is_something_else() {
        for other in [
            "{}",
            r#"{"error":"not_found"}"#,
            r#"{"issuer":7}"#,
            r#"{"issuer":null}"#,
        ] {
            assert_eq!(document(other).server(), None, "{other}");
        }
    }

    #[test]
    fn a_redirect_is_read_from_where_it_stands() {
        let at = HttpUrl::parse("https://as.example/.well-known/x").unwrap();
        let reply = |status: u16, location: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(header::LOCATION, location.parse().unwrap());
            Reply {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: bytes::Bytes::new(),
            }
        };
        let of = |status, location: &str| {
            target(&at, &reply(status, location)).map(|to| to.map(|to| to.as_str().to_owned()))
        };
        assert_eq!(of(302, "/y"), Some(Ok("https://as.example/y".to_owned())));
        assert_eq!(
            of(301, "http://as.example/"),
            Some(Err("http://as.example/".to_owned()))
        );
        assert_eq!(of(200, "/y"), None);
    }
}
