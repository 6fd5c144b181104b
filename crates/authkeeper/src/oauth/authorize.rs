//! The authorization request and its redirect (RFC 6749 §4.1, RFC 7636, RFC 8707, RFC 9207): built and judged in pure
//! functions.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{answer, classify, jwt};
use crate::{
    http::{HttpUrl, Reply},
    model::{ClientId, Issuer, Resource, Scope, ServerMetadata},
    platform::clock::Seams,
    secret::SecretString,
    text::sanitize::{one_line, without_secrets},
};

/// One sign-in under way: what must be remembered until the redirect comes back.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Whom we sent the person to.
    pub issuer: Issuer,
    /// Whether that server promised to name itself in the redirect.
    pub iss_promised: bool,
    /// Where the redirect goes.
    pub redirect_uri: String,
    /// PKCE: proves at the token endpoint that the code is ours.
    pub verifier: SecretString,
    pub(crate) state: SecretString,
    /// Ties an ID token to this sign-in (`OpenID` Connect Core §3.1.2.1).
    pub(crate) nonce: SecretString,
}

/// What a sign-in that was cut off began with.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) state: SecretString,
    pub(crate) verifier: SecretString,
    pub(crate) nonce: SecretString,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct AuthorizationAsk<'a> {
    /// Where a person signs in.
    pub endpoint: &'a HttpUrl,
    /// As which client.
    pub client_id: &'a ClientId,
    /// For which scopes; none leaves it to the server.
    pub scope: Option<&'a Scope>,
    /// For which resource.
    pub resource: Option<&'a Resource>,
    /// What this provider wants beside the usual (`access_type=offline` and the like).
    pub extra: &'a [(String, String)],
    /// What stands between two scopes, if not the space that RFC 6749 §3.3 asks for.
    pub scope_separator: Option<&'a str>,
}

impl SignIn {
    /// Rolls `state`, the PKCE verifier and the nonce.
    pub fn begin(seams: &Seams, metadata: &ServerMetadata, redirect_uri: String) -> Self {
        let random = || {
            let mut bytes = [0_u8; 32];
            seams.random.fill(&mut bytes);
            SecretString::new(URL_SAFE_NO_PAD.encode(bytes))
        };
        Self {
            issuer: Issuer::new(&metadata.issuer),
            iss_promised: metadata.authorization_response_iss_parameter_supported,
            redirect_uri,
            verifier: random(),
            state: random(),
            nonce: random(),
        }
    }

    /// A sign-in that was cut off, with what it began with.
    pub(crate) fn again(metadata: &ServerMetadata, redirect_uri: String, begun: Begun) -> Self {
        Self {
            issuer: Issuer::new(&metadata.issuer),
            iss_promised: metadata.authorization_response_iss_parameter_supported,
            redirect_uri,
            verifier: begun.verifier,
            state: begun.state,
            nonce: begun.nonce,
        }
    }

    /// What is kept of it until it goes on.
    pub(crate) fn begun(&self) -> Begun {
        Begun {
            state: self.state.clone(),
            verifier: self.verifier.clone(),
            nonce: self.nonce.clone(),
        }
    }

    /// The URL a person opens. It holds `state` and the challenge, so it is shown to that person alone.
    pub fn url(&self, ask: &AuthorizationAsk<'_>) -> SecretString {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", ask.client_id.as_str());
        #[expect(
            clippy::disallowed_methods,
            reason = "state and the verifier's hash go to the issuer"
        )]
        for (key, value) in &self.parameters(ask) {
            query.append_pair(key, value.expose());
        }
        joined(ask.endpoint, &query.finish())
    }

    /// The URL a person opens when the request was pushed before (RFC 9126 §4): it holds nothing of it.
    pub fn url_of_pushed(ask: &AuthorizationAsk<'_>, request_uri: &str) -> SecretString {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("client_id", ask.client_id.as_str())
            .append_pair("request_uri", request_uri);
        joined(ask.endpoint, &query.finish())
    }

    /// What the authorization request says, beside who we are.
    pub fn parameters(&self, ask: &AuthorizationAsk<'_>) -> Vec<(String, SecretString)> {
        #[expect(clippy::disallowed_methods, reason = "only its hash leaves")]
        let digest = Sha256::digest(self.verifier.expose().as_bytes());
        let mut all = vec![
            ("response_type".to_owned(), "code".to_owned().into()),
            ("redirect_uri".to_owned(), self.redirect_uri.clone().into()),
            ("state".to_owned(), self.state.clone()),
            (
                "code_challenge".to_owned(),
                URL_SAFE_NO_PAD.encode(digest).into(),
            ),
            ("code_challenge_method".to_owned(), "S256".to_owned().into()),
        ];
        // Some servers refuse a sign-in by OpenID Connect without one.
        if ask
            .scope
            .is_some_and(|scope| scope.iter().any(|word| word == "openid"))
        {
            all.push(("nonce".to_owned(), self.nonce.clone()));
        }
        let mut add = |key: &str, value: &str| all.push((key.to_owned(), value.to_owned().into()));
        if let Some(scope) = ask.scope {
            let separator = ask.scope_separator.unwrap_or(" ");
            add("scope", &scope.as_str().replace(' ', separator));
            // OpenID Connect Core §11: offline access is granted only with the person's consent asked for.
            let asked_already = ask.extra.iter().any(|(key, _)| key == "prompt");
            if !asked_already && scope.iter().any(|scope| scope == "offline_access") {
                add("prompt", "consent");
            }
        }
        if let Some(resource) = ask.resource {
            add("resource", resource.as_str());
        }
        for (key, value) in ask.extra {
            add(key, value);
        }
        all
    }
}

