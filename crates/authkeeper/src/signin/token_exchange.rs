//! One request to the token endpoint, and the meaning of its reply to a sign-in.

use jiff::SignedDuration;

use crate::{
    http::{HttpUrl, Reply, Request},
    model::{ClientAuthMethod, ClientRegistration, Moment, TokenSet},
    oauth::{
        classify::{self, Outcome},
        client_auth::ClientProof,
        discovery::Discovered,
        exchange, moved,
        token::TokenAnswer,
    },
    platform::tasks,
    runtime::Runtime,
    signin::{ConnectError, request_credentials::RequestCredentials},
};

/// A refused assertion is signed again if the provider's clock turns out to differ by more.
pub(super) const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(20);

impl Runtime {
    /// One request that our client proves itself in. While its secret is replaced two are good: the next in order is
    /// tried, and which one was refused is kept.
    pub(super) async fn ask(
        &self,
        (endpoint, found, with): (&HttpUrl, &Discovered, &RequestCredentials),
        client: &mut ClientRegistration,
        make: impl Fn(&ClientProof) -> Result<Request, ConnectError> + Send + Sync,
    ) -> Result<(Reply, Moment), ConnectError> {
        let mut wanted_nonce = false;
        let mut dated_again = false;
        loop {
            let metadata = &found.provider.metadata;
            let our = self.context.our_client(metadata, client);
            let proof = our.for_audience(with.audience.as_deref()).proof()?;
            let issued = self.context.seams.clock.now();
            let transport = self.context.transport_with(with.certificate.as_ref());
            let mut request = make(&proof)?;
            with.prove(&mut request, endpoint)?;
            let dated = self.context.time_at(endpoint.as_str());
            let reply = exchange(&*transport, endpoint, found.reach, request).await?;
            self.context.hear(endpoint, &reply);
            // Nothing was done for want of the server's number in the proof: the same again, once.
            if with.wants_nonce(endpoint, &reply) && !wanted_nonce {
                wanted_nonce = true;
                continue;
            }
            let refused = matches!(
                classify::classify(&reply, issued.wall),
                Outcome::ClientRefused(_)
            );
            // It was dated by another clock than the one that the provider has just told.
            let off = self
                .context
                .time_at(endpoint.as_str())
                .duration_since(dated);
            let by_key = client.auth_method == ClientAuthMethod::PrivateKeyJwt;
            if refused && by_key && off.abs() > CLOCKS_DIFFER && !dated_again {
                dated_again = true;
                continue;
            }
            let shown = proof.secret();
            if !refused || !client.has_another_than(shown) {
                return Ok((reply, issued));
            }
            if let Some(secret) = shown {
                let store = &self.context.store;
                store.refuse_secret(secret, issued.wall).await?;
            }
            for secret in client
                .secrets
                .iter_mut()
                .filter(|secret| secret.id == shown)
            {
                secret.refused = Some(issued.wall);
            }
        }
    }

    /// Checks a reply that holds no tokens (a device code, a pushed request). A client that the provider has forgotten is
    /// registered again at the next sign-in. A temporary error is reported as temporary.
    pub(super) async fn check_answer(
        &self,
        client: &ClientRegistration,
        (reply, issued): &(Reply, Moment),
    ) -> Result<(), ConnectError> {
        let issuer = client.issuer.clone();
        match classify::classify(reply, issued.wall) {
            Outcome::ClientRefused(refused) => {
                self.note_refusal(client, &refused).await?;
                let client_id = client.client_id.clone();
                Err(ConnectError::ClientRefused {
                    issuer,
                    client_id,
                    refused,
                })
            }
            Outcome::Transient { why, .. } => Err(ConnectError::NoTokens {
                issuer,
                why,
                passing: true,
            }),
            Outcome::Suspect { why } => Err(ConnectError::Unexplained { issuer, why }),
            _ => Ok(()),
        }
    }

    /// The tokens in an answer to a sign-in, or why there are none.
    pub(super) async fn tokens(
        &self,
        (client, provider, with): (&ClientRegistration, Option<&str>, &RequestCredentials),
        (reply, issued): (Reply, Moment),
    ) -> Result<TokenSet, ConnectError> {
        let issuer = client.issuer.clone();
        self.context.notice_odd_answer(&issuer, &reply).await;
        let habits = self.context.rules.habits(issuer.as_str(), provider);
        match classify::classify_in(&reply, issued.wall, habits.tokens_in.as_deref()) {
            Outcome::Accepted(answer) => {
                let usable = self.check_certificate(with, &answer);
                let bound_to = usable.and_then(|()| with.binds(&answer));
                let bound_to = bound_to.map_err(|why| ConnectError::NoTokens {
                    issuer: issuer.clone(),
                    why,
                    passing: false,
                })?;
                let mut tokens = answer.into_token_set(issued, habits.default_lifetime);
                tokens.believe(habits.lifetime);
                tokens.subject_binding.bound_to = bound_to;
                Ok(tokens)
            }
            Outcome::ClientRefused(refused) => {
                self.note_refusal(client, &refused).await?;
                let client_id = client.client_id.clone();
                Err(ConnectError::ClientRefused {
                    issuer,
                    client_id,
                    refused,
                })
            }
            Outcome::GrantRefused(refused)
            | Outcome::RequestRefused(refused)
            | Outcome::Unrecognized { refused, .. } => {
                Err(ConnectError::CodeRefused { issuer, refused })
            }
            Outcome::RefreshTokenAlone(_) => Err(ConnectError::NoTokens {
                issuer,
                why: "the provider gave a refresh token and no access token; name the scopes of its API with --scope"
                    .to_owned(),
                passing: false,
            }),
            Outcome::Moved { status, target } => Err(ConnectError::TokenEndpointMoved {
                issuer,
                said: moved::said(status, target.as_deref()),
            }),
            Outcome::Suspect { why } => Err(ConnectError::Unexplained { issuer, why }),
            Outcome::Transient { why, .. } => Err(ConnectError::NoTokens {
                issuer,
                why,
                passing: true,
            }),
            Outcome::Unknown(kind) => {
                let why = format!("{}, {}", kind.as_str(), crate::oauth::body_hint(&reply));
                Err(ConnectError::NoTokens {
                    issuer,
                    why,
                    passing: reply.status.is_server_error(),
                })
            }
        }
    }

    /// RFC 8705 §3: no resource takes a token that is bound to a certificate which it is not shown.
    fn check_certificate(
        &self,
        with: &RequestCredentials,
        answer: &TokenAnswer,
    ) -> Result<(), String> {
        let own = with.certificate.as_ref();
        match own {
            Some(files)
                if self
                    .context
                    .is_of_another(answer.bound_certificate().as_deref(), own) =>
            {
                Err(format!(
                    "a token that is bound to another client certificate than the one in {}; does something between here and \
                     the provider open TLS and show a certificate of its own?",
                    files.cert.display()
                ))
            }
            _ => Ok(()),
        }
    }

    /// Completes an exchange whose reply may hold a new grant, even if its caller stops waiting.
    pub(super) async fn land<T: Send + 'static>(
        &self,
        exchange: impl Future<Output = Result<T, ConnectError>> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let aboard = self.flights.aboard();
        // Its owner is the flights' count, which a shutdown waits for.
        let landed = tasks::spawn(async move {
            let _aboard = aboard;
            exchange.await
        });
        match landed.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }
}
