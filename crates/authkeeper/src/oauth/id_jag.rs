//! The way to an access token through the company's identity provider: it exchanges a person's token for an assertion
//! (RFC 8693), an ID-JAG, which the authorization server takes in the place of a sign-in (RFC 7523 §2.1).

use serde_json::Value;

use super::{
    answer::{ID_JAG_TOKEN_TYPE, is_id_jag},
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

/// What is asked of the identity provider.
#[derive(Clone, Copy, Debug)]
pub struct IdJagRequest<'a> {
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
pub fn exchange_request(
    idp: &IdentityProvider,
    subject: &SecretString,
    ask: IdJagRequest<'_>,
) -> Request {
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
        ("requested_token_type", ID_JAG_TOKEN_TYPE),
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

/// The assertion in an identity provider's answer. What is none is judged like any other answer of a token endpoint, and
/// what it says is told as the identity provider's.
pub fn read(
    idp: &IdentityProvider,
    reply: &Reply,
    issued: Moment,
) -> Result<SecretString, Box<Outcome>> {
    let assertion =
        text(reply, "access_token").filter(|_| body(reply).is_some_and(|it| is_id_jag(&it)));
    assertion.ok_or_else(|| of(idp, classify::classify(reply, issued.wall)).into())
}

/// The refresh token that an identity provider gives in the place of the one it was shown, whatever else its answer is.
pub fn renewed(idp: &IdentityProvider, reply: &Reply) -> Option<RefreshToken> {
    let shown = matches!(idp.subject, SubjectFile::RefreshToken(_));
    let secret = text(reply, "refresh_token").filter(|_| shown)?;
    Some(RefreshToken {
        secret,
        expires_at: None,
    })
}

/// What an answer that is no refusal says.
fn body(reply: &Reply) -> Option<Value> {
    let body = reply.json();
    body.filter(|_| reply.status.is_success())
}

fn text(reply: &Reply, key: &str) -> Option<SecretString> {
    let body = body(reply)?;
    let text = body.get(key)?.as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned().into())
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
        Outcome::Unrecognized {
            refused,
            retry_after,
        } => Outcome::Unrecognized {
            refused: said_by(idp, refused),
            retry_after,
        },
        // Tokens of another kind than was asked for are not used.
        Outcome::Accepted(_) | Outcome::RefreshTokenAlone(_) => {
            Outcome::Unknown(UnknownKind::Unreadable)
        }
        as_it_is @ (Outcome::Unknown(_) | Outcome::Moved { .. }) => as_it_is,
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

/// Says of an answer that is kept that it is the authorization server's. An identity provider's own access token looks
/// the same otherwise, and is for nobody else.
const COMBINED: &str = "authkeeper:vouched";

/// Whether an answer that was kept is the authorization server's.
pub(crate) fn is_combined(reply: &Reply) -> bool {
    body(reply).is_some_and(|body| body.get(COMBINED) == Some(&Value::Bool(true)))
}

/// The authorization server's answer as it is kept: with the identity provider's new refresh token in the place of any of
/// its own, so that whatever finds the one has the other too.
pub(crate) fn combined(mut reply: Reply, refresh: Option<&RefreshToken>) -> Reply {
    let Some(Value::Object(mut body)) = reply.json() else {
        return reply;
    };
    body.remove("refresh_token");
    body.insert(COMBINED.to_owned(), true.into());
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
    reply.headers.remove(http::header::CONTENT_ENCODING);
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

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        }
    }

    fn read_answer(status: u16, body: &str) -> Result<SecretString, Box<Outcome>> {
        let reply = reply(status, body);
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
        let ask = IdJagRequest {
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
            r#"{{"access_token":"j.w.t","issued_token_type":"{ID_JAG_TOKEN_TYPE}","token_type":"N_A","refresh_token":"r2"}}"#
        );
        assert_eq!(read_answer(200, &jag).unwrap().expose(), "j.w.t");
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
    fn a_new_refresh_token_is_found_in_whatever_is_no_refusal() {
        let shown = idp(SubjectFile::RefreshToken("f".into()));
        let new = |idp: &IdentityProvider, status, body: &str| {
            let renewed = renewed(idp, &reply(status, body));
            renewed.map(|token| token.secret.expose().clone())
        };
        for body in [
            r#"{"access_token":"a","refresh_token":"r2"}"#,
            r#"{"refresh_token":"r2"}"#,
        ] {
            assert_eq!(new(&shown, 200, body).as_deref(), Some("r2"));
            assert_eq!(new(&shown, 201, body).as_deref(), Some("r2"));
            assert_eq!(new(&shown, 400, body), None);
            let other = idp(SubjectFile::IdToken("f".into()));
            assert_eq!(new(&other, 200, body), None, "nothing was spent");
        }
        for body in [
            "",
            "[]",
            r#"{"refresh_token":""}"#,
            r#"{"refresh_token":7}"#,
        ] {
            assert_eq!(new(&shown, 200, body), None, "{body}");
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
            assert!(!is_combined(&reply));
            let reply = combined(reply, token.as_ref());
            assert!(is_combined(&reply));
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body.get("refresh_token").cloned()
        };
        assert_eq!(kept(None), None);
        assert_eq!(kept(Some("idp")), Some("idp".into()));
    }
}