fn joined(endpoint: &HttpUrl, query: &str) -> SecretString {
    let endpoint = endpoint.as_str();
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{joint}{query}").into()
}

/// The answer to a pushed request (RFC 9126 §2.2): what stands for it.
pub fn read_pushed(reply: &Reply) -> Result<String, String> {
    let body: Option<serde_json::Value> = reply.json();
    if let Some(refused) = body.as_ref().and_then(classify::error_of) {
        return Err(refused.to_string());
    }
    let uri = body.as_ref().and_then(|body| body.get("request_uri"));
    let uri = uri.and_then(serde_json::Value::as_str);
    uri.map(str::to_owned)
        .ok_or_else(|| super::body_hint(reply))
}

/// Why a redirect brought no code that may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// It is not the answer to this sign-in.
    #[error("the redirect's state is not the one this sign-in began with")]
    StateMismatch,
    /// RFC 9207 §2.4: another server answered.
    #[error("the redirect says it comes from {got:?}, but the sign-in was at {expected:?}")]
    IssuerMismatch {
        /// What `iss` says.
        got: String,
        /// Whom we asked.
        expected: String,
    },
    /// The server promises `iss` and the redirect has none.
    #[error("the redirect does not say which server it comes from, though {0} promises that")]
    IssuerMissing(String),
    /// The ID token was issued for another sign-in.
    #[error("the ID token's nonce is not the one this sign-in began with")]
    NonceMismatch,
    /// The person said no.
    #[error("access was denied at the sign-in page{}", after_colon(.0))]
    Denied(String),
    /// The server refused.
    #[error("the provider refused the sign-in; it said: {0}")]
    Refused(String),
    /// There is no code.
    #[error("that is no address with a code in it")]
    NoCode,
}

fn after_colon(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!("; the provider said: {said}")
    }
}

/// Judges what a person brought back. What has neither `state` nor code is not another sign-in's answer: it is none at
/// all.
pub fn read_redirect(sign_in: &SignIn, query: &str) -> Result<SecretString, RedirectError> {
    let has = |name: &str| form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == name);
    match read_answer(sign_in, query) {
        Err(RedirectError::StateMismatch) if !has("state") && !has("code") => {
            Err(RedirectError::NoCode)
        }
        answer => answer,
    }
}

/// Judges the redirect's query. `state` and `iss` are checked before anything else in it is believed. An error needs no
/// `iss`: nothing is sent anywhere because of it, and servers leave it out there.
#[expect(
    clippy::disallowed_methods,
    reason = "state is compared with what came back"
)]
pub(super) fn read_answer(sign_in: &SignIn, query: &str) -> Result<SecretString, RedirectError> {
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let state = value("state").unwrap_or_default();
    if !bool::from(state.as_bytes().ct_eq(sign_in.state.expose().as_bytes())) {
        return Err(RedirectError::StateMismatch);
    }
    let (iss, error) = (value("iss"), value("error"));
    if iss.is_some() || error.is_none() {
        check_issuer(sign_in, iss)?;
    }
    match error.as_deref() {
        Some("access_denied") => {
            let said = words(query).unwrap_or_default();
            let said = said.strip_prefix("access_denied").map(str::trim);
            return Err(RedirectError::Denied(said.unwrap_or_default().to_owned()));
        }
        Some(_) => return Err(RedirectError::Refused(words(query).unwrap_or_default())),
        None => {}
    }
    value("code")
        .filter(|code| !code.is_empty())
        .map(Into::into)
        .ok_or(RedirectError::NoCode)
}

