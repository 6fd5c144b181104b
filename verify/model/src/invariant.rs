//! What must hold, each with a name.

use std::fmt;

use crate::{
    flight::ModelWorld,
    state::{FlightStep, Journal, Lifecycle, ModelState, ModelToken, Run, WireMessage, Written},
};

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvariantBroken {
    /// A refresh token was sent again before the attempt before was settled.
    SentBeforeSettled,
    /// A spent refresh token was sent although its successor lies in store, journal or shelf.
    SpentTokenSent,
    /// A refresh token to which tokens had come was sent as if it were unspent.
    AnsweredSentAgain,
    /// A reuse killed a family whose newest token is held.
    HeldFamilyKilled,
    /// The newest token that was received is in none of store, journal and shelf.
    Unreachable,
    /// A token was released before it was durable.
    ReleasedTooEarly,
    /// A token was released though the lifecycle forbids it.
    ReleasedUnlawfully,
    /// Lineage or generation went back without a restore.
    WentBack,
    /// A refresh ended a suspension.
    SuspensionLeft,
    /// A completed sign-in was undone by a refresh.
    SignInUndone,
    /// A disconnected grant is active again.
    Revived,
    /// Disconnected, and a token that is good at the provider was left lying about.
    LeftUnrevoked,
    /// A person is asked, or nothing works, though a held token is good.
    LostForNothing,
    /// A living owner has let its claim lie: nobody else may touch it.
    Abandoned,
    /// A claim that nobody resolves.
    Unresolved,
}

impl fmt::Display for InvariantBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SentBeforeSettled => "no second send before the first attempt is settled",
            Self::SpentTokenSent => "no spent token is sent while its successor is held",
            Self::AnsweredSentAgain => "no token to which tokens came is sent as an unspent one",
            Self::HeldFamilyKilled => "no family dies while its newest token is held",
            Self::Unreachable => "every received token is reachable until superseded",
            Self::ReleasedTooEarly => "a token is released only if it is durable",
            Self::ReleasedUnlawfully => "a token is released only if the lifecycle permits",
            Self::WentBack => "lineage and generation never go back",
            Self::SuspensionLeft => "a refresh never ends a suspension",
            Self::SignInUndone => "a completed sign-in survives every refresh in flight",
            Self::Revived => "disconnected is never active again",
            Self::LeftUnrevoked => "after a disconnect nothing good is left unrevoked",
            Self::LostForNothing => "lost only when no candidate works",
            Self::Abandoned => "a living owner is at its claim, or has settled it",
            Self::Unresolved => "once faults stop, every claim resolves",
        })
    }
}

fn check(holds: bool, broken: InvariantBroken) -> Result<(), InvariantBroken> {
    if holds { Ok(()) } else { Err(broken) }
}

/// Of a token that a caller gets now.
pub fn released(state: &ModelState) -> Result<(), InvariantBroken> {
    let lawful = matches!(
        state.row.lifecycle,
        Lifecycle::Active | Lifecycle::Lost { .. }
    );
    check(
        lawful && !state.truth.disconnected,
        InvariantBroken::ReleasedUnlawfully,
    )
}

/// Of a request that is written now.
pub fn sent(state: &ModelState, world: &ModelWorld, run: Run) -> Result<(), InvariantBroken> {
    let harmless = !world.rule.may_harm();
    let token = run.seen.token;
    check(
        harmless || settled(state, token),
        InvariantBroken::SentBeforeSettled,
    )?;
    let newer = |held: ModelToken| held.family == token.family && held.index > token.index;
    let spent = !state.provider.is_good(world.class, token, state.now);
    let successor_held = spent && durable(state).any(newer);
    check(!successor_held, InvariantBroken::SpentTokenSent)?;
    // A later attempt knows that one before it was lost; in quarantine the token was refused already.
    let as_unspent = run.seen.number <= 1 && !run.seen.probe;
    let answered = state
        .truth
        .answered
        .is_some_and(|answered| answered.family == token.family && answered.index >= token.index);
    check(
        !(as_unspent && answered),
        InvariantBroken::AnsweredSentAgain,
    )
}

/// No request for this token is on its way, and no answer to one has still to be read or committed.
fn settled(state: &ModelState, token: ModelToken) -> bool {
    let air = state.air.iter().zip(&state.journals);
    let in_air =
        air.filter(|(message, _)| message.is_some())
            .any(|(message, journal)| match message {
                Some(WireMessage::Request { token: sent, .. }) => *sent == token,
                _ => journal.is_some_and(|journal| journal.seen.token == token),
            });
    let in_memory = state.live().any(|process| {
        let received =
            matches!(process.step, FlightStep::Received(_, reply) if reply.carries_tokens());
        received
            && process
                .step
                .run()
                .is_some_and(|run| run.seen.token == token)
    });
    !in_air && !in_memory
}

