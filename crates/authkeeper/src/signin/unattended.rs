//! Tokens that nobody signs in for: our client's own (RFC 6749 §4.4), a workload's (RFC 7523 §2.1), or those that the
//! company's identity provider vouches for. They are issued again rather than refreshed.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    http::HttpUrl,
    model::{
        AssertionSource, AttemptId, ClientAuthMethod, ClientId, ClientRegistration, ConnectionName,
        Grant, GrantLifecycle, GrantType, IdentityProvider, RefreshToken, Renewal, SubjectFile,
    },
    oauth::{
        assertion::GivenError,
        classify,
        discovery::{self, Discovered},
        exchange,
        grant::{GrantRequest, flow_of},
        id_jag::{self, IdJagRequest},
        moved,
        register::Purpose,
    },
    refresh::{journal, token_request},
    runtime::Runtime,
    secret::SecretString,
    signin::{
        AccessRequest, ConnectError, ConnectRequest, UnattendedSignIn,
        adopt::SignInOutcome,
        pending::{PendingState, PendingStep},
    },
    store::{Spend, StoreError},
};

/// What our client shows in the place of a person's consent.
#[derive(Default)]
struct Grounds {
    /// An assertion; none if our client shows itself alone.
    assertion: Option<SecretString>,
    /// The identity provider's refresh token that the assertion came for.
    idp: Option<IdpGrant>,
}

/// The identity provider's refresh token behind a grant.
struct IdpGrant {
    refresh: RefreshToken,
    /// What the sign-in read from the file, by its digest.
    began_with: String,
}

/// The person's token at the identity provider.
struct Subject {
    shown: SecretString,
    /// What the file holds, and its digest, if that is a refresh token.
    in_file: Option<(SecretString, String)>,
}

impl Runtime {
    pub(super) async fn connect_own(
        &self,
        request: ConnectRequest,
        unattended: UnattendedSignIn,
    ) -> Result<Grant, ConnectError> {
        check_path(unattended.source())?;
        let found = self.discover(&request).await?;
        let endpoint = discovery::token_endpoint(&request.published(&found))?;
        let wanted = AccessRequest::of_ours(&request, &found);
        let grant_type = unattended.grant_type();
        let client = self
            .own_client((&request, grant_type), (&found, &wanted))
            .await?;
        journal::has_room(&self.context.journals, &self.context.seams.random_id())?;
        let runtime = self.clone();
        // An identity provider may take the token that it was shown and answer with another.
        self.land(Box::pin(async move {
            let with = (endpoint, client, wanted);
            Box::pin(runtime.issue_own((request, unattended), found, with)).await
        }))
        .await
    }

    async fn own_client(
        &self,
        (request, grant_type): (&ConnectRequest, GrantType),
        (found, wanted): (&Discovered, &AccessRequest),
    ) -> Result<ClientRegistration, ConnectError> {
        let mut request = request.clone();
        let given = &mut request.client;
        // RFC 7523 §3.1: client authentication is optional with an assertion.
        let nobody = given.client_id.is_none() && given.metadata_url.is_none();
        if nobody && grant_type.renewal() == Renewal::AssertionFile {
            given.client_id = Some(ClientId::new(""));
        }
        let meant = given.auth_method == Some(ClientAuthMethod::None);
        let purpose = Purpose::of(grant_type);
        let client = self
            .client(&request, found, (purpose, wanted.scope.as_ref()))
            .await?;
        // RFC 6749 §4.4 is for clients that prove themselves; one that does not is a mistake unless it was asked for.
        let proves_itself = client.auth_method != ClientAuthMethod::None;
        if !proves_itself && !meant && grant_type.acts_for_itself() {
            let issuer = found.provider.issuer.clone();
            return Err(ConnectError::NoSecret { issuer });
        }
        Ok(client)
    }