/// What a redirect says went wrong, fit to be shown.
pub(super) fn words(query: &str) -> Option<String> {
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let text = value("error_description").unwrap_or_default();
    let told = format!("{} {text}", value("error")?);
    Some(without_secrets(one_line(&told).trim()))
}

/// Checks that an ID token, if one came, belongs to this sign-in (`OpenID` Connect Core §3.1.3.7). PKCE binds the code
/// already, so a token without a nonce does no harm.
#[expect(
    clippy::disallowed_methods,
    reason = "the nonce is compared with what came back"
)]
pub(crate) fn check_nonce(sign_in: &SignIn, reply: &Reply) -> Result<(), RedirectError> {
    let body = answer::document(reply).unwrap_or_default();
    let objects = answer::holders(&body, "id_token");
    let mut tokens = objects
        .iter()
        .filter_map(|objects| answer::text(objects.first()?, "id_token"));
    let foreign = tokens.any(|token| {
        let claims = jwt::claims(token);
        let nonce = claims
            .as_ref()
            .and_then(|claims| claims.get("nonce")?.as_str());
        let ours = sign_in.nonce.expose().as_bytes();
        nonce.is_some_and(|nonce| !bool::from(nonce.as_bytes().ct_eq(ours)))
    });
    if foreign {
        return Err(RedirectError::NonceMismatch);
    }
    Ok(())
}

/// Who signed in, as the ID token names them to people (`OpenID` Connect Core 1.0 §5.1). It is shown once, and not kept.
pub(crate) fn account_name(reply: &Reply) -> Option<String> {
    let body = answer::document(reply)?;
    let objects = answer::holders(&body, "id_token");
    let mut tokens = objects
        .iter()
        .filter_map(|objects| answer::text(objects.first()?, "id_token"));
    let claims = jwt::claims(tokens.next()?)?;
    let named = ["email", "preferred_username", "name", "sub"].iter();
    let mut named = named.filter_map(|claim| claims.get(claim)?.as_str());
    named.find(|name| !name.is_empty()).map(one_line)
}

fn check_issuer(sign_in: &SignIn, iss: Option<String>) -> Result<(), RedirectError> {
    match iss {
        Some(iss) if iss == sign_in.issuer.as_str() => Ok(()),
        Some(iss) => Err(RedirectError::IssuerMismatch {
            got: one_line(&iss),
            expected: sign_in.issuer.to_string(),
        }),
        None if sign_in.iss_promised => {
            Err(RedirectError::IssuerMissing(sign_in.issuer.to_string()))
        }
        None => Ok(()),
    }
}

