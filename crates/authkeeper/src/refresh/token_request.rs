//! What one attempt sends, and where: the refresh token, our client's own request, or an assertion. Where the assertion is
//! an identity provider's there are two legs, and what the first one brings is kept before the second one leaves.

use std::{io::Read as _, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use rustix::fs::OFlags;

use crate::refresh::{
    context::{Context, GrantContext, OnBehalfOf},
    outcome::RefreshOutcome,
    plan::RefreshPlan,
    steps::blocking,
};
use crate::{
    http::{CertificateFiles, ConnectError, Exchange, HttpUrl, Reach, Reply, Request},
    model::{
        AssertionSource, ClientAuthMethod, Grant, IdentityProvider, Moment, Renewal, Scope,
        SubjectFile,
    },
    oauth::{
        assertion::{self, GivenError},
        classify::{self, Refused},
        client_auth::ClientProof,
        dpop::{Binding, UnusableKey},
        exchange_by,
        grant::{GrantRequest, flow_of},
        id_jag::{self, IdJagRequest},
    },
    platform::clock::within,
    secret::SecretString,
};

/// How long a file may take to be read.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// One request, ready to leave.
pub(super) struct PreparedRequest {
    pub(super) endpoint: HttpUrl,
    pub(super) reach: Reach,
    pub(super) request: Request,
    /// Which of our client's secrets it shows.
    pub(super) secret: Option<u64>,
    /// The key that what comes is bound to.
    binding: Option<Binding>,
    /// The client certificate that the server is shown.
    certificate: Option<CertificateFiles>,
}

impl PreparedRequest {
    /// The connection that it leaves on.
    pub(super) async fn connect(
        &self,
        context: &Context,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        let transport = context.transport_with(self.certificate.as_ref());
        transport.connect(&self.endpoint, self.reach).await
    }

    /// The same with the grant's client certificate.
    fn showing(self, grant: &Grant) -> Self {
        Self {
            certificate: grant.grant_material.certificate.clone(),
            ..self
        }
    }

    /// The request as it leaves now, with its proof.
    pub(super) fn ready(&self) -> Result<Request, UnusableKey> {
        let mut request = self.request.clone();
        if let Some(binding) = &self.binding {
            binding.prove(&mut request, self.endpoint.uri())?;
        }
        Ok(request)
    }

    /// Whether the server refused only because it wants a number of its own in the proof: surely nothing was spent
    /// (RFC 9449 §8).
    pub(super) fn wants_nonce(&self, reply: &Reply) -> bool {
        let binding = self.binding.as_ref();
        binding.is_some_and(|binding| binding.hears(self.endpoint.uri(), reply))
    }
}

/// The request that may spend something. What it needs is read and checked before there is a claim.
pub(super) async fn first(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    plan: &RefreshPlan,
) -> Result<PreparedRequest, RefreshOutcome> {
    if let Some(idp) = grant.grant_material.identity_provider() {
        return to_identity_provider(context, on_behalf_of, grant, idp).await;
    }
    let binding = context.binding(grant).map_err(RefreshOutcome::Client)?;
    let requests = &grant.grant_material.requests;
    let parameters = match grant.refresh {
        Some(_) => requests.token.clone(),
        None => requests.of_own_request(),
    };
    let proof = prove(context, on_behalf_of, grant, plan)?.with_parameters(parameters);
    let shown = shown(context, grant, plan).await?;
    let scope = match grant.grant_type.renewal() {
        Renewal::RefreshToken => context.scope_in_refresh(on_behalf_of, grant).await,
        _ => on_behalf_of.scope.clone(),
    };
    let asked = GrantRequest {
        client: &proof,
        shown: shown.as_ref(),
        scope: scope.as_ref(),
        resource: on_behalf_of.resource.as_ref(),
    };
    let request = flow_of(grant.grant_type).request(&asked);
    // There may be nothing to send.
    let request = request.ok_or(RefreshOutcome::Refused)?;
    let prepared = to_server(on_behalf_of, plan, &proof, (request, binding));
    Ok(prepared.showing(grant))
}

/// The secret that the request shows.
async fn shown(
    context: &Context,
    grant: &Grant,
    plan: &RefreshPlan,
) -> Result<Option<SecretString>, RefreshOutcome> {
    let material = &grant.grant_material;
    match (grant.grant_type.renewal(), &material.assertion) {
        (Renewal::RefreshToken, _) => Ok(grant.refresh.as_ref().map(|token| token.secret.clone())),
        (Renewal::AssertionFile, Some(AssertionSource::File(path))) => {
            let assertion = jwt_of(context, path, plan.endpoint.as_str()).await;
            assertion.map(Some).map_err(|error| not_there(&error))
        }
        _ => Ok(None),
    }
}

/// The request that shows the authorization server what the identity provider gave.
fn second(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    plan: &RefreshPlan,
    assertion: &SecretString,
) -> Result<PreparedRequest, RefreshOutcome> {
    let binding = context.binding(grant).map_err(RefreshOutcome::Client)?;
    let parameters = grant.grant_material.requests.of_own_request();
    let proof = prove(context, on_behalf_of, grant, plan)?.with_parameters(parameters);
    let asked = GrantRequest {
        client: &proof,
        shown: Some(assertion),
        scope: on_behalf_of.scope.as_ref(),
        resource: on_behalf_of.resource.as_ref(),
    };
    let request = flow_of(grant.grant_type).request(&asked);
    let request = request.ok_or(RefreshOutcome::Refused)?;
    let prepared = to_server(on_behalf_of, plan, &proof, (request, binding));
    Ok(prepared.showing(grant))
}

/// Shows the authorization server the assertion, once more if it only wanted a nonce in the proof. Returns which of our
/// client's secrets was shown, the reply, and when its request left.
pub(super) async fn show_assertion(
    of: GrantContext<'_>,
    plan: &RefreshPlan,
    assertion: &SecretString,
) -> Result<(Option<u64>, (Reply, Moment)), RefreshOutcome> {
    let make = || second(of.context, of.on_behalf_of, of.grant, plan, assertion);
    let leg = make()?;
    let first = send(of.context, &leg).await?;
    if !leg.wants_nonce(&first.0) {
        return Ok((leg.secret, first));
    }
    let leg = make()?;
    let second = send(of.context, &leg).await?;
    // The next attempt knows what the server wants now.
    leg.wants_nonce(&second.0);
    Ok((leg.secret, second))
}

/// Sends what spends nothing: a lost answer is simply asked for again.
async fn send(context: &Context, leg: &PreparedRequest) -> Result<(Reply, Moment), RefreshOutcome> {
    let clock = &*context.seams.clock;
    let issued = clock.now();
    let request = leg.ready().map_err(unusable)?;
    let at = (&leg.endpoint, leg.reach);
    let transport = context.transport_with(leg.certificate.as_ref());
    let sent = exchange_by(clock, &*transport, at, request).await;
    sent.inspect(|reply| context.hear(&leg.endpoint, reply))
        .map(|reply| (reply, issued))
        .map_err(|error| RefreshOutcome::later(error.to_string()))
}

/// The key is there and does not sign.
pub(super) fn unusable(_key: UnusableKey) -> RefreshOutcome {
    RefreshOutcome::Client(Refused::without_its_key())
}

fn to_server(
    on_behalf_of: &OnBehalfOf,
    plan: &RefreshPlan,
    proof: &ClientProof,
    (request, binding): (Request, Option<Binding>),
) -> PreparedRequest {
    PreparedRequest {
        endpoint: plan.endpoint.clone(),
        reach: on_behalf_of.reach,
        request,
        secret: proof.secret(),
        binding,
        certificate: None,
    }
}

fn prove(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    plan: &RefreshPlan,
) -> Result<ClientProof, RefreshOutcome> {
    let metadata = &plan.provider.metadata;
    let client = context.our_client(metadata, &plan.registration);
    let audience = context.audience(
        grant.grant_material.audience.as_deref(),
        (&grant.issuer, on_behalf_of.provider.as_deref()),
    );
    let mut client = client.for_audience(audience.as_deref());
    let heard = || context.heard.skew(plan.endpoint.as_str());
    // A process that has not asked yet takes over what another one measured.
    if plan.registration.auth_method == ClientAuthMethod::PrivateKeyJwt && heard().is_none() {
        client.skew = context
            .log
            .last_skew(&on_behalf_of.connection)
            .unwrap_or_default();
    }
    client
        .proof()
        .map_err(|unusable| RefreshOutcome::Client(Refused::of_ours(&unusable)))
}

async fn to_identity_provider(
    context: &Context,
    on_behalf_of: &OnBehalfOf,
    grant: &Grant,
    idp: &IdentityProvider,
) -> Result<PreparedRequest, RefreshOutcome> {
    let subject = match (&idp.subject, &grant.refresh) {
        (SubjectFile::IdToken(path), _) => jwt_of(context, path, &idp.token_url)
            .await
            .map_err(|error| not_there(&error))?,
        (SubjectFile::RefreshToken(_), Some(refresh)) => refresh.secret.clone(),
        (SubjectFile::RefreshToken(_), None) => return Err(RefreshOutcome::Refused),
    };
    let endpoint = id_jag::endpoint(idp)
        .map_err(|error| RefreshOutcome::later(id_jag::told(idp, &error.to_string())))?;
    let ask = IdJagRequest {
        audience: &grant.issuer,
        resource: on_behalf_of.resource.as_ref(),
        scope: on_behalf_of.scope.as_ref(),
    };
    Ok(PreparedRequest {
        reach: context.transport.reach(&endpoint).await,
        request: id_jag::exchange_request(idp, &subject, ask),
        endpoint,
        secret: None,
        binding: None,
        // It is for the authorization server and the resource.
        certificate: None,
    })
}

/// The program that writes the file is responsible for one that is missing, half written or out of date; the next look may
/// find it whole.
fn not_there(error: &GivenError) -> RefreshOutcome {
    RefreshOutcome::later(error.to_string())
}

/// The JWT that a file holds now, good by the clock of the server that it is shown to.
pub(crate) async fn jwt_of(
    context: &Context,
    path: &Path,
    shown_to: &str,
) -> Result<SecretString, GivenError> {
    let content = content_of(context, path).await?;
    assertion::given(path, &content, context.time_at(shown_to))
}

/// The token that a file holds now.
pub(crate) async fn token_of(context: &Context, path: &Path) -> Result<SecretString, GivenError> {
    let content = content_of(context, path).await?;
    assertion::given_token(path, &content)
}

async fn content_of(
    context: &Context,
    path: &Path,
) -> Result<zeroize::Zeroizing<Vec<u8>>, GivenError> {
    let unreadable = |why: String| GivenError::Unreadable {
        file: path.display().to_string(),
        why,
    };
    let file = path.to_owned();
    let read = blocking(&*context.tasks, move || Ok(read_regular(&file)));
    // A mount whose server is gone never answers.
    let read = within(&*context.seams.clock, READ_LIMIT, read).await;
    let read = read.ok_or_else(|| unreadable("it takes too long".to_owned()))?;
    let read = read.map_err(|error| unreadable(error.to_string()))?;
    read.map_err(|error| unreadable(error.to_string()))
}

/// Whatever a link leads to. A FIFO would be waited for until somebody writes to it, and a device need not end.
fn read_regular(path: &Path) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut content = zeroize::Zeroizing::new(Vec::new());
    file.take(assertion::LONGEST + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > assertion::LONGEST {
        let longest = assertion::LONGEST / 1024;
        let why = format!("it is longer than {longest} KiB");
        return Err(std::io::Error::other(why));
    }
    Ok(content)
}

impl Context {
    /// The granted scope, where a refresh must name it: the provider is known for that, or has answered one that did not
    /// without an access token.
    async fn scope_in_refresh(&self, on_behalf_of: &OnBehalfOf, grant: &Grant) -> Option<Scope> {
        let habits = self
            .rules
            .habits(grant.issuer.as_str(), on_behalf_of.provider.as_deref());
        if !habits.scope_in_refresh && !self.omits_access_token(&grant.issuer).await {
            return None;
        }
        let granted = grant.access.as_ref().and_then(|token| token.scope.clone());
        granted.or_else(|| on_behalf_of.scope.clone())
    }
}

/// Whether an answer brings tokens.
pub(super) fn brings_tokens(reply: &Reply, at: Moment) -> bool {
    let outcome = classify::classify(reply, at.wall);
    matches!(outcome, classify::Outcome::Accepted(_))
}
