//! Where connections and grants are kept. Claims and generations move by compare-and-set only.
//!
//! [`Store`] is the seam; [`sqlite::SqliteStore`] is one machine's store. Every value that is a secret is sealed
//! ([`seal`]) before it reaches a store's medium.

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod error;
pub(crate) mod location;
pub mod sqlite;

pub(crate) use self::error::unusable;
pub use self::error::{Result, StoreError};

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    http::HttpUrl,
    model::{
        AccessToken, AttemptId, Claim, ClientId, ClientRegistration, Connection, ConnectionName,
        Event, FailedCall, Failing, FailingOf, Generation, Grant, GrantId, GrantLifecycle,
        GrantMaterial, GrantType, Incident, IncidentId, Issuer, Lineage, Moment, Observation,
        Provider, ProviderObservation, ReauthorizeReason, Record, RefreshToken, Resource, StepUps,
        SubjectBinding, SuspendReason, TaskId, TokenSet, UnknownKind,
    },
    secret::SecretString,
    vault::ResealCount,
};

/// Exactly which token an attempt wants to spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Of which grant.
    pub grant: GrantId,
    /// Of which sign-in.
    pub lineage: Lineage,
    /// Which generation.
    pub generation: Generation,
}

/// The outcome of a sign-in, to be adopted in one step.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The connection as it shall be; its `grant` is ignored.
    pub connection: Connection,
    /// Its provider's metadata and the client that signed in; none for an API key.
    pub client: Option<(Provider, ClientRegistration)>,
    /// How the grant was given.
    pub grant_type: GrantType,
    /// What came.
    pub obtained: Obtained,
    /// Whether it may be used at once.
    pub lifecycle: GrantLifecycle,
    /// When a person should replace what never ends by itself.
    pub rotate_by: Option<Timestamp>,
    /// What the grant needs beside its tokens.
    pub grant_material: GrantMaterial,
    /// The newest lineage that is known beside the store: one that went back in time gives no number out twice.
    pub after: Lineage,
    /// The id of the grant if a new one is needed.
    pub new_grant: GrantId,
    /// When it came.
    pub at: Timestamp,
}

impl SignedIn {
    /// The refresh token that a grant goes on with when this sign-in brings none: some providers give one at the first
    /// consent only. It is kept where client and account are the same.
    ///
    /// An account that either side does not show counts as the same: a provider that leaves the refresh token out has given
    /// one to this account and client before. A refresh that brings another account's tokens suspends the grant all the same.
    pub fn kept_refresh<'a>(&self, held: &'a Grant) -> Option<&'a RefreshToken> {
        let new = &self.connection;
        let by_person = |kind| matches!(kind, GrantType::AuthorizationCode | GrantType::DeviceCode);
        let usable = self.obtained.refresh().is_none()
            && by_person(self.grant_type)
            && by_person(held.grant_type)
            && self.lifecycle == GrantLifecycle::Active
            && held.lifecycle == GrantLifecycle::Active;
        let same_client = (&held.issuer, &held.client_id) == (&new.issuer, &new.client_id);
        // A public client's refresh token is bound to the key of its own sign-in (RFC 9449 §5).
        let bound = held.is_bound() || self.grant_material.proof_key.is_some();
        let same_account = held
            .subject_binding
            .is_same_account(&self.obtained.subject_binding());
        held.refresh.as_ref().filter(|token| {
            let lives = token.expires_at.is_none_or(|ends| ends > self.at);
            lives && usable && same_client && !bound && same_account
        })
    }

    /// What is known of the account and the authority after this sign-in; `held` is the grant whose refresh token is kept.
    pub fn subject_binding(&self, held: Option<&Grant>) -> SubjectBinding {
        let came = self.obtained.subject_binding();
        match held {
            Some(held) => came.learned(&held.subject_binding),
            None => came,
        }
    }
}

/// What a sign-in or an import brings.
#[derive(Clone, Debug)]
pub enum Obtained {
    /// An access token, and mostly a refresh token.
    Tokens(TokenSet),
    /// An imported refresh token alone.
    RefreshToken(RefreshToken),
}

impl Obtained {
    /// The refresh token, if one came.
    pub fn refresh(&self) -> Option<&RefreshToken> {
        match self {
            Self::Tokens(tokens) => tokens.refresh_token.as_ref(),
            Self::RefreshToken(token) => Some(token),
        }
    }

    /// What the tokens show of whose they are, and for what.
    pub fn subject_binding(&self) -> SubjectBinding {
        match self {
            Self::Tokens(tokens) => (*tokens.subject_binding).clone(),
            Self::RefreshToken(_) => SubjectBinding::default(),
        }
    }

