//! The code flow (RFC 6749 §4.1), in a browser on this machine or in one elsewhere.

use super::{
    ConnectError, ConnectRequest, Errand, Invitation, Person, Wanted, Way,
    pending::{Begun, Memory},
};
use crate::{
    model::{AttemptId, ClientRegistration, Grant, GrantType, Provider},
    oauth::{
        authorize::{AuthorizationAsk, RedirectError, SignIn, read_redirect},
        discovery::{self, CodeEndpoints, Discovered},
        loopback::Loopback,
        register::Purpose,
        token::code_request,
    },
    refresh::spill::Journal,
    runtime::Runtime,
    secret::SecretString,
};

/// A sign-in that a person is about to be sent to.
struct Started {
    sign_in: SignIn,
    client: ClientRegistration,
    /// None if the port of a sign-in that was cut off is taken by now: then only pasting is left.
    listener: Option<Loopback>,
    resumed: bool,
}

impl Runtime {
    pub(super) async fn connect_code(
        &self,
        request: ConnectRequest,
        person: &dyn Person,
    ) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let endpoints = discovery::code_endpoints(&found.provider.metadata)?;
        let wanted = Wanted::of_a_person(&request, &found);
        let mut started = match self.resume_code(&request, &found).await? {
            Some(started) => started,
            None => self.start_code(&request, &found).await?,
        };
        let attempt = AttemptId::new(self.tools.seams.random_id());
        Journal::prepare(&self.tools.spill, &attempt)?.remove();
        let url = started.sign_in.url(&AuthorizationAsk {
            endpoint: &endpoints.authorization,
            client_id: &started.client.client_id,
            scope: wanted.scope.as_ref(),
            resource: wanted.resource.as_ref(),
            extra: &request.extra,
        });
        let headless = matches!(request.way, Way::Headless);
        person.invite(&Invitation {
            issuer: found.provider.issuer.clone(),
            patience: request.patience,
            resumed: started.resumed,
            task: if headless {
                Errand::OpenAndPaste(url)
            } else {
                Errand::Open(url)
            },
        });
        let waited = tokio::time::timeout(
            request.patience,
            code_of(&started, headless.then_some(person)),
        )
        .await;
        let Ok(code) = waited else {
            // A provider that has forgotten our client shows an error page and never sends the person back.
            self.register_anew_next_time(&started.client).await?;
            return Err(ConnectError::TimedOut(request.patience));
        };
        let code = code?;
        let tokens = self
            .exchange_code(&found, &endpoints, (&mut started, &code), &wanted)
            .await?;
        let outcome = (GrantType::AuthorizationCode, wanted, tokens);
        self.adopt(request, found, started.client, outcome).await
    }

    async fn start_code(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
    ) -> Result<Started, ConnectError> {
        let listener = self.listen(request, &found.provider).await?;
        let redirect_uri = listener.redirect_uri();
        let purpose = Purpose::Code {
            redirect_uri: &redirect_uri,
        };
        let client = self.client(request, found, purpose).await?;
        let sign_in = SignIn::begin(&self.tools.seams, &found.provider.metadata, redirect_uri);
        if matches!(request.way, Way::Headless) {
            let begun = Begun::Headless {
                state: sign_in.state.clone(),
                verifier: sign_in.verifier.clone(),
                redirect_uri: sign_in.redirect_uri.clone(),
            };
            self.remember(request, &client, begun).await?;
        }
        Ok(Started {
            sign_in,
            client,
            listener: Some(listener),
            resumed: false,
        })
    }

    /// Goes on with a sign-in whose URL a person may have open already.
    async fn resume_code(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
    ) -> Result<Option<Started>, ConnectError> {
        if !matches!(request.way, Way::Headless) {
            return Ok(None);
        }
        let Some((memory, client)) = self.recall(request, found).await? else {
            return Ok(None);
        };
        let Memory {
            begun:
                Begun::Headless {
                    state,
                    verifier,
                    redirect_uri,
                },
            ..
        } = memory
        else {
            return Ok(None);
        };
        let port = redirect_uri
            .parse::<http::Uri>()
            .ok()
            .and_then(|uri| uri.port_u16());
        let metadata = &found.provider.metadata;
        Ok(Some(Started {
            sign_in: SignIn::again(metadata, redirect_uri, (state, verifier)),
            client,
            listener: match port {
                Some(port) => Loopback::bind(port).await.ok(),
                None => None,
            },
            resumed: true,
        }))
    }

    /// A registered client knows one port: it is taken again if it is free.
    async fn listen(
        &self,
        request: &ConnectRequest,
        provider: &Provider,
    ) -> Result<Loopback, ConnectError> {
        if let Some(port) = request.callback_port {
            return Ok(Loopback::bind(port).await?);
        }
        let known = self.tools.store.registered_client(&provider.issuer).await?;
        let port = known.and_then(|client| {
            let uri = client.redirect_uris.first()?;
            uri.parse::<http::Uri>().ok()?.port_u16()
        });
        if let Some(port) = port
            && let Ok(listener) = Loopback::bind(port).await
        {
            return Ok(listener);
        }
        Ok(Loopback::bind(0).await?)
    }

    async fn exchange_code(
        &self,
        found: &Discovered,
        endpoints: &CodeEndpoints,
        (started, code): (&mut Started, &SecretString),
        wanted: &Wanted,
    ) -> Result<crate::model::TokenSet, ConnectError> {
        let sign_in = started.sign_in.clone();
        let resource = wanted.resource.as_ref();
        let answer = self
            .ask(
                (&endpoints.token, found.reach),
                &mut started.client,
                |client| {
                    let redirect_uri = &sign_in.redirect_uri;
                    code_request(client, code, &sign_in.verifier, redirect_uri, resource)
                },
            )
            .await?;
        self.tokens(&started.client, answer).await
    }
}

/// The code, from the redirect or from what a person pastes, whichever comes first.
async fn code_of(
    started: &Started,
    paster: Option<&dyn Person>,
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
async fn pasted(sign_in: &SignIn, person: &dyn Person) -> Result<SecretString, ConnectError> {
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
}
