//! The code flow (RFC 6749 §4.1), in a browser on this machine or in one elsewhere.

use super::{
    AccessRequest, ConnectError, ConnectRequest, PromptAction, Prompter, SignInMethod,
    SignInPrompt,
    pasted::pasted,
    pending::{Headless, PendingState, PendingStep, asked},
};
use crate::{
    catalogue::{self, Pkce},
    http::HttpUrl,
    model::{ClientRegistration, Grant, GrantType, Issuer, Provider},
    oauth::{
        authorize::{
            AuthorizationAsk, RedirectError, SignIn, account_name, check_nonce, read_pushed,
        },
        discovery::{self, CodeEndpoints, Discovered},
        grant::code_request,
        loopback::{Loopback, LoopbackUri, WaitingBrowser},
        register::{Purpose, RegistrationError},
    },
    refresh::journal,
    runtime::Runtime,
    secret::SecretString,
    signin::{
        adopt::SignInOutcome, error::listed, outcome_page::SignInPlace,
        request_credentials::RequestCredentials,
    },
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

/// Who signed in, as the provider names them; none if it does not.
type AccountName = Option<String>;

/// Where a redirect goes, and the listener there.
type Redirect = (Option<Loopback>, String);

impl Runtime {
    pub(super) async fn connect_code(
        &self,
        request: ConnectRequest,
        person: &dyn Prompter,
    ) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let endpoints = discovery::code_endpoints(&request.published(&found))?;
        check_pkce(&request, &found)?;
        let listed = listed(&found);
        let place = SignInPlace {
            name: request.name.clone(),
            url: request.url.as_str().to_owned(),
            issuer: found.provider.issuer.clone(),
        };
        let mut browser = None;
        let done = self.signed_in_by_code((request, found), endpoints, (person, &mut browser));
        let done = done.await.map_err(|error| error.with_scopes(listed));
        if let Some(browser) = browser {
            let page = match &done {
                Ok((_, account)) => place.done(account.as_deref()),
                Err(error) => place.failed(error, person.next_step(error)),
            };
            browser.shows(page).await;
        }
        done.map(|(grant, _)| grant)
    }

    async fn signed_in_by_code(
        &self,
        (request, found): (ConnectRequest, Discovered),
        endpoints: CodeEndpoints,
        (person, browser): (&dyn Prompter, &mut Option<WaitingBrowser>),
    ) -> Result<(Grant, AccountName), ConnectError> {
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
            let endpoint = discovery::pushed_endpoint(&request.published(&found))?;
            let at = (&endpoint, &found, &with);
            self.push(at, &mut started, &ask).await?
        } else {
            started.sign_in.url(&ask)
        };
        let headless = matches!(request.way, SignInMethod::Headless) || started.listener.is_none();
        let unasked = wanted.unasked(&found);
        let prompt = sign_in_prompt((&request, &found), &started, url, headless);
        person.invite(&SignInPrompt { unasked, ..prompt });
        let code = self.code_in_time(&request, &started, (person, headless), browser);
        let code = code.await?;
        let runtime = self.clone();
        self.land(Box::pin(async move {
            let (sign_in, mut client) = (started.sign_in, started.client);
            let at = (&endpoints, &found, &with);
            let (tokens, account) = runtime
                .exchange_code(at, &mut client, (&sign_in, &code), (&wanted, &request))
                .await?;
            let outcome = SignInOutcome {
                grant_material: with.grant_material(&request, &tokens),
                grant_type: GrantType::AuthorizationCode,
                wanted,
                tokens,
            };
            let grant = runtime.adopt(request, found, client, outcome).await?;
            Ok((grant, account))
        }))
        .await
    }

    /// Waits for the code as long as the request allows.
    async fn code_in_time(
        &self,
        request: &ConnectRequest,
        started: &StartedSignIn,
        (person, pastes): (&dyn Prompter, bool),
        browser: &mut Option<WaitingBrowser>,
    ) -> Result<SecretString, ConnectError> {
        let coming = code_of(started, (person, pastes), browser);
        let waited = tokio::time::timeout(request.patience, coming).await;
        if let Ok(code) = waited {
            return code;
        }
        if pastes && !started.resumed {
            return Err(ConnectError::StillOpen(request.patience));
        }
        self.note_unfinished(&started.client).await?;
        Err(ConnectError::TimedOut(request.patience))
    }

    /// Hands the request to the server beforehand (RFC 9126), where it takes none in another way.
    async fn push(
        &self,
        at: (&HttpUrl, &Discovered, &RequestCredentials),
        started: &mut StartedSignIn,
        ask: &AuthorizationAsk<'_>,
    ) -> Result<SecretString, ConnectError> {
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
            .ask(at, client, |client| Ok(client.form(&fields)))
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
        let redirect = self.redirect(request, found, kept_uri).await?;
        let (client, (listener, redirect_uri)) =
            self.client_for((request, found), wanted, redirect).await?;
        let metadata = &found.provider.metadata;
        let same = |kept: &Headless| {
            kept.client_id == client.client_id && kept.redirect_uri == redirect_uri
        };
        if let Some(kept) = recalled.filter(same) {
            let sign_in = SignIn::again(metadata, redirect_uri, kept.begun);
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
                begun: sign_in.begun(),
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

    /// Our client for this redirect. A server that registers none for an address of this machine may do so for its name:
    /// it is asked once more.
    async fn client_for(
        &self,
        (request, found): (&ConnectRequest, &Discovered),
        wanted: &AccessRequest,
        redirect: Redirect,
    ) -> Result<(ClientRegistration, Redirect), ConnectError> {
        let scope = wanted.scope.as_ref();
        let code = Purpose::of(GrantType::AuthorizationCode);
        let purpose = code.redirected_to(&redirect.1);
        let refused = match self.client(request, found, (purpose, scope)).await {
            Ok(client) => return Ok((client, redirect)),
            Err(error) => error,
        };
        let address = LoopbackUri::parse(&redirect.1).filter(|_| of_redirect_uri(&refused));
        let by_name = address.map(|address| address.as_localhost());
        let Some(by_name) = by_name.filter(|by_name| by_name.as_str() != redirect.1) else {
            return Err(refused);
        };
        // The port is let go of for the listener that takes both families.
        drop(redirect);
        let listener = Loopback::bind(&by_name).await?;
        let redirect_uri = listener.redirect_uri().as_str().to_owned();
        let purpose = code.redirected_to(&redirect_uri);
        match self.client(request, found, (purpose, scope)).await {
            Ok(client) => Ok((client, (Some(listener), redirect_uri))),
            Err(_) => Err(refused),
        }
    }

    /// Where the redirect goes, and the listener there; none where it comes back by pasting alone.
    async fn redirect(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        kept: Option<String>,
    ) -> Result<Redirect, ConnectError> {
        let fixed = kept.or_else(|| request.client.redirect_uri.clone());
        let Some(text) = fixed else {
            return self.listen(request, &found.provider).await;
        };
        let Some(uri) = LoopbackUri::parse(&text) else {
            return Ok((None, text));
        };
        let uri = match request.callback_port {
            Some(port) if uri.port() != Some(port) => uri.at_port(port),
            _ => uri,
        };
        match Loopback::bind(&uri).await {
            Ok(listener) => Ok((Some(listener), uri.as_str().to_owned())),
            // Somebody else may have the port by now, and few may take port 80: what is pasted comes in all the same.
            Err(_) if matches!(request.way, SignInMethod::Headless) || uri.port().is_none() => {
                Ok((None, uri.as_str().to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A registered client knows one redirect URI: it is taken again if its port is free.
    async fn listen(
        &self,
        request: &ConnectRequest,
        provider: &Provider,
    ) -> Result<Redirect, ConnectError> {
        let store = &self.context.store;
        let known = store.registered_clients(&provider.issuer).await?;
        let mut known = known
            .iter()
            .filter_map(|client| LoopbackUri::parse(client.redirect_uris.first()?));
        let listener = match (request.callback_port, known.next()) {
            (Some(port), first) => {
                let mut all = first.into_iter().chain(known);
                let same = all.find(|uri| uri.port() == Some(port));
                let uri = same.unwrap_or_else(|| LoopbackUri::usual(port));
                match Loopback::bind(&uri).await {
                    Err(_) if matches!(request.way, SignInMethod::Headless) => {
                        return Ok((None, uri.as_str().to_owned()));
                    }
                    bound => bound?,
                }
            }
            (None, Some(uri)) => match Loopback::bind(&uri).await {
                Ok(listener) => listener,
                Err(_) => Loopback::bind(&uri.at_port(0)).await?,
            },
            (None, None) => Loopback::bind(&LoopbackUri::usual(0)).await?,
        };
        let uri = listener.redirect_uri().as_str().to_owned();
        Ok((Some(listener), uri))
    }

    async fn exchange_code(
        &self,
        (endpoints, found, with): (&CodeEndpoints, &Discovered, &RequestCredentials),
        client: &mut ClientRegistration,
        (sign_in, code): (&SignIn, &SecretString),
        (wanted, request): (&AccessRequest, &ConnectRequest),
    ) -> Result<(crate::model::TokenSet, AccountName), ConnectError> {
        let requests = &request.requests;
        let resource = wanted.resource.as_ref();
        let answer = self
            .ask((&endpoints.token, found, with), client, |client| {
                let redirect_uri = &sign_in.redirect_uri;
                let client = client.clone().with_parameters(requests.token.clone());
                let verifier = &sign_in.verifier;
                Ok(code_request(
                    &client,
                    code,
                    verifier,
                    redirect_uri,
                    resource,
                ))
            })
            .await?;
        check_nonce(sign_in, &answer.0)?;
        let account = account_name(&answer.0);
        let tokens = self.tokens((client, request.provider.as_deref(), with), answer);
        Ok((tokens.await?, account))
    }
}

/// What stands in the authorization request beside the usual. It names the key that the tokens shall be bound to
/// (RFC 9449 §10): nobody else can exchange the code.
fn extra(request: &ConnectRequest, issuer: &Issuer, key: Option<&str>) -> Vec<(String, String)> {
    let key = key.map(|key| ("dpop_jkt".to_owned(), key.to_owned()));
    let known = of_catalogue(request, issuer);
    let set = &request.requests.authorization;
    let is_set = |key: &str| set.iter().any(|(name, _)| name == key);
    let usual = request.extra.iter().cloned().chain(known);
    let usual = usual.filter(|(key, _)| !is_set(key));
    usual.chain(set.iter().cloned()).chain(key).collect()
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

/// A provider of the catalogue, and one whose issuer a person gave, may not publish what they make of a code challenge:
/// they get one all the same, and a server that does not know it ignores it (RFC 6749 §3.1). Of a server that a resource
/// names the catalogue must know it, or the person say so.
fn check_pkce(request: &ConnectRequest, found: &Discovered) -> Result<(), ConnectError> {
    if request.endpoints.is_some() {
        return Ok(());
    }
    let metadata = &found.provider.metadata;
    let known = catalogue::recognise(found.provider.issuer.as_str());
    let knows_it =
        known.is_some_and(|entry| matches!(entry.client.pkce, Pkce::Required | Pkce::Supported));
    let given = request.issuer.is_some();
    let trusted = given || knows_it || request.requests.pkce_unadvertised;
    Ok(discovery::require_pkce(metadata, trusted)?)
}

fn of_redirect_uri(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Registration(RegistrationError::Refused {
            of_redirect_uri: true,
            ..
        })
    )
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
        unasked: None,
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
    (person, pastes): (&dyn Prompter, bool),
    browser: &mut Option<WaitingBrowser>,
) -> Result<SecretString, ConnectError> {
    let hear = |said: &str| person.hear(said);
    let redirected = async {
        let Some(listener) = &started.listener else {
            return std::future::pending().await;
        };
        let (code, waiting) = listener.wait(&started.sign_in, &hear).await;
        *browser = Some(waiting);
        Ok(code?)
    };
    if !pastes {
        return redirected.await;
    }
    tokio::select! {
        code = redirected => code,
        code = pasted(&started.sign_in, person) => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_behind_an_mcp_server_is_asked_for_a_refresh_token() {
        let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
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
    fn what_a_person_sets_goes_before_what_the_catalogue_knows() {
        let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
        let name = crate::model::ConnectionName::parse("x").unwrap();
        let mut request = ConnectRequest::new(name, url);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        request.extra = vec![pair("prompt", "consent"), pair("access_type", "offline")];
        request.requests.authorization = vec![pair("prompt", "login"), pair("audience", "a")];
        let sent = extra(&request, &Issuer::new("https://as.example"), None);
        let wanted = [
            pair("access_type", "offline"),
            pair("prompt", "login"),
            pair("audience", "a"),
        ];
        assert_eq!(sent, wanted);
    }
}