/// The refresh tokens that a kill of every process would leave.
pub fn durable(state: &ModelState) -> impl Iterator<Item = ModelToken> {
    let journals = state.journals.iter().flatten().filter_map(answer_in);
    let shelf = state.shelf.all().filter_map(|shelved| shelved.token);
    state.row.token.into_iter().chain(journals).chain(shelf)
}

fn answer_in(journal: &Journal) -> Option<ModelToken> {
    match journal.written {
        Written::Reply(reply) => reply.token(),
        Written::Intent | Written::Sending => None,
    }
}

/// And what the living have in memory or can still read.
fn held(state: &ModelState, token: ModelToken) -> bool {
    let read = state
        .live()
        .any(|process| process.step.in_memory() == Some(token));
    let readable = state.air.iter().any(
        |message| matches!(message, Some(WireMessage::Reply(reply)) if reply.token() == Some(token)),
    );
    read || readable || durable(state).any(|held| held == token)
}

/// Of a family that a request killed just now.
pub fn killed(state: &ModelState, family: u8) -> Result<(), InvariantBroken> {
    let known = state.provider.families[usize::from(family)];
    let ours = family == state.truth.signed_in.1 && !state.truth.disconnected;
    let lost = known.is_some_and(|known| {
        let newest = ModelToken {
            family,
            index: known.current,
        };
        ours && held(state, newest)
    });
    check(!lost, InvariantBroken::HeldFamilyKilled)
}

/// Of every state.
pub fn standing(state: &ModelState, world: &ModelWorld) -> Result<(), InvariantBroken> {
    let (row, truth) = (&state.row, &state.truth);
    let revoked = row.lifecycle == Lifecycle::Revoked;
    check(!truth.disconnected || revoked, InvariantBroken::Revived)?;
    let (lineage, family) = truth.signed_in;
    let same_family = row.token.is_none_or(|token| token.family == family);
    let undone = row.lineage < lineage || (row.lineage == lineage && !same_family);
    check(
        !undone && !truth.sign_in_lost,
        InvariantBroken::SignInUndone,
    )?;
    check(attended(state), InvariantBroken::Abandoned)?;
    check(reachable(state, world), InvariantBroken::Unreachable)
}

/// A store that was put back may hold a claim that is over.
fn attended(state: &ModelState) -> bool {
    let Some(claim) = state.row.claim.filter(|claim| claim.unknown.is_none()) else {
        return true;
    };
    let owner = state.processes[usize::from(claim.owner.process)];
    let at = owner.and_then(|owner| owner.step.run());
    let attends = at.is_some_and(|run| run.attempt == claim.attempt);
    let over = state.row.lifecycle == Lifecycle::Revoked;
    attends || over || state.truth.restored || !state.is_alive(claim.owner)
}

fn reachable(state: &ModelState, world: &ModelWorld) -> bool {
    let Some(token) = state.truth.durable else {
        return true;
    };
    let family = state.provider.families[usize::from(token.family)];
    let newest = family.is_some_and(|family| family.alive && family.current == token.index);
    let wanted = newest
        && !state.truth.disconnected
        && state.provider.is_good(world.class, token, state.now);
    !wanted || durable(state).any(|held| held == token)
}

/// Of a step that is no restore and no act of a person.
pub fn moved(before: &ModelState, after: &ModelState) -> Result<(), InvariantBroken> {
    let at = |state: &ModelState| (state.row.lineage, state.row.generation);
    let forward = at(after).0 >= at(before).0 && at(after).1 >= at(before).1;
    check(forward, InvariantBroken::WentBack)?;
    let suspended = |state: &ModelState| state.row.lifecycle == Lifecycle::Suspended;
    let stays = !suspended(before) || suspended(after) || after.row.lifecycle == Lifecycle::Revoked;
    check(stays, InvariantBroken::SuspensionLeft)
}

/// Of the state in which everything comes to rest once nothing goes wrong any more.
pub fn at_rest(state: &ModelState, world: &ModelWorld) -> Result<(), InvariantBroken> {
    let family = state.truth.signed_in.1;
    let good = |token: ModelToken| state.provider.is_good(world.class, token, state.now);
    let unread = state
        .shelf
        .unread
        .filter(|unread| state.upgraded && unread.lineage == state.row.lineage);
    let mut held = durable(state).chain(unread.and_then(|unread| unread.token));
    let candidate = held.any(|token| token.family == family && good(token));
    match state.row.lifecycle {
        Lifecycle::Revoked => check(!candidate, InvariantBroken::LeftUnrevoked),
        Lifecycle::Suspended => Ok(()),
        Lifecycle::Active | Lifecycle::Lost { .. } => {
            check(state.row.claim.is_none(), InvariantBroken::Unresolved)?;
            let works =
                state.row.lifecycle == Lifecycle::Active && state.row.token.is_some_and(good);
            check(works || !candidate, InvariantBroken::LostForNothing)
        }
    }
}
