//! Revocation (RFC 7009): the refresh token first, for it takes the access tokens with it (§2.1).

use http::StatusCode;

use super::{
    GUESS, PublishedUrl, WireError, body_hint, classify,
    client_auth::{ClientProof, OurClient},
    exchange_by,
    published_url::parse_published,
};
use crate::{
    http::{HttpUrl, Reach, Reply, Transport},
    model::{
        ClientAuthMethod, ClientRegistration, ConnectionName, Grant, Provider, ServerMetadata,
    },
    secret::SecretString,
};

/// What became of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The provider confirmed it.
    Done,
    /// The provider has no revocation endpoint.
    NotOffered,
    /// The provider takes no revocation from our client, or not of its tokens: asking again changes nothing.
    Refused(String),
    /// The provider did not confirm it.
    Failed(String),
    /// Other connections live on the same grant: it is not revoked.
    Shared(Vec<ConnectionName>),
}

/// Revokes what a grant holds.
pub async fn revoke(
    transport: &dyn Transport,
    reach: Reach,
    provider: &Provider,
    client: OurClient<'_>,
    grant: &Grant,
) -> Revocation {
    let certificate = grant.grant_material.certificate.is_some();
    let metadata = provider.metadata.for_client(certificate);
    let Some(endpoint) = endpoint(&metadata) else {
        return Revocation::NotOffered;
    };
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(error) => return Revocation::Refused(error.to_string()),
    };
    // The identity provider's is nothing for this server to see.
    let own = grant.grant_type.has_own_refresh_token();
    let refresh = grant.refresh.as_ref().filter(|_| own);
    let refresh = refresh.map(|token| (&token.secret, "refresh_token"));
    let access = grant.access.as_ref();
    let access = access.map(|token| (&token.secret, "access_token"));
    let at = RevocationEndpoint {
        transport,
        place: (&endpoint, reach),
        metadata: &provider.metadata,
    };
    let mut ended = false;
    for (token, hint) in refresh.into_iter().chain(access) {
        match at.revoke_one(client, (token, hint)).await {
            Ok(RevocationReply::Gone) => {}
            // RFC 7009 §2.1: it ended with its refresh token.
            Ok(RevocationReply::Refused(_) | RevocationReply::NotForUs(_)) if ended => {}
            Ok(RevocationReply::NotForUs(said)) => return Revocation::Refused(said),
            Ok(RevocationReply::Refused(said) | RevocationReply::Later(said)) => {
                return Revocation::Failed(said);
            }
            Err(error) => return Revocation::Failed(error.to_string()),
        }
        ended = hint == "refresh_token";
    }
    Revocation::Done
}

fn endpoint(metadata: &ServerMetadata) -> Option<Result<HttpUrl, PublishedUrl>> {
    let endpoint = metadata.revocation_endpoint.as_ref()?;
    Some(parse_published(
        &metadata.issuer,
        "revocation_endpoint",
        endpoint,
    ))
}

/// Where tokens are revoked.
struct RevocationEndpoint<'a> {
    transport: &'a dyn Transport,
    place: (&'a HttpUrl, Reach),
    metadata: &'a ServerMetadata,
}

impl RevocationEndpoint<'_> {
    /// Shows our client in each way that may be wanted here, until one is taken.
    async fn revoke_one(
        &self,
        client: OurClient<'_>,
        (token, hint): (&SecretString, &str),
    ) -> Result<RevocationReply, WireError> {
        let mut last = RevocationReply::Refused(String::new());
        for way in ways(self.metadata, client.registration) {
            let proof = match way {
                Authentication::By(method) => client.proof_by(method)?,
                Authentication::EmptySecret => client.proof_by(ClientAuthMethod::None)?,
            };
            let reply = self.ask(client, &proof, way, (token, hint)).await?;
            last = judge(&reply, way);
            let unproven = matches!(
                reply.status,
                StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED
            );
            if !unproven || matches!(last, RevocationReply::Gone) {
                break;
            }
        }
        Ok(last)
    }

    async fn ask(
        &self,
        client: OurClient<'_>,
        proof: &ClientProof,
        way: Authentication,
        (token, hint): (&SecretString, &str),
    ) -> Result<Reply, WireError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the token is sent to its issuer to be revoked"
        )]
        let mut fields = vec![
            ("token", token.expose().as_str()),
            ("token_type_hint", hint),
        ];
        if way == Authentication::EmptySecret {
            fields.push(("client_secret", ""));
        }
        let clock = &*client.seams.clock;
        exchange_by(clock, self.transport, self.place, proof.form(&fields)).await
    }
}