    async fn issue_own(
        self,
        (request, unattended): (ConnectRequest, UnattendedSignIn),
        found: Discovered,
        (endpoint, mut client, wanted): (HttpUrl, ClientRegistration, AccessRequest),
    ) -> Result<Grant, ConnectError> {
        let with = self.with(&request, &found)?;
        let grounds = self.grounds(unattended.source(), (&found, &wanted)).await?;
        let flow = flow_of(unattended.grant_type());
        let answer = self
            .ask((&endpoint, &found, &with), &mut client, |client| {
                let own = request.requests.of_own_request();
                let request_of = flow.request(&GrantRequest {
                    client: &client.clone().with_parameters(own),
                    shown: grounds.assertion.as_ref(),
                    scope: wanted.scope.as_ref(),
                    resource: wanted.resource.as_ref(),
                });
                request_of.ok_or_else(|| ConnectError::GrantMaterialLost(request.name.clone()))
            })
            .await?;
        let refused = classify::refused(&answer.0).filter(|_| grounds.assertion.is_some());
        if let Some(refused) = refused {
            let issuer = found.provider.issuer;
            return Err(ConnectError::AssertionRefused { issuer, refused });
        }
        let mut tokens = self
            .tokens((&client, request.provider.as_deref(), &with), answer)
            .await?;
        let (refresh, began_with) = match grounds.idp {
            Some(vouched) => (Some(vouched.refresh), Some(vouched.began_with)),
            None => (None, None),
        };
        // RFC 6749 §4.4.3: none should come; one that comes all the same is not used.
        tokens.refresh_token = refresh;
        let mut grant_material = with.grant_material(&request, &tokens);
        grant_material.began_with.clone_from(&began_with);
        let outcome = SignInOutcome {
            grant_type: unattended.grant_type(),
            wanted,
            tokens,
            grant_material,
        };
        let grant = self.adopt(request, found, client, outcome).await?;
        if let Some(digest) = began_with
            && let Err(error) = self.context.store.drop_pending(&place(&digest)).await
        {
            // The file's token is known as this grant's, so that it is not looked at again.
            tracing::warn!(%error, "what the grant holds now stays where it was kept before");
        }
        Ok(grant)
    }

    async fn grounds(
        &self,
        source: Option<&AssertionSource>,
        (found, wanted): (&Discovered, &AccessRequest),
    ) -> Result<Grounds, ConnectError> {
        match source {
            Some(AssertionSource::File(file)) => {
                let endpoint = found.provider.metadata.token_endpoint.as_deref();
                let shown_to = endpoint.unwrap_or(found.provider.issuer.as_str());
                let assertion = token_request::jwt_of(&self.context, file, shown_to).await?;
                Ok(Grounds {
                    assertion: Some(assertion),
                    idp: None,
                })
            }
            Some(AssertionSource::IdentityProvider(idp)) => self.vouch(idp, (found, wanted)).await,
            None => Ok(Grounds::default()),
        }
    }

    /// Asks the identity provider. A refresh token that it gives in the place of the one it was shown is kept at once: the
    /// authorization server may still refuse, and the file holds one that is spent.
    async fn vouch(
        &self,
        idp: &IdentityProvider,
        (found, wanted): (&Discovered, &AccessRequest),
    ) -> Result<Grounds, ConnectError> {
        let Subject { shown, in_file } = self.subject(idp).await?;
        let ask = IdJagRequest {
            audience: &found.provider.issuer,
            resource: wanted.resource.as_ref(),
            scope: wanted.scope.as_ref(),
        };
        let endpoint = id_jag::endpoint(idp)?;
        let reach = self.context.transport.reach(&endpoint).await;
        let transport = &*self.context.transport;
        let asked = id_jag::exchange_request(idp, &shown, ask);
        let issued = self.context.seams.clock.now();
        let reply = exchange(transport, &endpoint, reach, asked).await?;
        let renewed = id_jag::renewed(idp, &reply);
        if let (Some(new), Some((in_file, digest))) = (&renewed, &in_file) {
            let begun = PendingStep::IdpGrant {
                instead_of: in_file.clone(),
                refresh_token: new.secret.clone(),
            };
            let client = ClientId::new(idp.client_id.as_str());
            let asked = asked_of(idp);
            let kept = self.remember_at(place(digest), (&asked, client), begun);
            if let Err(error) = kept.await {
                // The grant may still come to hold it.
                tracing::error!(%error, "the identity provider's new refresh token can't be kept yet");
            }
            self.hand_on(&shown, new).await?;
        }
        let assertion =
            id_jag::read(idp, &reply, issued).map_err(|outcome| not_vouched(idp, *outcome))?;
        let vouched = in_file.map(|(_, began_with)| IdpGrant {
            began_with,
            refresh: renewed.unwrap_or(RefreshToken {
                secret: shown,
                expires_at: None,
            }),
        });
        Ok(Grounds {
            assertion: Some(assertion),
            idp: vouched,
        })
    }

    /// A grant that was going to send what is spent now goes on with what took its place, whatever becomes of the sign-in. It
    /// may be the connection's own, at an identity provider that does not replace each token.
    async fn hand_on(&self, spent: &SecretString, new: &RefreshToken) -> Result<(), StoreError> {
        let store = &self.context.store;
        let attempt = AttemptId::new(self.context.seams.random_id());
        for connection in store.connections().await? {
            let grant = match &connection.grant {
                Some(id) => store.grant(id).await?,
                None => None,
            };
            let vouched = grant.filter(|grant| grant.grant_material.identity_provider().is_some());
            if let Some(grant) = vouched.filter(|grant| holds(grant, spent)) {
                let spend = Spend {
                    grant: grant.id,
                    lineage: grant.lineage,
                    generation: grant.generation,
                };
                store.keep_subject(&spend, (&attempt, spent), new).await?;
            }
        }
        Ok(())
    }

