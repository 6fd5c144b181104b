//! The way to an access token through the company's identity provider: it exchanges a person's token for an assertion
//! (RFC 8693), an ID-JAG, which the authorization server takes in the place of a sign-in (RFC 7523 §2.1).

use serde_json::Value;

use super::{
    classify::{self, Outcome, Refused},
    client_auth::ClientProof,
};
use crate::{
    http::{HttpUrl, InvalidUrl, Reply, Request},
    model::{
        IdentityProvider, Issuer, Moment, RefreshToken, Resource, Scope, SubjectFile, UnknownKind,
    },
    secret::SecretString,
};

const KIND: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// What is asked of the identity provider.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The authorization server that the assertion is for.
    pub audience: &'a Issuer,
    /// What the access token shall be for.
    pub resource: Option<&'a Resource>,
    /// What it shall allow.
    pub scope: Option<&'a Scope>,
}

/// Where an identity provider is asked.
pub(crate) fn endpoint(idp: &IdentityProvider) -> Result<HttpUrl, InvalidUrl> {
    HttpUrl::parse(&idp.token_url)
}

/// A request that exchanges a person's token for an assertion (RFC 8693 §2.1).
pub fn exchange_request(idp: &IdentityProvider, subject: &SecretString, ask: Ask<'_>) -> Request {
    let client =
        ClientProof::at_identity_provider(idp.client_id.as_str(), idp.client_secret.as_ref());
    #[expect(
        clippy::disallowed_methods,
        reason = "the person's token is sent to the identity provider that issued it"
    )]
    let subject_token = subject.expose();
    let kind = match idp.subject {
        SubjectFile::IdToken(_) => "urn:ietf:params:oauth:token-type:id_token",
        SubjectFile::RefreshToken(_) => "urn:ietf:params:oauth:token-type:refresh_token",
    };
    let mut fields = vec![
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("requested_token_type", KIND),
        ("audience", ask.audience.as_str()),
    ];
    fields.extend(ask.resource.map(|resource| ("resource", resource.as_str())));
    fields.extend(ask.scope.map(|scope| ("scope", scope.as_str())));
    fields.extend([
        ("subject_token", subject_token.as_str()),
        ("subject_token_type", kind),
    ]);
    client.form(&fields)
}

/// Whether an answer brings an assertion and no access token.
pub(super) fn is_one(body: &Value) -> bool {
    body.get("issued_token_type").and_then(Value::as_str) == Some(KIND)
}

/// What an identity provider gave.
#[derive(Clone, Debug)]
pub struct Given {
    /// The assertion.
    pub assertion: SecretString,
    /// A new refresh token in the place of the one that was exchanged.
    pub refresh_token: Option<RefreshToken>,
}

/// Reads an identity provider's answer. What is no assertion is judged like any other answer of a token endpoint, and what
/// it says is told as the identity provider's.
pub fn read(idp: &IdentityProvider, reply: &Reply, issued: Moment) -> Result<Given, Box<Outcome>> {
    let body = serde_json::from_slice::<Value>(&reply.body).ok();
    let given = body.filter(|_| reply.status.is_success()).and_then(|body| {
        let text = |key: &str| Some(body.get(key)?.as_str()?.to_owned());
        let assertion = text("access_token").filter(|token| !token.is_empty())?;
        is_one(&body).then(|| Given {
            assertion: assertion.into(),
            refresh_token: text("refresh_token")
                .filter(|token| !token.is_empty())
                .map(|secret| RefreshToken {
                    secret: secret.into(),
                    expires_at: None,
                }),
        })
    });
    given.ok_or_else(|| of(idp, classify::classify(reply, issued.wall)).into())
}

fn of(idp: &IdentityProvider, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::GrantRefused(refused) => Outcome::GrantRefused(said_by(idp, refused)),
        Outcome::ClientRefused(refused) => Outcome::ClientRefused(said_by(idp, refused)),
        Outcome::RequestRefused(refused) => Outcome::RequestRefused(said_by(idp, refused)),
        Outcome::Transient { why, retry_after } => Outcome::Transient {
            why: told(idp, &why),
            retry_after,
        },
        Outcome::Suspect { why } => Outcome::Suspect {
            why: told(idp, &why),
        },
        // Tokens of another kind than was asked for are not used.
        Outcome::Accepted(_) => Outcome::Unknown(UnknownKind::Unreadable),
        unknown @ Outcome::Unknown(_) => unknown,
    }
}

/// The same refusal, with who said it.
fn said_by(idp: &IdentityProvider, refused: Refused) -> Refused {
    let said = refused
        .description
        .as_deref()
        .unwrap_or("no more than that");
    Refused {
        description: Some(told(idp, said)),
        code: refused.code,
    }
}

/// What an identity provider said, or what became of a request to it, with its name.
pub(crate) fn told(idp: &IdentityProvider, what: &str) -> String {
    format!("the identity provider at {}: {what}", idp.token_url)
}