/// How our client is shown at the revocation endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authentication {
    By(ClientAuthMethod),
    /// The MCP Python SDK's servers take a public client only if it sends the secret it does not have, empty.
    EmptySecret,
}

/// The ways to show our client, in the order in which they are tried. RFC 8414 §2: the endpoint may name methods of its own;
/// else it takes what the token endpoint takes.
fn ways(metadata: &ServerMetadata, client: &ClientRegistration) -> Vec<Authentication> {
    let listed = &metadata.revocation_endpoint_auth_methods_supported;
    let takes = |method: ClientAuthMethod| {
        listed.is_empty() || listed.iter().any(|name| name == method.as_str())
    };
    let own = client.auth_method;
    if takes(own) && own != ClientAuthMethod::None {
        return vec![Authentication::By(own)];
    }
    let has = |method: ClientAuthMethod| match method {
        ClientAuthMethod::None => own == ClientAuthMethod::None,
        ClientAuthMethod::PrivateKeyJwt => client.private_key.is_some(),
        ClientAuthMethod::Basic | ClientAuthMethod::Post => !client.secrets.is_empty(),
        ClientAuthMethod::TlsClientAuth | ClientAuthMethod::SelfSignedTlsClientAuth => {
            own.shows_a_certificate()
        }
    };
    let order = [
        ClientAuthMethod::None,
        ClientAuthMethod::PrivateKeyJwt,
        ClientAuthMethod::Basic,
        ClientAuthMethod::Post,
    ];
    let fit = order
        .into_iter()
        .filter(|method| has(*method) && takes(*method));
    let mut ways: Vec<Authentication> = fit.map(Authentication::By).collect();
    if ways.is_empty() {
        ways.push(Authentication::By(own));
    }
    if own == ClientAuthMethod::None && client.secrets.is_empty() {
        ways.push(Authentication::EmptySecret);
    }
    ways
}

/// What an answer to a revocation means.
#[derive(Debug, PartialEq, Eq)]
enum RevocationReply {
    /// The token is not good any more.
    Gone,
    /// It is refused, and asking again changes nothing.
    NotForUs(String),
    /// It was refused.
    Refused(String),
    /// The server returned a server error.
    Later(String),
}

/// Codes that say that there is nothing to revoke: RFC 7009 §2.2 wants 200 then.
const GONE: [&str; 5] = [
    "invalid_token",
    "invalid_grant",
    "token_revoked",
    "token_expired",
    "token_not_found",
];