/// The scope to ask for: what a person chose, else what the resource asks for; and `offline_access` where the server
/// lists it, for without it many give no refresh token (MCP allows adding it then and only then).
pub fn scope_to_ask(
    chosen: Option<Scope>,
    resource: Option<Scope>,
    metadata: &ServerMetadata,
) -> Option<Scope> {
    if chosen.is_some() {
        return chosen;
    }
    let offered = metadata
        .scopes_supported
        .iter()
        .any(|scope| scope == "offline_access");
    match resource {
        Some(scope) if offered && !scope.iter().any(|scope| scope == "offline_access") => {
            Some(Scope::new(format!("{scope} offline_access")))
        }
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests look at what is sent")]
mod tests {
    use super::*;

    fn metadata(promised: bool) -> ServerMetadata {
        let text = format!(
            r#"{{"issuer":"https://as.example","authorization_response_iss_parameter_supported":{promised},
                "scopes_supported":["offline_access"]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn reply(body: &str) -> Reply {
        Reply {
            status: http::StatusCode::CREATED,
            headers: http::HeaderMap::new(),
            body: body.to_owned().into(),
        }
    }

    fn begun(promised: bool) -> (SignIn, String) {
        let redirect = "http://127.0.0.1:1/callback".to_owned();
        let sign_in = SignIn::begin(&Seams::system(), &metadata(promised), redirect);
        let state = sign_in.state.expose().clone();
        (sign_in, state)
    }

    #[test]
    fn the_request_carries_what_the_specifications_ask_for() {
        let (sign_in, state) = begun(true);
        let endpoint = HttpUrl::parse("https://as.example/authorize?tenant=1").unwrap();
        let resource = Resource::new("http://localhost:5");
        let scope = Scope::new("read offline_access");
        let url = sign_in.url(&AuthorizationAsk {
            endpoint: &endpoint,
            client_id: &ClientId::new("c d"),
            scope: Some(&scope),
            resource: Some(&resource),
            extra: &[],
            scope_separator: None,
        });
        let url = url.expose();
        assert!(url.starts_with(
            "https://as.example/authorize?tenant=1&client_id=c+d&response_type=code&"
        ));
        assert!(
            url.contains("&resource=http%3A%2F%2Flocalhost%3A5"),
            "no slash is added: {url}"
        );
        assert!(url.contains("code_challenge_method=S256") && url.contains(&state));
        assert!(url.contains("prompt=consent"));
        assert!(!url.contains(sign_in.verifier.expose()));
        assert_eq!(
            sign_in.verifier.expose().len(),
            43,
            "RFC 7636 §4.1 wants 43 to 128 characters"
        );
    }

    #[test]
    fn a_nonce_goes_with_openid_and_binds_the_id_token() {
        let (sign_in, _) = begun(false);
        let endpoint = HttpUrl::parse("https://as.example/authorize").unwrap();
        let sent = |scope: Option<&str>| {
            let (client_id, scope) = (ClientId::new("c"), scope.map(Scope::new));
            let ask = AuthorizationAsk {
                endpoint: &endpoint,
                client_id: &client_id,
                scope: scope.as_ref(),
                resource: None,
                extra: &[],
                scope_separator: None,
            };
            let all = sign_in.parameters(&ask);
            let nonce = all.into_iter().find(|(key, _)| key == "nonce");
            nonce.map(|(_, value)| value.expose().clone())
        };
        let nonce = sent(Some("openid email")).unwrap();
        assert_eq!(nonce.len(), 43, "as long as the state");
        assert_ne!(nonce, *sign_in.state.expose());
        assert_eq!((sent(Some("email openid2")), sent(None)), (None, None));

        let judged = |claims: &str| {
            let id_token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
            let body = serde_json::json!({"access_token": "a", "id_token": id_token});
            check_nonce(&sign_in, &reply(&body.to_string()))
        };
        assert_eq!(
            judged(&format!(r#"{{"sub":"7","nonce":"{nonce}"}}"#)),
            Ok(())
        );
        assert_eq!(judged(r#"{"sub":"7"}"#), Ok(()), "PKCE binds it");
        let foreign = judged(r#"{"sub":"7","nonce":"another"}"#);
        assert_eq!(foreign, Err(RedirectError::NonceMismatch));
        assert_eq!(
            check_nonce(&sign_in, &reply(r#"{"access_token":"a"}"#)),
            Ok(())
        );
        assert_eq!(check_nonce(&sign_in, &reply("<html>")), Ok(()));
    }

    #[test]
    fn who_signed_in_is_named_as_people_know_them() {
        let named = |claims: &str| {
            let id_token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
            let body = serde_json::json!({"access_token": "a", "id_token": id_token});
            account_name(&reply(&body.to_string()))
        };
        let alice = r#"{"sub":"7","name":"Alice","email":"alice@example.org"}"#;
        assert_eq!(named(alice).as_deref(), Some("alice@example.org"));
        assert_eq!(named(r#"{"sub":"7","email":""}"#).as_deref(), Some("7"));
        assert_eq!(named(r#"{"name":"a\u0007b"}"#).as_deref(), Some("ab"));
        assert_eq!(account_name(&reply(r#"{"access_token":"a"}"#)), None);
    }

    #[test]
    fn only_the_answer_to_this_sign_in_counts() {
        let (sign_in, state) = begun(false);
        let read = |query: &str| read_redirect(&sign_in, query);
        assert_eq!(
            read(&format!("code=c1&state={state}")).unwrap().expose(),
            "c1"
        );
        assert_eq!(read("code=c1").unwrap_err(), RedirectError::StateMismatch);
        assert_eq!(
            read("code=c1&state=x").unwrap_err(),
            RedirectError::StateMismatch
        );
        assert_eq!(
            read(&format!("state={state}")).unwrap_err(),
            RedirectError::NoCode
        );
        let denied = read(&format!("error=access_denied&state={state}")).unwrap_err();
        assert_eq!(denied, RedirectError::Denied(String::new()));
        assert_eq!(denied.to_string(), "access was denied at the sign-in page");
        let query = format!("error=access_denied&error_description=ask+an+admin&state={state}");
        let denied = read(&query).unwrap_err().to_string();
        assert!(
            denied.ends_with("the provider said: ask an admin"),
            "{denied}"
        );
    }

    #[test]
    fn what_the_redirect_says_can_be_shown() {
        let (sign_in, state) = begun(false);
        let query = format!("error=x&error_description=a%E2%80%AEb%1B%5B2J&state={state}");
        let refused = read_redirect(&sign_in, &query).unwrap_err();
        assert_eq!(refused, RedirectError::Refused("x ab[2J".to_owned()));
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_another_sign_ins() {
        let (sign_in, _) = begun(false);
        for (pasted, said) in [
            ("hello", RedirectError::NoCode),
            ("", RedirectError::NoCode),
            ("https://as.example/authorize", RedirectError::NoCode),
            // Nothing vouches for the error, so it is not believed.
            ("error=access_denied", RedirectError::NoCode),
            ("error=access_denied&state=x", RedirectError::StateMismatch),
            ("code=c1", RedirectError::StateMismatch),
            ("state=", RedirectError::StateMismatch),
        ] {
            assert_eq!(
                read_redirect(&sign_in, pasted).unwrap_err(),
                said,
                "{pasted}"
            );
            // Any page can make the listener such a request: it must not end the sign-in.
            assert_eq!(
                read_answer(&sign_in, pasted).unwrap_err(),
                RedirectError::StateMismatch
            );
        }
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte_before_a_code_is_believed() {
        for (promised, iss, good) in [
            (false, "", true),
            (true, "", true),
            (true, "&iss=https%3A%2F%2Fas.example", true),
            (false, "&iss=https%3A%2F%2Fas.example", true),
            (false, "&iss=https%3A%2F%2Fas.example%2F", false),
            (false, "&iss=https%3A%2F%2FAS.example", false),
        ] {
            let (sign_in, state) = begun(promised);
            let query = format!("error=server_error&error_description=lies&state={state}{iss}");
            let error = read_redirect(&sign_in, &query).unwrap_err();
            assert_eq!(
                matches!(error, RedirectError::Refused(_)),
                good,
                "{promised} {iss}: {error}"
            );
            assert_eq!(error.to_string().contains("lies"), good, "{error}");
            let code = read_redirect(&sign_in, &format!("code=c&state={state}{iss}"));
            let vouched = good && !(promised && iss.is_empty());
            assert_eq!(
                code.is_ok(),
                vouched,
                "a code needs what was promised: {iss}"
            );
        }
    }

    #[test]
    fn offline_access_is_added_only_where_the_server_lists_it() {
        let server = metadata(false);
        let asked = scope_to_ask(None, Some(Scope::new("read")), &server).unwrap();
        assert_eq!(asked.as_str(), "read offline_access");
        let chosen =
            scope_to_ask(Some(Scope::new("x")), Some(Scope::new("read")), &server).unwrap();
        assert_eq!(chosen.as_str(), "x");
        assert_eq!(scope_to_ask(None, None, &server), None);
    }

    #[test]
    fn what_a_provider_wants_beside_the_usual_is_asked_for() {
        let (sign_in, _) = begun(false);
        let endpoint = HttpUrl::parse("https://as.example/authorize").unwrap();
        let extra = [
            ("access_type".to_owned(), "offline".to_owned()),
            ("prompt".to_owned(), "select_account consent".to_owned()),
        ];
        let url = sign_in.url(&AuthorizationAsk {
            endpoint: &endpoint,
            client_id: &ClientId::new("c"),
            scope: Some(&Scope::new("read offline_access")),
            resource: None,
            extra: &extra,
            scope_separator: Some(","),
        });
        let url = url.expose();
        assert!(url.ends_with("&access_type=offline&prompt=select_account+consent"));
        assert_eq!(url.matches("prompt=").count(), 1);
        assert!(url.contains("scope=read%2Coffline_access"), "{url}");
    }

    #[test]
    fn a_pushed_request_leaves_nothing_in_the_url() {
        let (sign_in, state) = begun(false);
        let endpoint = HttpUrl::parse("https://as.example/authorize").unwrap();
        let ask = AuthorizationAsk {
            endpoint: &endpoint,
            client_id: &ClientId::new("c"),
            scope: None,
            resource: None,
            extra: &[],
            scope_separator: None,
        };
        let url = SignIn::url_of_pushed(&ask, "urn:x:1");
        assert_eq!(
            url.expose(),
            "https://as.example/authorize?client_id=c&request_uri=urn%3Ax%3A1"
        );
        let pushed = sign_in.parameters(&ask);
        assert!(
            pushed
                .iter()
                .any(|(key, value)| key == "state" && *value.expose() == state)
        );
        let read = |body: &str| read_pushed(&reply(body));
        assert_eq!(read(r#"{"request_uri":"urn:x:1"}"#).unwrap(), "urn:x:1");
        assert!(
            read(r#"{"error":"invalid_request"}"#)
                .unwrap_err()
                .contains("invalid_request")
        );
        assert!(read("<html>").is_err() && read("{}").is_err());
    }
}
