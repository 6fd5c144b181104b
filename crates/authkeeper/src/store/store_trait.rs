//! The store trait: the seam to a database.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{
        AttemptId, Claim, ClientId, ClientRegistration, Connection, ConnectionName, Event,
        FailedCall, Failing, FailingOf, Generation, Grant, GrantId, Incident, IncidentId, Issuer,
        Lineage, Moment, Observation, Provider, ProviderObservation, ReauthorizeReason, Record,
        RefreshToken, StepUps, TaskId, UnknownKind, Validation,
    },
    secret::SecretString,
    store::{
        Result,
        changes::{Epoch, Use},
        incident::{CarriedCall, History, NewIncident},
        refresh::{Committed, FailingChange, Refreshed, Spend},
        sign_in::{NewKey, PendingSignIn, SignedIn},
    },
    vault::ResealCount,
};

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
    /// in front of those that are; none is taken away. A refusal of the client stays noted unless a secret is new: that
    /// somebody begins a sign-in proves nothing.
    async fn keep_registration(
        &self,
        provider: &Provider,
        client: &ClientRegistration,
    ) -> Result<()>;

    /// Keeps what an issuer says of itself today, for one client of ours there.
    async fn keep_provider(&self, provider: &Provider, client: &ClientId) -> Result<()>;

    /// Notes that the provider refused our client: the next sign-in registers a new client.
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
    /// Marks a grant as in need of a sign-in, whatever its tokens: only if the sign-in is still the current one, and
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

    /// What failed in a row, if the last one did.
    async fn failing(&self, of: &FailingOf) -> Result<Option<Failing>>;
    /// Changes them, if they are still as they were seen; true if they were.
    async fn put_failing(&self, change: FailingChange) -> Result<bool>;

    /// How a connection was validated last, if it ever was.
    async fn validation(&self, name: &ConnectionName) -> Result<Option<Validation>>;
    /// Changes it, if it is still as it was seen; true if it was.
    async fn put_validation(
        &self,
        name: &ConnectionName,
        seen: Option<&Validation>,
        new: &Validation,
    ) -> Result<bool>;

    /// Keeps an incident. Returns it as kept, and whether it is new.
    async fn keep_incident(&self, incident: NewIncident) -> Result<(Incident, bool)>;
    /// Replaces the record of an open incident. Its notification state stays.
    async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()>;
    /// What calls of this connection were refused for lack of.
    async fn step_ups(&self, name: &ConnectionName) -> Result<StepUps>;
    /// Replaces them, if they are still as they were seen. A sign-in that is adopted changes it by [`StepUps::signed_in`], and a
    /// disconnection forgets it.
    async fn put_step_ups(
        &self,
        name: &ConnectionName,
        seen: &StepUps,
        new: &StepUps,
    ) -> Result<bool>;
    /// Whether an incident of this kind is open for the connection.
    async fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool>;
    /// The incidents that are not over.
    async fn incidents(&self) -> Result<Vec<Incident>>;
    /// What befell a connection.
    async fn history(&self, connection: &ConnectionName) -> Result<History>;
    /// Ends every incident of a connection, and of those that live on its grant.
    async fn end_incidents(&self, connection: &ConnectionName, at: Timestamp) -> Result<()>;
    /// Ends one incident.
    async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()>;
    /// Claims the notification for this open incident. Returns true for exactly one caller across all processes.
    async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool>;

    /// Reseals every value that is not sealed with the current key. A store without sealing does nothing.
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
