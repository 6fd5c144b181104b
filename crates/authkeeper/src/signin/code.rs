//! The code flow (RFC 6749 §4.1), in a browser on this machine or in one elsewhere.

use super::{
    AccessRequest, ConnectError, ConnectRequest, PromptAction, Prompter, SignInMethod,
    SignInPrompt,
    pending::{Headless, PendingState, PendingStep, asked},
};
use crate::{
    catalogue,
    model::{ClientRegistration, Grant, GrantType, Issuer, Provider},
    oauth::{
        authorize::{AuthorizationAsk, RedirectError, SignIn, read_pushed, read_redirect},
        discovery::{self, CodeEndpoints, Discovered},
        loopback::Loopback,
        register::Purpose,
        token::code_request,
    },
    refresh::journal,
    runtime::Runtime,
    secret::SecretString,
    signin::{adopt::SignInOutcome, request_credentials::RequestCredentials},
};

/// A sign-in that a person is about to be sent to.
struct StartedSignIn {
    sign_in: SignIn,
    client: ClientRegistration,
    /// None if the redirect goes elsewhere, or its port is taken: then only pasting is left.
    listener: Option<Loopback>,
    resumed: bool,
    with: RequestCredentials,
}

impl Runtime {
    pub(super) async fn connect_code(
        &self,
        request: ConnectRequest,
        person: &dyn Prompter,
    ) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let endpoints = discovery::code_endpoints(&found.provider.metadata)?;
        // A provider of the catalogue may not say what it does with a challenge: it gets one all the same, and one that
        // does not know it ignores it (RFC 6749 §3.1).
        if request.endpoints.is_none() {
            discovery::require_pkce(&found.provider.metadata)?;
        }
        let wanted = AccessRequest::of_a_person(&request, &found);
        let with = self.with(&request, &found)?;
        let asked = asked(&request, &found, &wanted);
        let whatfor = (&found, &wanted);
        let mut started = self.start_code((&request, &asked), whatfor, with).await?;
        let with = started.with.clone();
        journal::has_room(&self.context.journals, &self.context.seams.random_id())?;
        let ask = AuthorizationAsk {
            endpoint: &endpoints.authorization,
            client_id: &started.client.client_id.clone(),
            scope: wanted.scope.as_ref(),
            resource: wanted.resource.as_ref(),
            extra: &extra(&request, &found.provider.issuer, with.thumbprint()),
            scope_separator: found.provider.metadata.quirks.scope_separator.as_deref(),
        };
        let url = if found
            .provider
            .metadata
            .require_pushed_authorization_requests
        {
            self.push((&found, &with), &mut started, &ask).await?
        } else {
            started.sign_in.url(&ask)
        };
        let headless = matches!(request.way, SignInMethod::Headless) || started.listener.is_none();
        person.invite(&sign_in_prompt((&request, &found), &started, url, headless));
        let paster = headless.then_some(person);
        let code = self.code_in_time(&request, &started, paster).await?;
        let runtime = self.clone();
        self.land(Box::pin(async move {
            let (sign_in, mut client) = (started.sign_in, started.client);
            let at = (&endpoints, &found, &with);
            let tokens = runtime
                .exchange_code(
                    at,
                    &mut client,
                    (&sign_in, &code),
                    (&wanted, request.provider.as_deref()),
                )
                .await?;
            let outcome = SignInOutcome {
                grant_material: with.grant_material(&request, &tokens),
                grant_type: GrantType::AuthorizationCode,
                wanted,
                tokens,
            };
            runtime.adopt(request, found, client, outcome).await
        }))
        .await
    }

    /// Waits for the code as long as the request allows.
    async fn code_in_time(
        &self,
        request: &ConnectRequest,
        started: &StartedSignIn,
        paster: Option<&dyn Prompter>,
    ) -> Result<SecretString, ConnectError> {
        let waited = tokio::time::timeout(request.patience, code_of(started, paster)).await;
        if let Ok(code) = waited {
            return code;
        }
        if paster.is_some() && !started.resumed {
            return Err(ConnectError::StillOpen(request.patience));
        }
        // A provider that has forgotten our client shows an error page and never sends the person back.
        self.register_again_next_time(&started.client).await?;
        Err(ConnectError::TimedOut(request.patience))
    }

    /// Hands the request to the server beforehand (RFC 9126), where it takes none in another way.
    async fn push(
        &self,
        (found, with): (&Discovered, &RequestCredentials),
        started: &mut StartedSignIn,
        ask: &AuthorizationAsk<'_>,
    ) -> Result<SecretString, ConnectError> {
        let endpoint = discovery::pushed_endpoint(&found.provider.metadata)?;
        let parameters = started.sign_in.parameters(ask);
        #[expect(
            clippy::disallowed_methods,
            reason = "state and the verifier's hash go to the issuer"
        )]
        let fields: Vec<(&str, &str)> = parameters
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose().as_str()))
            .collect();
        let client = &mut started.client;
        let answer = self
            .ask((&endpoint, found, with), client, |client| {
                client.form(&fields)
            })
            .await?;
        self.check_answer(client, &answer).await?;
        let request_uri = read_pushed(&answer.0).map_err(RedirectError::Refused)?;
        Ok(SignIn::url_of_pushed(ask, &request_uri))
    }

    /// Begins a sign-in, or goes on with one whose URL a person may have open already.
    async fn start_code(
        &self,
        (request, asked): (&ConnectRequest, &serde_json::Value),
        (found, wanted): (&Discovered, &AccessRequest),
        with: RequestCredentials,
    ) -> Result<StartedSignIn, ConnectError> {
        let recalled = self
            .recall(request, asked)
            .await?
            .and_then(PendingState::headless);
        let kept_uri = recalled.as_ref().map(|kept| kept.redirect_uri.clone());
        let (listener, redirect_uri) = self.redirect(request, found, kept_uri).await?;
        let purpose = Purpose::Code {
            redirect_uri: &redirect_uri,
        };
        let client = self
            .client(request, found, (purpose, wanted.scope.as_ref()))
            .await?;
        let metadata = &found.provider.metadata;
        let same = |kept: &Headless| {
            kept.client_id == client.client_id && kept.redirect_uri == redirect_uri
        };
        if let Some(kept) = recalled.filter(same) {
            let sign_in = SignIn::again(metadata, redirect_uri, (kept.state, kept.verifier));
            return Ok(StartedSignIn {
                with: self.with_key_of(with, kept.proof_key)?,
                sign_in,
                client,
                listener,
                resumed: true,
            });
        }
        let sign_in = SignIn::begin(&self.context.seams, metadata, redirect_uri);
        if matches!(request.way, SignInMethod::Headless) || listener.is_none() {
            let begun = PendingStep::Headless {
                state: sign_in.state.clone(),
                verifier: sign_in.verifier.clone(),
                redirect_uri: sign_in.redirect_uri.clone(),
                proof_key: with.kept_key(),
            };
            self.remember(asked, (request, &client), begun).await?;
        }
        Ok(StartedSignIn {
            sign_in,
            client,
            listener,
            resumed: false,
            with,
        })
    }

    /// Where the redirect goes, and the listener there; none where it comes back by pasting alone.
    async fn redirect(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        kept: Option<String>,
    ) -> Result<(Option<Loopback>, String), ConnectError> {
        let fixed = kept.or_else(|| request.client.redirect_uri.clone());
        match fixed {
            Some(uri) if loopback_port(&uri).is_none() => Ok((None, uri)),
            // Somebody else may have the port by now: what is pasted comes in all the same.
            Some(uri) if matches!(request.way, SignInMethod::Headless) => {
                let port = loopback_port(&uri).unwrap_or_default();
                Ok((Loopback::bind(port).await.ok(), uri))
            }
            _ => {
                let listener = self.listen(request, &found.provider).await?;
                let uri = listener.redirect_uri();
                Ok((Some(listener), uri))
            }
        }
    }

    /// A registered client knows one port: it is taken again if it is free.
    async fn listen(
        &self,
        request: &ConnectRequest,
        provider: &Provider,
    ) -> Result<Loopback, ConnectError> {
        let given = request.client.redirect_uri.as_deref();
        if let Some(port) = request.callback_port.or(given.and_then(loopback_port)) {
            return Ok(Loopback::bind(port).await?);
        }
        let known = self
            .context
            .store
            .registered_clients(&provider.issuer)
            .await?;
        let port = known
            .iter()
            .find_map(|client| loopback_port(client.redirect_uris.first()?));
        if let Some(port) = port
            && let Ok(listener) = Loopback::bind(port).await
        {
            return Ok(listener);
        }
        Ok(Loopback::bind(0).await?)
    }

    async fn exchange_code(
        &self,
        (endpoints, found, with): (&CodeEndpoints, &Discovered, &RequestCredentials),
        client: &mut ClientRegistration,
        (sign_in, code): (&SignIn, &SecretString),
        (wanted, provider): (&AccessRequest, Option<&str>),
    ) -> Result<crate::model::TokenSet, ConnectError> {
        let resource = wanted.resource.as_ref();
        let answer = self
            .ask((&endpoints.token, found, with), client, |client| {
                let redirect_uri = &sign_in.redirect_uri;
                code_request(client, code, &sign_in.verifier, redirect_uri, resource)
            })
            .await?;
        self.tokens((client, provider, with), answer).await
    }
}