    /// The access token as a child of one generation, if one came.
    pub fn access(
        &self,
        lineage: Lineage,
        generation: Generation,
        resource: Option<Resource>,
    ) -> Option<AccessToken> {
        match self {
            Self::Tokens(tokens) => Some(tokens.access(lineage, generation, resource)),
            Self::RefreshToken(_) => None,
        }
    }
}

/// A sign-in that a person is at.
#[derive(Clone, Debug)]
pub struct PendingSignIn {
    /// What is being connected.
    pub name: ConnectionName,
    /// What must be remembered until the person is done: it holds a code or a verifier.
    pub memory: SecretString,
    /// When the provider gives it up.
    pub ends: Timestamp,
}

/// A new API key in the place of the current one.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key.
    pub secret: SecretString,
    /// When it is taken into use.
    pub at: Moment,
    /// When it should be replaced in its turn.
    pub rotate_by: Option<Timestamp>,
    /// Until when the key before it may serve again.
    pub overlap_until: Timestamp,
}

/// One accepted refresh, to be committed in one step.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// What was spent.
    pub spend: Spend,
    /// The new access token; its generation is the spent one's successor.
    pub access: AccessToken,
    /// The new refresh token; none keeps the old one (RFC 6749 §6).
    pub refresh: Option<RefreshToken>,
    /// What is known now of whose grant it is, and for what.
    pub subject_binding: SubjectBinding,
    /// Why its tokens must not be handed out, and since when: kept, and suspended with the same step.
    pub hold: Option<(SuspendReason, Timestamp)>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is the current generation now.
    Yes,
    /// Another generation or lineage is current; nothing was overwritten.
    Superseded,
    /// The grant was disconnected meanwhile: what came must be revoked, never adopted.
    Revoked,
}

/// An incident to be kept, told once.
#[derive(Clone, Debug)]
pub struct NewIncident {
    /// Its id if it is new.
    pub id: IncidentId,
    /// The lineage it belongs to.
    pub lineage: Lineage,
    /// What is told.
    pub record: Record,
}

/// What becomes of the failures that are kept of a client's or a grant's token requests.
#[derive(Clone, Debug)]
pub struct FailingChange {
    /// Whose.
    pub of: FailingOf,
    /// As they were seen.
    pub seen: Option<Failing>,
    /// As they shall be; none once a request was answered.
    pub new: Option<Failing>,
    /// An incident that is kept with the same step.
    pub incident: Option<NewIncident>,
}

/// A carried call that failed for lack of authority.
#[derive(Clone, Debug)]
pub struct CarriedCall {
    /// In which run.
    pub task: TaskId,
    /// Over which connection.
    pub connection: ConnectionName,
    /// A hash that is the same for the same call made again.
    pub fingerprint: String,
}

/// What befell a connection, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Its incidents, with when each was over.
    pub incidents: Vec<(Incident, Option<Timestamp>)>,
    /// What happened to it as the audit has it. No secrets.
    pub events: Vec<(Timestamp, serde_json::Value)>,
}

impl History {
    /// When its present grant was given: the last sign-in or import.
    pub fn signed_in_at(&self) -> Option<Timestamp> {
        let last = self.events.iter().rev();
        let mut signed_in = last.filter(|(_, event)| event["event"] == "signed_in");
        signed_in.next().map(|(at, _)| *at)
    }
}

/// Which state of a store was read: it is raised when anything in it has changed, by this process at once and by others as
/// soon as [`Store::look`] sees it. What was read under an older epoch may be out of date.
#[derive(Debug, Default)]
pub struct Epoch(AtomicU64);

impl Epoch {
    /// Today's. Taken before what is read under it.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// From now on everything that was read before must be read again.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What this process has asked of its store so far.
#[derive(Debug, Default)]
pub struct Use {
    reads: AtomicU64,
    commits: AtomicU64,
}

impl Use {
    /// How often it was read, looks included.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How many transactions were committed: each is one wait for the disk.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Counts a read.
    pub fn count_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a commit.
    pub fn count_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether two connections may live on one grant: its access token goes where it was issued for, and nowhere else.
pub(crate) fn may_share(one: &Connection, other: &Connection) -> bool {
    let origin = |url: &str| HttpUrl::parse(url).map(|url| url.origin()).ok();
    one.principal == other.principal
        && one.resource == other.resource
        && origin(&one.url).is_some()
        && origin(&one.url) == origin(&other.url)
}

/// A store of connections and grants.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Raised after each commit of this process, before that is answered.
    fn epoch(&self) -> &Arc<Epoch>;
    /// Looks whether anybody else has changed anything since the last look, and raises the epoch if so. It costs
    /// microseconds and waits for nobody.
    fn look(&self) -> Result<()>;
    /// What this process has asked of it.
    fn used(&self) -> &Use;
    /// One connection.
    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>>;
    /// All connections, by name.
    async fn connections(&self) -> Result<Vec<Connection>>;
    /// One grant with its current tokens.
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>>;
    /// What a client of ours was told of its issuer.
    async fn provider(&self, issuer: &Issuer, client: &ClientId) -> Result<Option<Provider>>;
    /// Our client at an issuer, by id.
    async fn registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
    ) -> Result<Option<ClientRegistration>>;
    /// The clients that registered themselves at an issuer and were not refused since, the newest first.
    async fn registered_clients(&self, issuer: &Issuer) -> Result<Vec<ClientRegistration>>;
    /// Keeps a client before the sign-in that uses it: a registration must not be lost. Secrets that are not kept yet go
    /// in front of those that are; none is taken away.
    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()>;

