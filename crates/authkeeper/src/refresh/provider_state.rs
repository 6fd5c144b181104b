//! Failed token requests are known to every process before it sends the next: a thin layer over the store for what
//! [`circuit_breaker`] decides. A store that can't be read or written holds nobody up here; without a claim in it nothing is spent
//! anyway.

use std::time::Duration;

use http::StatusCode;

use crate::refresh::{
    circuit_breaker::{self, Admission, ReplyEffect, RequestFailure},
    context::{Context, GrantContext},
    decide,
    outcome::RefreshOutcome,
    provider_incidents,
};
use crate::{
    model::{
        AttemptId, Event, Failing, FailingOf, Grant, GrantId, IncidentId, Issuer, Lineage, Moment,
        Said,
    },
    oauth::classify::{Outcome, Refused},
    store::{FailingChange, NewIncident, Result},
};

/// How often a change is tried that others outrun.
const MOST_TRIES: usize = 20;

/// The one request that a flight may send to see whether the provider answers again.
pub(super) struct HalfOpenTrial {
    of: FailingOf,
    id: AttemptId,
}

/// Whether an attempt may be made now.
pub(super) enum Admitted {
    Yes,
    /// No, and this is the answer until its wait is over.
    No(RefreshOutcome),
    /// Another process finds out just now.
    AfterTrial(RefreshOutcome),
}

/// Our client at the issuer of a grant.
pub(crate) fn client_of(grant: &Grant) -> FailingOf {
    FailingOf::Client(grant.issuer.clone(), grant.client_id.clone())
}

/// Our client at the server that is asked first: an identity provider, if there is one.
pub(super) fn first_asked(grant: &Grant) -> FailingOf {
    match grant.grant_material.identity_provider() {
        Some(idp) => FailingOf::Client(Issuer::new(&idp.token_url), idp.client_id.clone()),
        None => client_of(grant),
    }
}