fn judge(reply: &Reply, way: Authentication) -> RevocationReply {
    // RFC 7009 §2.2: a page, or an error under a 200, confirms nothing.
    let refused = classify::refused(reply);
    let is_page = !reply.body.is_empty() && classify::is_page(reply);
    if reply.status.is_success() && refused.is_none() && !is_page {
        return RevocationReply::Gone;
    }
    let code = refused.as_ref().map(|refused| refused.code.as_str());
    if code.is_some_and(|code| GONE.contains(&code)) {
        return RevocationReply::Gone;
    }
    let said = match &refused {
        Some(refused) => format!("it said: {refused} (status {})", reply.status.as_u16()),
        None => format!("it gave no reason ({}); {GUESS}", body_hint(reply)),
    };
    let public = !matches!(way, Authentication::By(method) if method != ClientAuthMethod::None);
    let unproven = reply.status == StatusCode::UNAUTHORIZED
        || matches!(code, Some("invalid_client" | "unauthorized_client"));
    if public && unproven {
        return RevocationReply::NotForUs(format!(
            "it takes revocations only from clients with a secret, and this one has none; {said}"
        ));
    }
    // RFC 7009 §2.2.1.
    if code == Some("unsupported_token_type") {
        return RevocationReply::NotForUs(said);
    }
    if reply.status.is_client_error() && reply.status != StatusCode::TOO_MANY_REQUESTS {
        RevocationReply::Refused(said)
    } else {
        RevocationReply::Later(said)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::model::{ClientId, ClientSecret, Issuer, RegistrationSource};

    fn judged(status: u16, body: &str, way: Authentication) -> RevocationReply {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        };
        judge(&reply, way)
    }

    const PUBLIC: Authentication = Authentication::By(ClientAuthMethod::None);
    const BASIC: Authentication = Authentication::By(ClientAuthMethod::Basic);

    #[test]
    fn what_is_gone_already_is_revoked() {
        for (status, body) in [
            (200, ""),
            (204, ""),
            (200, "{}"),
            (
                400,
                r#"{"error":"invalid_token","error_description":"Token expired or revoked"}"#,
            ),
            (400, r#"{"error":"invalid_grant"}"#),
        ] {
            assert_eq!(
                judged(status, body, BASIC),
                RevocationReply::Gone,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_page_or_an_error_under_a_200_confirms_nothing() {
        for body in [r#"{"error":"invalid_client"}"#, "<html>sign in</html>"] {
            assert_ne!(judged(200, body, BASIC), RevocationReply::Gone, "{body}");
        }
    }

    #[test]
    fn a_refusal_quotes_the_provider() {
        let body = r#"{"error":"invalid_client","error_description":"wrong secret"}"#;
        let RevocationReply::Refused(said) = judged(401, body, BASIC) else {
            panic!("a client with a secret may have a wrong one");
        };
        assert!(said.contains("invalid_client: wrong secret"), "{said}");
        for way in [PUBLIC, Authentication::EmptySecret] {
            let RevocationReply::NotForUs(said) = judged(401, body, way) else {
                panic!("a public client can show nothing else");
            };
            assert!(said.contains("clients with a secret"), "{said}");
        }
        let RevocationReply::Refused(said) = judged(403, "", BASIC) else {
            panic!("it is refused");
        };
        assert!(said.contains("wrong client secret"), "{said}");
        let unsupported = r#"{"error":"unsupported_token_type"}"#;
        assert!(matches!(
            judged(400, unsupported, BASIC),
            RevocationReply::NotForUs(_)
        ));
        for status in [429, 500, 503] {
            assert!(
                matches!(judged(status, "", PUBLIC), RevocationReply::Later(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn the_endpoints_own_methods_count() {
        let client = |method, secret: bool| {
            let mut client = ClientRegistration::new(
                Issuer::new("https://as.example"),
                ClientId::new("c"),
                RegistrationSource::Dynamic,
            );
            client.auth_method = method;
            if secret {
                client.secrets = vec![ClientSecret::new("s".to_owned().into())];
            }
            client
        };
        let ways = |listed: &[&str], client: &ClientRegistration| {
            let metadata = ServerMetadata {
                revocation_endpoint_auth_methods_supported: listed
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect(),
                ..ServerMetadata::default()
            };
            ways(&metadata, client)
        };
        let post = Authentication::By(ClientAuthMethod::Post);
        let confidential = client(ClientAuthMethod::Basic, true);
        assert_eq!(ways(&[], &confidential), [BASIC]);
        assert_eq!(ways(&["client_secret_post"], &confidential), [post]);
        assert_eq!(ways(&["private_key_jwt"], &confidential), [BASIC]);
        let public = client(ClientAuthMethod::None, false);
        assert_eq!(ways(&[], &public), [PUBLIC, Authentication::EmptySecret]);
        assert_eq!(
            ways(&["client_secret_basic"], &public),
            [PUBLIC, Authentication::EmptySecret]
        );
        // The token endpoint does not want the secret that came with the registration.
        let kept = client(ClientAuthMethod::None, true);
        assert_eq!(ways(&[], &kept), [PUBLIC, BASIC, post]);
        assert_eq!(ways(&["client_secret_post"], &kept), [post]);
    }
}
