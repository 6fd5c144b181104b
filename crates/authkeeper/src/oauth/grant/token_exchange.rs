//! Token exchange (RFC 8693): a token from elsewhere in return for the server's own. What the platform gives says itself which
//! kind of token it is, or a person does.

use crate::{
    http::Request,
    model::GrantType,
    oauth::grant::flow::{GrantFlow, GrantRequest},
};

/// RFC 8693 §3: a JWT, whatever it is for.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The token exchange grant.
pub(super) struct TokenExchange;

impl GrantFlow for TokenExchange {
    fn grant_type(&self) -> GrantType {
        GrantType::TokenExchange
    }

    /// RFC 8693 §2.1. The subject token may be good again: nothing of ours is spent by it.
    fn request(&self, asked: &GrantRequest<'_>) -> Option<Request> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the subject token is sent to the server that exchanges it"
        )]
        let subject_token = asked.shown?.expose();
        let kind = asked.client.parameter("subject_token_type").unwrap_or(JWT);
        let fields = vec![
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("subject_token", subject_token.as_str()),
            ("subject_token_type", kind),
        ];
        Some(asked.form(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::grant::tests::body_with;

    fn sent(parameters: Vec<(String, String)>) -> String {
        body_with(GrantType::TokenExchange, Some("s"), parameters).unwrap()
    }

    const BEGINS: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
        &subject_token=s&subject_token_type=";
    const REST: &str = "&scope=a+b&resource=https%3A%2F%2Fr.example&client_id=c";

    #[test]
    fn the_subject_token_is_a_jwt_unless_a_person_says_otherwise() {
        let usual = sent(vec![]);
        let jwt = "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt";
        assert_eq!(usual, format!("{BEGINS}{jwt}{REST}"));
        let kind = ("subject_token_type".to_owned(), "x".to_owned());
        assert_eq!(sent(vec![kind]), format!("{BEGINS}x{REST}"), "said once");
    }

    #[test]
    fn what_else_the_server_wants_is_added() {
        let audience = ("audience".to_owned(), "pool".to_owned());
        assert!(sent(vec![audience]).contains("&audience=pool"));
    }
}