impl GrantContext<'_> {
    /// Whether an attempt may be made. It is made as a trial if the client's rest is over. Recovery of a lost answer passes
    /// the client's breaker.
    pub(super) async fn admit(self, recovers: bool, trial: &mut Option<HalfOpenTrial>) -> Admitted {
        for _ in 0..MOST_TRIES {
            let now = self.context.seams.clock.now();
            if let Some((failing, Admission::Rests(left))) = self.own(now).await {
                self.tell_of(&first_asked(self.grant)).await;
                return Admitted::No(end(&failing, None, left));
            }
            if recovers {
                return Admitted::Yes;
            }
            let of = first_asked(self.grant);
            let Some(failing) = read(self.context, &of).await else {
                return Admitted::Yes;
            };
            let mine = trial.as_ref().map(|trial| &trial.id);
            match circuit_breaker::admit(Some(&failing), mine, now) {
                Admission::Go => return Admitted::Yes,
                Admission::Rests(left) => {
                    self.tell_of(&of).await;
                    return Admitted::No(end(&failing, name_of(&of), left));
                }
                Admission::IsTried(left) => {
                    return Admitted::AfterTrial(end(&failing, name_of(&of), left));
                }
                Admission::Try => {
                    let id = AttemptId::new(self.context.seams.random_id());
                    let new = circuit_breaker::tried_by(&failing, &id, now);
                    match put(self.context, &of, Some(failing), Some(new), None).await {
                        Ok(true) => {
                            *trial = Some(HalfOpenTrial { of, id });
                            return Admitted::Yes;
                        }
                        Ok(false) => {}
                        // Then there is no claim either.
                        Err(_unwritten) => return Admitted::Yes,
                    }
                }
            }
        }
        Admitted::Yes
    }

    /// Whether somebody's failure has been kept since the attempt was admitted.
    pub(super) async fn rests(self, recovers: bool, trial: Option<&HalfOpenTrial>) -> bool {
        let now = self.context.seams.clock.now();
        if let Some((_, Admission::Rests(_))) = self.own(now).await {
            return true;
        }
        let client = read(self.context, &first_asked(self.grant)).await;
        let mine = trial.map(|trial| &trial.id);
        let admission = circuit_breaker::admit(client.as_ref(), mine, now);
        !recovers && matches!(admission, Admission::Rests(_) | Admission::IsTried(_))
    }

    /// The grant's own rest.
    async fn own(self, now: Moment) -> Option<(Failing, Admission)> {
        let failing = own(self.context, &self.grant.id, self.grant.lineage).await?;
        let admission = circuit_breaker::admit(Some(&failing), None, now);
        Some((failing, admission))
    }

    /// Keeps what an answer without tokens says of the server that was asked, before the claim is given back: the
    /// process that takes it next sees it.
    pub(super) async fn heard(
        self,
        of: &FailingOf,
        (outcome, status): (&Outcome, StatusCode),
        spends: bool,
    ) {
        match circuit_breaker::meaning(outcome, status, spends) {
            ReplyEffect::Nothing => {}
            ReplyEffect::Answers => answered(self.context, of).await,
            ReplyEffect::Refused(said) => {
                answered(self.context, of).await;
                let failure = RequestFailure {
                    said,
                    ..RequestFailure::of(String::new())
                };
                self.grant_failed(&failure).await;
            }
            ReplyEffect::Failed(failure) => self.failed(of, &failure).await,
        }
    }

    /// Keeps a failure: of the grant, and of all that our client asks there.
    pub(super) async fn failed(self, of: &FailingOf, failure: &RequestFailure) {
        let rest = self.grant_failed(failure).await;
        let now = self.context.seams.clock.now();
        let changed = change(self.context, of, |seen| {
            let new = circuit_breaker::client_failed(seen, failure, rest, now);
            Some(self.telling(of, new))
        });
        logged(changed.await);
    }

    /// How long the grant rests now. What may have been acted on is recovered, and has its own times.
    async fn grant_failed(self, failure: &RequestFailure) -> Duration {
        let (context, grant) = (self.context, self.grant);
        let (now, roll) = (context.seams.clock.now(), context.seams.random_unit());
        let access = grant.access.as_ref();
        let left = access.map(|token| token.left(now)).unwrap_or_default();
        let seen = own(context, &grant.id, grant.lineage).await;
        let rest = circuit_breaker::rest_after(seen.as_ref(), failure, left, (now, roll));
        if failure.surely {
            let of = FailingOf::Grant(grant.id.clone());
            let changed = change(context, &of, |seen| {
                let seen = seen.filter(|seen| seen.lineage == Some(grant.lineage));
                let with = (failure, grant.lineage);
                Some((circuit_breaker::grant_failed(seen, with, rest, now), None))
            });
            logged(changed.await);
        }
        rest
    }

    /// The provider has given tokens.
    pub(super) async fn works(self) {
        answered(self.context, &client_of(self.grant)).await;
        self.grant_settled().await;
    }

    /// The grant was refused for good, or works.
    pub(super) async fn grant_settled(self) {
        if self.grant.grant_material.identity_provider().is_some() {
            answered(self.context, &first_asked(self.grant)).await;
        }
        answered(self.context, &FailingOf::Grant(self.grant.id.clone())).await;
    }

    /// A caller that is held back looks whether it is time to tell the owner.
    async fn tell_of(self, of: &FailingOf) {
        let changed = change(self.context, of, |seen| {
            let (new, incident) = self.telling(of, seen?.clone());
            incident.map(|incident| (new, Some(incident)))
        });
        logged(changed.await);
    }

    /// The same, with the incident that its owner is to be told of.
    fn telling(self, of: &FailingOf, mut failing: Failing) -> (Failing, Option<NewIncident>) {
        let now = self.context.seams.clock.now();
        let access = self.grant.access.as_ref();
        let left = access.map(|token| token.left(now)).unwrap_or_default();
        let after = self.context.rules.failing_after;
        let due = decide::incident_of(&failing, left, after, now);
        let new = |event: &Event| failing.told.iter().all(|(told, _)| told != event);
        let Some(event) = due.filter(new) else {
            return (failing, None);
        };
        let id = IncidentId::new(self.context.seams.random_id());
        let server = name_of(of).unwrap_or_default();
        let record = match event {
            Event::TokenEndpointMoved => provider_incidents::moved(self, &failing, now),
            _ => provider_incidents::failing(self, (&server, &failing), now),
        };
        failing.told.push((event, id.clone()));
        let lineage = self.grant.lineage;
        (
            failing,
            Some(NewIncident {
                id,
                lineage,
                record,
            }),
        )
    }
}