    /// The person's token. One that came in the place of the file's at a sign-in that was cut off, under whatever name, is
    /// shown instead.
    async fn subject(&self, idp: &IdentityProvider) -> Result<Subject, ConnectError> {
        let path = match &idp.subject {
            SubjectFile::IdToken(path) => {
                let shown = token_request::jwt_of(&self.context, path, &idp.token_url).await?;
                let in_file = None;
                return Ok(Subject { shown, in_file });
            }
            SubjectFile::RefreshToken(path) => path,
        };
        let in_file = token_request::token_of(&self.context, path).await?;
        let digest = digest(idp, &in_file);
        self.check_unspent((&in_file, &digest), path).await?;
        let recalled = self.recall_at(&place(&digest), &asked_of(idp)).await?;
        let newer = recalled.and_then(|memory| memory.vouched_instead_of(&in_file));
        Ok(Subject {
            shown: newer.unwrap_or_else(|| in_file.clone()),
            in_file: Some((in_file, digest)),
        })
    }

    /// A file that nobody has written to since a sign-in read it holds a token that is spent by now, and to spend it again
    /// may cost the person's whole session at the identity provider. What took its place is for the grant that holds it.
    async fn check_unspent(
        &self,
        (in_file, digest): (&SecretString, &str),
        path: &Path,
    ) -> Result<(), ConnectError> {
        let store = &self.context.store;
        for connection in store.connections().await? {
            let grant = match &connection.grant {
                Some(id) => store.grant(id).await?,
                None => None,
            };
            if grant.is_some_and(|grant| has_replaced(&grant, (in_file, digest))) {
                return Err(ConnectError::SpentSubject {
                    file: path.display().to_string(),
                    name: connection.name,
                });
            }
        }
        Ok(())
    }
}

fn has_replaced(grant: &Grant, (in_file, digest): (&SecretString, &str)) -> bool {
    let lives = !matches!(grant.lifecycle, GrantLifecycle::Revoked { .. });
    lives && grant.grant_material.began_with.as_deref() == Some(digest) && !holds(grant, in_file)
}

#[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
fn holds(grant: &Grant, token: &SecretString) -> bool {
    let held = grant.refresh.as_ref();
    held.is_some_and(|held| held.secret.expose() == token.expose())
}

/// By which a token of an identity provider's is known again, whatever it is used for.
fn digest(idp: &IdentityProvider, token: &SecretString) -> String {
    let mut hash = Sha256::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "no token comes out of its digest"
    )]
    let token = token.expose();
    for part in [&idp.token_url, idp.client_id.as_str(), token] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// Where the token is kept that came in the place of this one: what becomes of the sign-ins of a connection leaves it alone,
/// and every connection that is given the same file finds it.
fn place(digest: &str) -> ConnectionName {
    ConnectionName::vouched(digest)
}

/// Other processes read the file again: its path must be one that can be kept.
fn check_path(source: Option<&AssertionSource>) -> Result<(), GivenError> {
    let path = source.map(AssertionSource::path);
    match path.filter(|path| path.to_str().is_none()) {
        Some(odd) => Err(GivenError::OddPath {
            file: odd.display().to_string(),
        }),
        None => Ok(()),
    }
}

/// What makes one exchange at an identity provider another than the next.
fn asked_of(idp: &IdentityProvider) -> Value {
    json!({"identity_provider": idp.token_url, "client": idp.client_id.as_str()})
}

fn not_vouched(idp: &IdentityProvider, outcome: classify::Outcome) -> ConnectError {
    use classify::Outcome as O;
    let (why, passing) = match outcome {
        O::GrantRefused(refused) | O::ClientRefused(refused) | O::RequestRefused(refused) => {
            (refused.to_string(), false)
        }
        O::Unrecognized { refused, .. } => (refused.to_string(), true),
        O::Transient { why, .. } | O::Suspect { why } => (why, true),
        O::RefreshTokenAlone(_) => (id_jag::told(idp, "it gave a refresh token alone"), false),
        O::Moved { status, target } => (
            format!("it {}", moved::said(status, target.as_deref())),
            false,
        ),
        O::Unknown(kind) => (id_jag::told(idp, kind.as_str()), false),
        O::Accepted(_) => (id_jag::told(idp, "it gave an access token instead"), false),
    };
    ConnectError::NotVouched { why, passing }
}

impl PendingState {
    /// The refresh token that an identity provider gave in the place of this one.
    fn vouched_instead_of(self, spent: &SecretString) -> Option<SecretString> {
        match self.begun {
            PendingStep::IdpGrant {
                instead_of,
                refresh_token,
            } => {
                #[expect(clippy::disallowed_methods, reason = "two of our own are compared")]
                let same = instead_of.expose() == spent.expose();
                same.then_some(refresh_token)
            }
            PendingStep::Headless { .. } | PendingStep::Device(_) => None,
        }
    }
}