/// What stands in the authorization request beside the usual. It names the key that the tokens shall be bound to
/// (RFC 9449 §10): nobody else can exchange the code.
fn extra(request: &ConnectRequest, issuer: &Issuer, key: Option<&str>) -> Vec<(String, String)> {
    let key = key.map(|key| ("dpop_jkt".to_owned(), key.to_owned()));
    let known = of_catalogue(request, issuer);
    request
        .extra
        .iter()
        .cloned()
        .chain(known)
        .chain(key)
        .collect()
}

/// A provider that a resource named is known by its host: without these parameters some give no refresh token. Whom the
/// tokens are for is said by the resource, and by nothing else.
fn of_catalogue(request: &ConnectRequest, issuer: &Issuer) -> Vec<(String, String)> {
    let known = catalogue::recognise(issuer.as_str()).filter(|_| request.provider.is_none());
    let all = known.into_iter().flat_map(|entry| &entry.scopes.parameters);
    let given = |key: &str| request.extra.iter().any(|(given, _)| given == key);
    let wanted = all.filter(|(key, _)| *key != "audience" && !given(key));
    wanted
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The port on this machine that a redirect comes back to.
fn loopback_port(redirect_uri: &str) -> Option<u16> {
    let uri = redirect_uri.parse::<http::Uri>().ok()?;
    let here = uri.scheme_str() == Some("http") && uri.host() == Some("127.0.0.1");
    uri.port_u16().filter(|_| here)
}

/// What the person is shown. With a listener for the redirect they need to open the URL only.
fn sign_in_prompt(
    (request, found): (&ConnectRequest, &Discovered),
    started: &StartedSignIn,
    url: SecretString,
    headless: bool,
) -> SignInPrompt {
    let redirect_uri = started.sign_in.redirect_uri.clone();
    SignInPrompt {
        issuer: found.provider.issuer.clone(),
        patience: request.patience,
        resumed: started.resumed,
        task: if headless {
            PromptAction::OpenAndPaste { url, redirect_uri }
        } else {
            PromptAction::Open(url)
        },
    }
}

/// The code, from the redirect or from what a person pastes, whichever comes first.
async fn code_of(
    started: &StartedSignIn,
    paster: Option<&dyn Prompter>,
) -> Result<SecretString, ConnectError> {
    let redirected = async {
        match &started.listener {
            Some(listener) => Ok(listener.wait(&started.sign_in).await?),
            None => std::future::pending().await,
        }
    };
    let Some(person) = paster else {
        return redirected.await;
    };
    tokio::select! {
        code = redirected => code,
        code = pasted(&started.sign_in, person) => code,
    }
}

/// What was pasted may be cut short or from another sign-in: the person may try again for as long as lines come.
async fn pasted(sign_in: &SignIn, person: &dyn Prompter) -> Result<SecretString, ConnectError> {
    let mut wrong = None;
    while let Some(line) = person.paste().await {
        match read_redirect(sign_in, &query_of(&line)) {
            Ok(code) => return Ok(code),
            Err(error @ (RedirectError::StateMismatch | RedirectError::NoCode)) => {
                person.paste_again(&error);
                wrong = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(wrong.map_or(ConnectError::NothingPasted, ConnectError::Redirect))
}

/// The query of a pasted URL; what has none is taken for the query itself.
#[expect(
    clippy::disallowed_methods,
    reason = "the code is read out of what was pasted"
)]
fn query_of(pasted: &SecretString) -> String {
    let line = pasted.expose().trim().trim_matches(['"', '\'', '<', '>']);
    let query = line.split_once('?').map_or(line, |(_, query)| query);
    query
        .split_once('#')
        .map_or(query, |(query, _)| query)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_found_in_whatever_is_pasted() {
        for pasted in [
            "http://127.0.0.1:1/callback?code=c&state=s",
            "  \"http://127.0.0.1:1/callback?code=c&state=s\"\r\n",
            "<http://127.0.0.1:1/callback?code=c&state=s#_=_>",
            "code=c&state=s",
        ] {
            assert_eq!(
                query_of(&pasted.to_owned().into()),
                "code=c&state=s",
                "{pasted}"
            );
        }
    }

    #[test]
    fn google_behind_an_mcp_server_is_asked_for_a_refresh_token() {
        let url = crate::http::HttpUrl::parse("https://mcp.example/mcp").unwrap();
        let name = crate::model::ConnectionName::parse("x").unwrap();
        let mut request = ConnectRequest::new(name, url);
        let google = Issuer::new("https://accounts.google.com");
        let of = |request: &ConnectRequest, issuer: &Issuer| {
            let all = of_catalogue(request, issuer).into_iter();
            all.map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&request, &google),
            ["access_type=offline", "prompt=consent"]
        );
        let other = Issuer::new("https://accounts.google.com.evil.example");
        assert!(of(&request, &other).is_empty());
        let atlassian = Issuer::new("https://auth.atlassian.com");
        assert_eq!(of(&request, &atlassian), ["prompt=consent"]);
        request.extra = vec![("prompt".to_owned(), "none".to_owned())];
        assert_eq!(
            of(&request, &google),
            ["access_type=offline"],
            "what was given counts"
        );
        let sent = extra(&request, &google, Some("thumbprint")).into_iter();
        let sent: Vec<String> = sent.map(|(key, _)| key).collect();
        assert_eq!(sent, ["prompt", "access_type", "dpop_jkt"]);
        request.provider = Some("google".to_owned());
        assert!(
            of(&request, &google).is_empty(),
            "the entry was filled in already"
        );
    }

    #[test]
    fn only_a_port_of_this_machine_is_listened_on() {
        assert_eq!(loopback_port("http://127.0.0.1:8976/callback"), Some(8976));
        for elsewhere in [
            "https://127.0.0.1:8976/callback",
            "http://localhost:8976/callback",
            "http://127.0.0.1/callback",
            "https://me.example/callback",
        ] {
            assert_eq!(loopback_port(elsewhere), None, "{elsewhere}");
        }
    }
}