    /// Keeps what an issuer says of itself today, for one client of ours there.
    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()>;

    /// Notes that the provider refused our client: the next sign-in registers anew instead of using it again.
    async fn refuse_registration(
        &self,
        issuer: &Issuer,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<()>;

    /// The connections over whose grants this refresh token is held already, or was spent since the sign-in or import that
    /// brought it.
    async fn holders(
        &self,
        issuer: &Issuer,
        client: &ClientId,
        refresh: &SecretString,
    ) -> Result<Vec<Connection>>;

    /// Adopts a sign-in: the connection, its lineage raised by one, its generation raised by one, active, unclaimed. One that
    /// brings no refresh token goes on with the one before ([`SignedIn::kept_refresh`]); if that is claimed, lineage,
    /// generation and claim stay as they are. What
    /// was remembered of it meanwhile goes. A client that is kept already stays as it is: its secrets may have been
    /// replaced while the person was away. A refresh token that another connection of the same principal holds for the same
    /// resource is one grant: the connection joins it, and nothing else is changed.
    async fn adopt_sign_in(&self, signed_in: SignedIn) -> Result<Grant>;
    /// Marks the connection's grant revoked, for good, and returns the grant as it was. A connection whose grant another one
    /// uses too is merely removed, and none is returned. The secrets of the other stay until [`Store::forget`], so that they
    /// can be revoked at the provider.
    async fn disconnect(&self, name: &ConnectionName, at: Timestamp) -> Result<Option<Grant>>;
    /// Removes the connection and wipes the grant's secrets; the grant's row stays as a tombstone.
    async fn forget(&self, name: &ConnectionName) -> Result<()>;

    /// Whether this is a copy of which nobody has confirmed yet that the other one is retired: it serves, and spends
    /// nothing.
    fn is_copy(&self) -> bool;
    /// A person has confirmed that the other copy is retired: this one is the store from now on.
    async fn settle_here(&self, at: Timestamp) -> Result<()>;
    /// Claims one generation: from idle to spending, only if it is still current, active and unclaimed.
    async fn claim(&self, spend: &Spend, claim: &Claim) -> Result<bool>;
    /// Claims a refused generation to try it once more: only if it is still current, in quarantine and unclaimed.
    async fn claim_probe(&self, spend: &Spend, claim: &Claim, at: Timestamp) -> Result<bool>;
    /// Counts a refusal that says nothing of the grant; the count since the last accepted refresh.
    async fn count_suspect(&self, grant: &GrantId) -> Result<u32>;
    /// Notes that the provider refused this grant in these words; when it said the same for the first time since the last
    /// accepted refresh or sign-in.
    async fn note_refusal(&self, grant: &GrantId, words: &str, now: Moment) -> Result<Moment>;
    /// Replaces a claim whose outcome is unknown by the next attempt at the same generation.
    async fn take_over(&self, spend: &Spend, seen: &AttemptId, claim: &Claim) -> Result<bool>;
    /// Gives back a claim under which surely nothing was sent.
    async fn release(&self, grant: &GrantId, attempt: &AttemptId) -> Result<bool>;
    /// Notes that an attempt's outcome is unknown.
    async fn mark_unknown(
        &self,
        grant: &GrantId,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> Result<bool>;
    /// Keeps a refresh token that came before the tokens it is for: an identity provider answered with a new one in the
    /// place of the one it was shown. True only if that attempt still held the claim, or the one that was shown is still
    /// the current one. What became of that attempt is not unknown any more.
    async fn keep_subject(
        &self,
        spend: &Spend,
        by: (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> Result<bool>;
    /// Commits an accepted refresh, if what was spent is still current.
    async fn commit_refresh(&self, refreshed: Refreshed) -> Result<Committed>;
    /// Notes that only a sign-in mends this grant, whatever its tokens: only if the sign-in is still the current one, and
    /// the grant active and unclaimed.
    async fn require_sign_in(
        &self,
        grant: &GrantId,
        lineage: Lineage,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool>;
    /// Notes a clear refusal and ends the attempt's claim; true only if that attempt still held it.
    async fn commit_refusal(
        &self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool>;

    /// Notes that the provider refused one of our client's secrets, so that the next in order is tried.
    async fn refuse_secret(&self, secret: u64, at: Timestamp) -> Result<()>;
    /// Notes that the provider takes a client that it had refused.
    async fn accept_registration(&self, issuer: &Issuer, id: &ClientId) -> Result<()>;
    /// Notes that the provider takes a secret that it had refused.
    async fn accept_secret(&self, secret: u64) -> Result<()>;
    /// Keeps a sign-in that a person is at, in the place of an older one of the same name. Those that have ended go.
    async fn keep_pending(&self, pending: &PendingSignIn, at: Timestamp) -> Result<()>;
    /// The sign-in of this name that a person is at.
    async fn pending(&self, name: &ConnectionName) -> Result<Option<PendingSignIn>>;
    /// Forgets the sign-in of this name: it is done, or over.
    async fn drop_pending(&self, name: &ConnectionName) -> Result<()>;
    /// Makes an imported grant usable: a person has confirmed that no other copy of its refresh token is used.
    async fn confirm_sole_copy(&self, grant: &GrantId, at: Timestamp) -> Result<bool>;
    /// Puts a new API key in the place of the one of this generation, which stays as standby for the overlap.
    async fn replace_key(&self, grant: &GrantId, seen: Generation, key: &NewKey) -> Result<bool>;
    /// The key of this generation was refused: the one before it serves again, if its overlap has not ended.
    async fn fall_back(&self, grant: &GrantId, refused: Generation, at: Moment) -> Result<bool>;

    /// Removes an access token that its resource refused and that nothing can replace: believed to live, it would be
    /// handed out until its believed end.
    async fn retire_access(&self, grant: &GrantId, generation: Generation) -> Result<()>;

    /// Counts what was noticed of a provider. Of each kind the newest few are kept.
    async fn observation(&self, observation: &ProviderObservation, at: Timestamp) -> Result<()>;
    /// What was noticed of a provider, or of all.
    async fn observed(&self, issuer: Option<&Issuer>) -> Result<Vec<Observation>>;

    /// The token requests of a client or a grant that failed in a row, if the last one did.
    async fn failing(&self, of: &FailingOf) -> Result<Option<Failing>>;
    /// Changes them, if they are still as they were seen; true if they were.
    async fn put_failing(&self, change: FailingChange) -> Result<bool>;

    /// Keeps an incident. Returns it as kept, and whether it is new.
    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)>;
    /// Tells otherwise of an incident that is not over; whether its owner was told stays as it is.
    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()>;
    /// What calls of this connection were refused for lack of.
    async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps>;
    /// Puts it anew, if it is still as it was seen. A sign-in that is adopted changes it by [`StepUps::signed_in`], and a
    /// disconnection forgets it.
    async fn put_step_ups(
        &self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> Result<bool>;
    /// Whether such an incident of this connection is not over.
    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool>;
    /// The incidents that are not over.
    async fn incidents(&self) -> Result<Vec<Incident>>;
    /// What befell a connection.
    async fn history(&self, connection: &ConnectionName) -> Result<History>;
    /// Ends every incident of a connection, and of those that live on its grant.
    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()>;
    /// Ends one incident.
    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()>;
    /// Takes the duty to tell the owner of an incident that is not over; true for exactly one caller.
    async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool>;

    /// Seals anew whatever is not sealed with the current key. A store that seals nothing has nothing to do.
    async fn reseal(&self) -> Result<ResealCount> {
        Ok(ResealCount::default())
    }

    /// How long the longest run took that has ended.
    async fn longest_run(&self) -> Result<Option<std::time::Duration>>;
    /// Notes a run and the process that leads it.
    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()>;
    /// Notes that a run ended, with the code it returned.
    async fn end_task(&self, task: &TaskId, code: i32, at: Timestamp) -> Result<()>;
    /// The open run led by one of these processes, the first that is one.
    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>>;
    /// Notes that a carried call failed for lack of authority.
    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()>;
    /// Notes that a call that had failed has now succeeded.
    async fn call_recovered(&self, call: &CarriedCall, at: Timestamp) -> Result<()>;
    /// The calls of a run that failed and were not recovered.
    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>>;
}