impl HalfOpenTrial {
    /// Nothing came of it: the next may try at once. An answer or a failure has ended it already.
    pub(super) async fn end(self, context: &Context) {
        let now = context.seams.clock.now();
        let changed = change(context, &self.of, |seen| {
            Some((circuit_breaker::untried(seen?, &self.id, now)?, None))
        });
        logged(changed.await);
    }
}

/// How long a grant rests yet after a failure of its own.
pub(super) async fn rest_of(
    context: &Context,
    grant: &GrantId,
    lineage: Lineage,
) -> Option<Duration> {
    let failing = own(context, grant, lineage).await?;
    let left = failing.rest?.left(context.seams.clock.now());
    (!left.is_zero()).then_some(left)
}

/// A request was answered: the failures before it are over, and so are the incidents that tell of them.
pub(crate) async fn answered(context: &Context, of: &FailingOf) {
    for _ in 0..MOST_TRIES {
        let Some(failing) = read(context, of).await else {
            return;
        };
        let now = context.seams.clock.now().wall;
        for (_, told) in &failing.told {
            logged(context.store.end_incident(told, now).await);
        }
        match put(context, of, Some(failing), None, None).await {
            Ok(false) => {}
            Ok(true) | Err(_) => return,
        }
    }
}

/// What a caller hears who asks while nothing is sent: the provider's own words, and when to ask again.
fn end(failing: &Failing, client_at: Option<String>, left: Duration) -> RefreshOutcome {
    let why = |why: &str| match client_at {
        Some(server) if failing.times > 1 => {
            format!("{server} failed {} times in a row: {why}", failing.times)
        }
        _ => why.to_owned(),
    };
    match &failing.said {
        Said::Unavailable(said) | Said::Gone(said) => RefreshOutcome::Later {
            why: why(said),
            retry_after: Some(left),
        },
        Said::Moved(said) => RefreshOutcome::Moved(said.clone()),
        Said::Refused { code, description } => RefreshOutcome::Request(Refused {
            code: code.clone(),
            description: description.clone(),
        }),
    }
}

fn name_of(of: &FailingOf) -> Option<String> {
    match of {
        FailingOf::Client(issuer, _) => Some(issuer.to_string()),
        FailingOf::Grant(_) | FailingOf::Refusals(..) | FailingOf::SignIns(..) => None,
    }
}

/// The token requests of a grant, or else of its client, that failed in a row.
pub(crate) async fn failing_of(context: &Context, grant: &Grant) -> Option<Failing> {
    let of_grant = own(context, &grant.id, grant.lineage).await;
    if of_grant.is_some() {
        return of_grant;
    }
    let client = FailingOf::Client(grant.issuer.clone(), grant.client_id.clone());
    read(context, &client).await
}

async fn own(context: &Context, grant: &GrantId, lineage: Lineage) -> Option<Failing> {
    let failing = read(context, &FailingOf::Grant(grant.clone())).await;
    failing.filter(|failing| failing.lineage == Some(lineage))
}

pub(crate) async fn read(context: &Context, of: &FailingOf) -> Option<Failing> {
    match context.store.failing(of).await {
        Ok(failing) => failing,
        Err(error) => {
            tracing::warn!(%error, "whether a provider fails can't be read");
            None
        }
    }
}

async fn put(
    context: &Context,
    of: &FailingOf,
    seen: Option<Failing>,
    new: Option<Failing>,
    incident: Option<NewIncident>,
) -> Result<bool> {
    let change = FailingChange {
        of: of.clone(),
        seen,
        new,
        incident,
    };
    context.store.put_failing(change).await
}

/// Changes what is kept, however often others change it meanwhile. `how` gives none where nothing is to be changed.
pub(crate) async fn change(
    context: &Context,
    of: &FailingOf,
    how: impl Fn(Option<&Failing>) -> Option<(Failing, Option<NewIncident>)> + Send + Sync,
) -> Result<()> {
    for _ in 0..MOST_TRIES {
        let seen = context.store.failing(of).await?;
        let Some((new, incident)) = how(seen.as_ref()) else {
            return Ok(());
        };
        if put(context, of, seen, Some(new), incident).await? {
            return Ok(());
        }
    }
    Ok(())
}

fn logged(done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, "that a provider fails can't be kept");
    }
}
