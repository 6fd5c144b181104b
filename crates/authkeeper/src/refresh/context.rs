//! The parts that every step of a refresh works with.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    http::{CertificateFiles, HttpUrl, Reach, Reply, Transport, WithCertificate},
    model::{
        ClientRegistration, Connection, ConnectionName, Grant, Issuer, Presentation, PrincipalId,
        Resource, Scope, ServerMetadata,
    },
    oauth::{
        classify::{self, Outcome, Refused},
        client_auth::OurClient,
        dpop::{Binding, Heard, ProofKey},
    },
    platform::{clock::Seams, files::Folder, process_lease::Liveness, tasks::Tasks},
    refresh::{
        decision_log::DecisionLog, findings::Findings, reply_archive::ReplyArchive,
        rules::RefreshRules, unkept_replies::UnkeptReplies,
    },
    store::{Grants, Store},
    vault::seal::Sealer,
};

/// What every part of a refresh works with.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) seams: Seams,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) sealer: Sealer,
    pub(crate) liveness: Arc<dyn Liveness>,
    pub(crate) journals: Folder,
    pub(crate) reply_archive: ReplyArchive,
    pub(crate) rules: RefreshRules,
    pub(crate) log: DecisionLog,
    pub(crate) findings: Findings,
    pub(crate) unkept_replies: UnkeptReplies,
    pub(crate) heard: Arc<Heard>,
}

impl Context {
    /// The grants: all that the refresh transaction sees of the store.
    pub(crate) fn grants(&self) -> &dyn Grants {
        &*self.store
    }

    /// The key that a grant's tokens are bound to, if they are bound to one. A key that is another than that one is not
    /// even shown: its proof would be refused.
    pub(crate) fn binding(&self, grant: &Grant) -> Result<Option<Binding>, Refused> {
        if !grant.is_bound() {
            return Ok(None);
        }
        let kept = grant.grant_material.proof_key.as_ref();
        let key = kept.and_then(|kept| ProofKey::read(kept).ok());
        let known = grant.subject_binding.bound_to.as_deref();
        let same = key.filter(|key| known.is_none_or(|known| known == key.thumbprint()));
        let binding = |key| Binding::new(key, Arc::clone(&self.heard), self.seams.clone());
        same.map(|key| Some(binding(key)))
            .ok_or_else(Refused::without_its_key)
    }

    /// The transport for one connection, with the client certificate that it shows.
    pub(crate) fn transport_with(&self, own: Option<&CertificateFiles>) -> Arc<dyn Transport> {
        let transport = Arc::clone(&self.transport);
        match own.cloned() {
            Some(own) => Arc::new(WithCertificate { transport, own }),
            None => transport,
        }
    }

    /// The transport to the servers of a grant.
    pub(crate) fn transport_of(&self, grant: &Grant) -> Arc<dyn Transport> {
        self.transport_with(grant.grant_material.certificate.as_ref())
    }

    /// Whether a token that is bound to the certificate of this thumbprint is of no use with the one in these files. Where
    /// either is not known, nothing is said.
    pub(crate) fn is_of_another(
        &self,
        bound: Option<&str>,
        own: Option<&CertificateFiles>,
    ) -> bool {
        // The files are read for a bound token only.
        let own = || self.transport.thumbprint(own?);
        bound.is_some_and(|bound| own().is_some_and(|own| own != bound))
    }

    /// What an answer to a refresh of this grant means.
    pub(crate) fn outcome(&self, provider: Option<&str>, grant: &Grant, reply: &Reply) -> Outcome {
        let habits = self.rules.habits(grant.issuer.as_str(), provider);
        let now = self.seams.clock.now().wall;
        let outcome = classify::classify_in(reply, now, habits.tokens_in.as_deref());
        match &grant.refresh {
            Some(sent) => outcome.without(&sent.secret),
            None => outcome,
        }
    }

    /// Our client, ready to prove itself at its issuer; whom its assertions are for is said by [`Context::audience`].
    pub(crate) fn our_client<'a>(
        &'a self,
        metadata: &'a ServerMetadata,
        registration: &'a ClientRegistration,
    ) -> OurClient<'a> {
        let endpoint = metadata.token_endpoint.as_deref();
        let skew = self.heard.skew(endpoint.unwrap_or(&metadata.issuer));
        OurClient {
            registration,
            quirks: &metadata.quirks,
            audience: None,
            seams: &self.seams,
            skew: skew.unwrap_or_default(),
        }
    }

    /// Notes what a server says of its clock, in whatever answer.
    pub(crate) fn hear(&self, endpoint: &HttpUrl, reply: &Reply) {
        self.heard.hear(endpoint.uri(), &reply.headers, &self.seams);
    }

    /// The time by the clock of this URL's server, as far as that is known.
    pub(crate) fn time_at(&self, url: &str) -> Timestamp {
        let now = self.seams.clock.now().wall;
        let skew = SignedDuration::from_secs(self.heard.skew(url).unwrap_or_default());
        now.saturating_add(skew).unwrap_or(now)
    }

    /// Whom our client's assertions are for: as a person said it, else as the provider is known to want it (RFC 7523 §3
    /// leaves the choice to the server). None means its issuer.
    pub(crate) fn audience(
        &self,
        said: Option<&str>,
        (issuer, provider): (&Issuer, Option<&str>),
    ) -> Option<String> {
        let said = said.map(str::to_owned);
        said.or_else(|| {
            self.rules
                .habits(issuer.as_str(), provider)
                .assertion_audience
        })
    }
}

/// The connection on whose behalf a grant is refreshed: named in records and in the log.
#[derive(Clone, Debug)]
pub(crate) struct OnBehalfOf {
    pub(crate) connection: ConnectionName,
    pub(crate) principal: PrincipalId,
    /// What its tokens are asked for, at every refresh (RFC 8707).
    pub(crate) resource: Option<Resource>,
    /// What a client's own token is asked for with; a refresh never names a scope.
    pub(crate) scope: Option<Scope>,
    /// Which entry of the catalogue its provider is.
    pub(crate) provider: Option<String>,
    /// Where its provider's endpoints may be.
    pub(crate) reach: Reach,
    /// A harmless call that proves its token, where the token is shown there as usual.
    pub(crate) check: Option<HttpUrl>,
}

impl OnBehalfOf {
    pub(crate) fn of(connection: &Connection) -> Self {
        Self {
            connection: connection.name.clone(),
            principal: connection.principal.clone(),
            resource: connection.resource.clone(),
            scope: connection.scope.clone(),
            provider: connection.provider.clone(),
            reach: Reach::of(connection.internal),
            check: check_of(connection),
        }
    }
}

/// A token goes to the origin of its connection's URL and to no other.
fn check_of(connection: &Connection) -> Option<HttpUrl> {
    let check = HttpUrl::parse(connection.check_url.as_ref()?).ok()?;
    let own = HttpUrl::parse(&connection.url).ok()?;
    let usual = connection.presentation == Presentation::default();
    Some(check).filter(|check| usual && check.same_origin(&own))
}

/// A grant that is refreshed, on whose behalf, and what that takes.
#[derive(Clone, Copy)]
pub(crate) struct GrantContext<'a> {
    pub(crate) context: &'a Context,
    pub(crate) on_behalf_of: &'a OnBehalfOf,
    pub(crate) grant: &'a Grant,
}