/// The authorization server's answer as it is kept: with the identity provider's new refresh token in the place of any of
/// its own, so that whatever finds the one has the other too.
pub(crate) fn combined(mut reply: Reply, refresh: Option<&RefreshToken>) -> Reply {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(&reply.body) else {
        return reply;
    };
    body.remove("refresh_token");
    #[expect(
        clippy::disallowed_methods,
        reason = "it is kept sealed, as a part of the answer"
    )]
    if let Some(token) = refresh {
        body.insert(
            "refresh_token".to_owned(),
            token.secret.expose().clone().into(),
        );
    }
    reply.body = Value::Object(body).to_string().into();
    reply
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests read what is sent and what came"
)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};
    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{BootId, BootStamp, ClientId},
        oauth::token::TokenAnswer,
    };

    fn idp(subject: SubjectFile) -> IdentityProvider {
        IdentityProvider {
            token_url: "https://idp.example/token".to_owned(),
            client_id: ClientId::new("at idp"),
            client_secret: Some("s".to_owned().into()),
            subject,
        }
    }

    fn read_answer(status: u16, body: &str) -> Result<Given, Box<Outcome>> {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        };
        let issued = Moment {
            wall: Timestamp::from_second(1).unwrap(),
            boot: BootStamp {
                id: BootId(1),
                since: Duration::from_secs(1),
            },
        };
        read(&idp(SubjectFile::IdToken("f".into())), &reply, issued)
    }

    #[test]
    fn the_exchange_names_the_server_it_is_for() {
        let issuer = Issuer::new("https://as.example/");
        let resource = Resource::new("https://mcp.example/mcp");
        let ask = Ask {
            audience: &issuer,
            resource: Some(&resource),
            scope: None,
        };
        let request = exchange_request(
            &idp(SubjectFile::IdToken("f".into())),
            &"j.w.t".to_owned().into(),
            ask,
        );
        let sent = std::str::from_utf8(&request.body).unwrap();
        assert_eq!(
            sent,
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid-jag\
             &audience=https%3A%2F%2Fas.example%2F&resource=https%3A%2F%2Fmcp.example%2Fmcp\
             &subject_token=j.w.t&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token"
        );
        assert!(
            request.headers.contains_key("authorization"),
            "as our client there"
        );
        let refresh = idp(SubjectFile::RefreshToken("f".into()));
        let request = exchange_request(&refresh, &"rt".to_owned().into(), ask);
        assert!(request.body.ends_with(b"token-type%3Arefresh_token"));
    }

    #[test]
    fn an_assertion_is_no_access_token_and_an_access_token_is_no_assertion() {
        let jag = format!(
            r#"{{"access_token":"j.w.t","issued_token_type":"{KIND}","token_type":"N_A","refresh_token":"r2"}}"#
        );
        let given = read_answer(200, &jag).unwrap();
        assert_eq!(given.assertion.expose(), "j.w.t");
        assert_eq!(given.refresh_token.unwrap().secret.expose(), "r2");
        let body = serde_json::from_str(&jag).unwrap();
        assert!(TokenAnswer::read(&body).is_none(), "it is never handed out");
        for other in [
            r#"{"access_token":"a","token_type":"Bearer"}"#,
            r#"{"access_token":"a","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#,
            r#"{"issued_token_type":"urn:ietf:params:oauth:token-type:id-jag"}"#,
            "<html>sign in</html>",
            "",
        ] {
            let outcome = read_answer(200, other).unwrap_err();
            assert!(
                matches!(*outcome, Outcome::Unknown(_)),
                "{other}: {outcome:?}"
            );
        }
    }

    #[test]
    fn a_refusal_says_that_it_is_the_identity_providers() {
        let refused = |status, body: &str| *read_answer(status, body).unwrap_err();
        let Outcome::GrantRefused(said) = refused(400, r#"{"error":"invalid_grant"}"#) else {
            panic!("another outcome");
        };
        assert!(
            said.to_string()
                .contains("identity provider at https://idp.example/token")
        );
        let page = refused(403, "<html>proxy</html>");
        assert!(
            matches!(&page, Outcome::Transient { why, .. } if why.contains("identity provider"))
        );
        let client = refused(
            401,
            r#"{"error":"invalid_client","error_description":"no"}"#,
        );
        assert!(
            matches!(&client, Outcome::ClientRefused(said) if said.to_string().ends_with(": no"))
        );
    }

    #[test]
    fn what_is_kept_holds_the_identity_providers_token_and_never_the_servers() {
        let kept = |refresh: Option<&str>| {
            let reply = Reply {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: r#"{"access_token":"a","refresh_token":"as"}"#.into(),
            };
            let token = refresh.map(|text| RefreshToken {
                secret: text.to_owned().into(),
                expires_at: None,
            });
            let body = combined(reply, token.as_ref()).body;
            let body: Value = serde_json::from_slice(&body).unwrap();
            body.get("refresh_token").cloned()
        };
        assert_eq!(kept(None), None);
        assert_eq!(kept(Some("idp")), Some("idp".into()));
    }
}
