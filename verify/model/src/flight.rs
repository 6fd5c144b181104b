//! What a process does: one call is one step between which anything may happen. It follows `refresh/transaction.rs`.

use authkeeper::{
    model::{ReauthorizeReason, ReplayRule, UnknownKind},
    refresh::decide::{self, Investigation, Refusal, ServeDecision, Why},
};

use crate::{
    bridge,
    design::Design,
    invariant::{self, InvariantBroken},
    provider::RotationClass,
    scenario::ModelScenario,
    state::{
        Access, Claim, Committed, FlightStep, Journal, Lifecycle, ModelProcess, ModelState,
        ModelToken, Owner, Reply, Run, SeenState, Shape, Shelved, Tick, WireMessage, Written,
    },
};

/// What stays as it is during one exploration.
#[derive(Clone, Copy, Debug)]
pub struct ModelWorld {
    pub class: RotationClass,
    pub rule: ReplayRule,
    pub design: Design,
}

impl ModelWorld {
    pub fn of(scenario: &ModelScenario) -> Self {
        Self {
            class: scenario.class,
            rule: scenario.rule,
            design: scenario.design,
        }
    }
}

/// Why a flight set out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Wanted,
    Forced,
    Probe,
}

/// A caller, or the keeper, of an idle process looks at the grant.
pub fn look(
    state: &mut ModelState,
    world: &ModelWorld,
    process: u8,
) -> Result<(), InvariantBroken> {
    match bridge::serve(state) {
        ServeDecision::Serve => {
            invariant::released(state)?;
            if state.row.claim.is_some() && state.row.lifecycle == Lifecycle::Active {
                pursue(state, world, process, Cause::Wanted);
            }
        }
        ServeDecision::ServeAndRefresh(_) => {
            invariant::released(state)?;
            pursue(state, world, process, Cause::Wanted);
        }
        ServeDecision::RefreshFirst(Why::Rejected) => pursue(state, world, process, Cause::Forced),
        ServeDecision::RefreshFirst(_) => pursue(state, world, process, Cause::Wanted),
        ServeDecision::Refuse(_) if state.row.token.is_some() && bridge::probe_due(state) => {
            pursue(state, world, process, Cause::Probe);
        }
        ServeDecision::Refuse(Refusal::Revoked) if world.design.leaves_nothing => {
            sweep(state, world, process);
        }
        ServeDecision::Refuse(_) | ServeDecision::FallBack => {}
    }
    Ok(())
}

/// What a dead process received after a disconnect is taken up, to be revoked.
fn sweep(state: &mut ModelState, world: &ModelWorld, process: u8) {
    let Some(claim) = state.row.claim else {
        return;
    };
    let seen = bridge::investigate(state, world.design, world.rule, (process, claim));
    if seen == Investigation::AdoptReply {
        adopt(state, process, claim);
    }
}

/// One round of the library's loop of the same name.
fn pursue(state: &mut ModelState, world: &ModelWorld, process: u8, cause: Cause) {
    if bring_forward(state, world) || reread(state, world) {
        return;
    }
    let ended = match state.row.lifecycle {
        Lifecycle::Active => false,
        Lifecycle::Lost { .. } => cause != Cause::Probe,
        Lifecycle::Suspended | Lifecycle::Revoked => true,
    };
    if ended {
        return;
    }
    if world.design.orphans && claim_orphan(state) {
        return;
    }
    match state.row.claim {
        None if !world.design.claim && is_locked(state, process) => {}
        None => set_out(state, process, cause, (1, None)),
        Some(claim) => look_into(state, world, process, (claim, cause)),
    }
}

/// The lock of the negative control: free as soon as its holder is dead.
fn is_locked(state: &ModelState, process: u8) -> bool {
    let others = state.processes.iter().zip(0_u8..);
    others
        .filter(|(_, other)| *other != process)
        .any(|(other, _)| other.is_some_and(|other| other.alive && other.step.run().is_some()))
}

/// An answer that made a later generation than the store knows of.
fn bring_forward(state: &mut ModelState, world: &ModelWorld) -> bool {
    let newer = |shelved: &Shelved| {
        shelved.lineage == state.row.lineage && shelved.generation > state.row.generation
    };
    let found = if world.design.orphans {
        let answers = state.shelf.all().copied().chain(orphan_answers(state));
        answers.filter(newer).max_by_key(|found| found.generation)
    } else {
        state.shelf.kept.filter(newer)
    };
    let Some(found) = found else {
        return false;
    };
    let seen = (state.row.lineage, state.row.generation);
    commit(state, world, seen, (found, false)) == Committed::Yes
}

/// An answer that could not be read before, and can be now.
fn reread(state: &mut ModelState, world: &ModelWorld) -> bool {
    let now_readable = state.shelf.unread.filter(|unread| {
        let next = unread.generation > state.row.generation;
        state.upgraded && unread.lineage == state.row.lineage && next
    });
    let waits = world.design.rereads_alone && is_sent_again(state);
    let Some(unread) = now_readable.filter(|_| !waits) else {
        return false;
    };
    let seen = (state.row.lineage, state.row.generation);
    let adopted = commit(state, world, seen, (unread, false)) == Committed::Yes;
    if adopted {
        state.shelf.unread = None;
    }
    adopted
}

/// The token may be on its way to the provider once more.
fn is_sent_again(state: &ModelState) -> bool {
    let waits = |claim: Claim| match claim.unknown {
        None => true,
        Some((_, since)) => claim.number > 1 && state.now <= since,
    };
    state.row.claim.is_some_and(waits)
}

fn orphan_answers(state: &ModelState) -> impl Iterator<Item = Shelved> {
    let claimed = state.row.claim.map(|claim| claim.attempt);
    let journals = state.journals.iter().zip(0_u8..);
    journals.filter_map(move |(journal, attempt)| {
        let Some(Journal {
            written: Written::Reply(reply),
            seen,
            ..
        }) = *journal
        else {
            return None;
        };
        let brings = reply.brings().filter(|_| claimed != Some(attempt));
        brings.map(|brings| made(seen, brings))
    })
}

/// Something was sent that the store knows nothing of: its claim is put back.
fn claim_orphan(state: &mut ModelState) -> bool {
    if state.row.claim.is_some() {
        return false;
    }
    let at = (state.row.lineage, state.row.generation);
    let sent = journals_of(state, at).filter(|(journal, _)| journal.written != Written::Intent);
    let Some((journal, attempt)) = sent.max_by_key(|(journal, _)| journal.seen.number) else {
        return false;
    };
    state.row.claim = Some(Claim {
        attempt,
        number: journal.seen.number,
        owner: journal.owner,
        since: state.now,
        unknown: None,
    });
    true
}

/// The journals of attempts to spend this generation.
fn journals_of(state: &ModelState, at: (u8, u8)) -> impl Iterator<Item = (Journal, u8)> {
    let journals = state.journals.iter().zip(0_u8..);
    let journals = journals.filter_map(|(journal, attempt)| Some(((*journal)?, attempt)));
    journals.filter(move |(journal, _)| (journal.seen.lineage, journal.seen.generation) == at)
}

fn set_out(
    state: &mut ModelState,
    process: u8,
    cause: Cause,
    (number, takes_over): (u8, Option<(u8, UnknownKind)>),
) {
    let Some(token) = state.row.token.filter(|_| state.provider.up) else {
        return;
    };
    let seen = SeenState {
        lineage: state.row.lineage,
        generation: state.row.generation,
        token,
        number,
        takes_over,
        probe: matches!(state.row.lifecycle, Lifecycle::Lost { .. }),
        forced: cause == Cause::Forced,
    };
    put(state, process, FlightStep::Connected(seen));
}

fn put(state: &mut ModelState, process: u8, step: FlightStep) {
    if let Some(process) = &mut state.processes[usize::from(process)] {
        process.step = step;
    }
}

/// Does what [`authkeeper::refresh::decide::investigate`] says.
fn look_into(
    state: &mut ModelState,
    world: &ModelWorld,
    process: u8,
    (claim, cause): (Claim, Cause),
) {
    let spends = !matches!(state.row.lifecycle, Lifecycle::Lost { .. });
    let attempt = claim.attempt;
    let since = if world.design.quiet_from_notice {
        state.now
    } else {
        claim.since
    };
    match bridge::investigate(state, world.design, world.rule, (process, claim)) {
        Investigation::MarkUnknown(_) | Investigation::ResendAfter(_) | Investigation::Resend
            if !spends =>
        {
            release(state, attempt);
            state.journals[usize::from(attempt)] = None;
        }
        Investigation::Release => {
            if claim.number <= 1 {
                release(state, attempt);
            } else {
                mark_unknown(state, attempt, (UnknownKind::Crash, since));
            }
            state.journals[usize::from(attempt)] = None;
        }
        Investigation::AdoptReply => adopt(state, process, claim),
        Investigation::MarkUnknown(kind) => mark_unknown(state, attempt, (kind, since)),
        Investigation::OwnerAtWork | Investigation::ResendAfter(_) => {}
        Investigation::Resend => {
            let kind = claim.unknown.map_or(UnknownKind::Crash, |(kind, _)| kind);
            let next = (claim.number.saturating_add(1), Some((attempt, kind)));
            set_out(state, process, cause, next);
        }
    }
}

fn adopt(state: &mut ModelState, process: u8, claim: Claim) {
    let journal = state.journals[usize::from(claim.attempt)];
    let Some(Journal {
        written: Written::Reply(reply),
        seen,
        ..
    }) = journal
    else {
        return;
    };
    let token = state.row.token.unwrap_or(seen.token);
    let seen = SeenState {
        lineage: state.row.lineage,
        generation: state.row.generation,
        token,
        number: claim.number,
        takes_over: None,
        probe: matches!(state.row.lifecycle, Lifecycle::Lost { .. }),
        forced: seen.forced,
    };
    let run = Run {
        seen,
        attempt: claim.attempt,
        since: claim.since,
    };
    put(state, process, FlightStep::Durable(run, reply));
}

fn release(state: &mut ModelState, attempt: u8) {
    let held = |claim: &Claim| claim.attempt == attempt && claim.unknown.is_none();
    if state.row.claim.as_ref().is_some_and(held) {
        state.row.claim = None;
    }
}

fn mark_unknown(state: &mut ModelState, attempt: u8, unknown: (UnknownKind, Tick)) {
    if let Some(claim) = &mut state.row.claim
        && claim.attempt == attempt
        && claim.unknown.is_none()
    {
        claim.unknown = Some(unknown);
    }
}

/// Whether the flight of this process can go on by itself.
pub fn can_step(state: &ModelState, process: &ModelProcess) -> bool {
    match process.step {
        FlightStep::Idle => false,
        FlightStep::Connected(_) => state.free_attempt().is_some(),
        FlightStep::Waiting(run, _) => {
            matches!(
                state.air[usize::from(run.attempt)],
                Some(WireMessage::Reply(_))
            )
        }
        _ => true,
    }
}

/// The next step of a flight.
pub fn step(
    state: &mut ModelState,
    world: &ModelWorld,
    process: u8,
) -> Result<(), InvariantBroken> {
    let Some(ModelProcess { step: at, life, .. }) = state.processes[usize::from(process)] else {
        return Ok(());
    };
    let next = match at {
        FlightStep::Idle => FlightStep::Idle,
        FlightStep::Connected(seen) => claim(state, world, seen, Owner { process, life }),
        FlightStep::Claimed(run) if world.design.looks_again && is_replaced(state, run) => {
            settle_unsent(state, run);
            end(state, run)
        }
        FlightStep::Claimed(run) => {
            write(state, world, run.attempt, Written::Sending);
            FlightStep::Marked(run)
        }
        FlightStep::Marked(run) => check_deadline(state, world, run),
        FlightStep::Cleared(run) => send(state, world, run)?,
        FlightStep::Waiting(run, _) => receive(state, world, run)?,
        FlightStep::Received(run, reply) => {
            write(state, world, run.attempt, Written::Reply(reply));
            note_durable(state, run, reply);
            FlightStep::Durable(run, reply)
        }
        FlightStep::Durable(run, reply) => conclude(state, world, run, reply),
        FlightStep::Trying(run, candidate) => try_candidate(state, world, run, candidate),
        FlightStep::Committed(run, shelved, how) => tidy(state, world, run, (shelved, how)),
    };
    put(state, process, next);
    Ok(())
}

/// Room and claim. The room is made first; alone it means nothing, so both are one step.
fn claim(state: &mut ModelState, world: &ModelWorld, seen: SeenState, owner: Owner) -> FlightStep {
    let Some(attempt) = state.free_attempt() else {
        return FlightStep::Idle;
    };
    if world.design.claim && !may_claim(state, seen) {
        return FlightStep::Idle;
    }
    let since = state.now;
    if world.design.claim {
        state.row.claim = Some(Claim {
            attempt,
            number: seen.number,
            owner,
            since,
            unknown: None,
        });
    }
    if seen.probe {
        state.row.probed = Some(since);
    }
    if world.design.journal {
        state.journals[usize::from(attempt)] = Some(Journal {
            written: Written::Intent,
            seen,
            owner,
        });
    }
    if let Some((before, _)) = seen.takes_over {
        state.journals[usize::from(before)] = None;
    }
    FlightStep::Claimed(Run {
        seen,
        attempt,
        since,
    })
}

/// A refresh token that came without an access token has taken the place of the one that was read.
fn is_replaced(state: &ModelState, run: Run) -> bool {
    state.row.token != Some(run.seen.token)
}

/// Another attempt says that it sends this token, though the store says nothing of it. One says it before one looks, so that
/// of two who look at least one sees the other.
fn is_contested(state: &ModelState, run: Run) -> bool {
    let seen = run.seen;
    let known = |kept: Shelved| kept.lineage == seen.lineage && kept.generation > seen.generation;
    if state.shelf.kept.is_some_and(known) {
        return true;
    }
    journals_of(state, (seen.lineage, seen.generation))
        .filter(|(_, attempt)| *attempt != run.attempt)
        .any(|(journal, _)| {
            let state = bridge::journal_state(Some(journal.written));
            decide::is_contested(seen.number.into(), journal.seen.number.into(), state)
        })
}

fn may_claim(state: &ModelState, seen: SeenState) -> bool {
    let row = &state.row;
    let as_read = (row.lineage, row.generation) == (seen.lineage, seen.generation);
    let lifecycle = match row.lifecycle {
        Lifecycle::Active => !seen.probe,
        Lifecycle::Lost { .. } => seen.probe && seen.takes_over.is_none(),
        Lifecycle::Suspended | Lifecycle::Revoked => false,
    };
    let free = match (seen.takes_over, row.claim) {
        (None, claim) => claim.is_none(),
        (Some((before, _)), claim) => {
            claim.is_some_and(|claim| claim.attempt == before && claim.unknown.is_some())
        }
    };
    as_read && lifecycle && free
}

fn write(state: &mut ModelState, world: &ModelWorld, attempt: u8, written: Written) {
    if let Some(journal) = &mut state.journals[usize::from(attempt)]
        && world.design.journal
    {
        journal.written = written;
    }
}

fn check_deadline(state: &mut ModelState, world: &ModelWorld, run: Run) -> FlightStep {
    let contested = world.design.orphans && is_contested(state, run);
    if !contested && bridge::ticks(state.now - run.since) <= bridge::SEND_DEADLINE {
        return FlightStep::Cleared(run);
    }
    settle_unsent(state, run);
    end(state, run)
}

fn settle_unsent(state: &mut ModelState, run: Run) {
    if run.seen.number <= 1 {
        release(state, run.attempt);
    } else {
        let kind = run
            .seen
            .takes_over
            .map_or(UnknownKind::Crash, |(_, kind)| kind);
        let now = state.now;
        mark_unknown(state, run.attempt, (kind, now));
    }
}

fn end(state: &mut ModelState, run: Run) -> FlightStep {
    state.journals[usize::from(run.attempt)] = None;
    FlightStep::Idle
}

fn send(
    state: &mut ModelState,
    world: &ModelWorld,
    run: Run,
) -> Result<FlightStep, InvariantBroken> {
    invariant::sent(state, world, run)?;
    state.air[usize::from(run.attempt)] = Some(WireMessage::Request {
        token: run.seen.token,
        issued: state.now,
        closed: false,
    });
    Ok(FlightStep::Waiting(run, state.now))
}

fn receive(
    state: &mut ModelState,
    world: &ModelWorld,
    run: Run,
) -> Result<FlightStep, InvariantBroken> {
    let Some(WireMessage::Reply(reply)) = state.air[usize::from(run.attempt)].take() else {
        return Ok(FlightStep::Waiting(run, state.now));
    };
    // The negative control hands the token out here.
    match reply {
        reply if reply.brings().is_some() && !world.design.durable_first => {
            Err(InvariantBroken::ReleasedTooEarly)
        }
        _ => Ok(FlightStep::Received(run, reply)),
    }
}

fn note_durable(state: &mut ModelState, run: Run, reply: Reply) {
    if let Reply::Accepted { token, .. } | Reply::Odd { token, .. } = reply
        && token.is_some_and(|token| token != run.seen.token)
    {
        state.truth.answered = state.truth.answered.max(Some(run.seen.token));
    }
    let Some(token) = reply.token() else {
        return;
    };
    let of_sign_in = token.family == state.truth.signed_in.1;
    if of_sign_in && state.truth.durable.is_none_or(|known| known < token) {
        state.truth.durable = Some(token);
    }
}

/// The answer to an exchange of which nothing more can come.
pub fn lost(state: &mut ModelState, process: u8, kind: UnknownKind) {
    let Some(FlightStep::Waiting(run, _)) = state.processes[usize::from(process)].map(|p| p.step)
    else {
        return;
    };
    state.air[usize::from(run.attempt)] = None;
    if run.seen.probe {
        release(state, run.attempt);
    } else {
        let now = state.now;
        mark_unknown(state, run.attempt, (kind, now));
    }
    put(state, process, FlightStep::Idle);
}

fn made(seen: SeenState, (token, issued): (Option<ModelToken>, Tick)) -> Shelved {
    Shelved {
        lineage: seen.lineage,
        generation: seen.generation + 1,
        token,
        issued,
    }
}

fn conclude(state: &mut ModelState, world: &ModelWorld, run: Run, reply: Reply) -> FlightStep {
    let seen = run.seen;
    match reply {
        // The negative controls read what is odd, and not the tokens.
        Reply::Odd { shape, .. } if is_overlooked(world.design, shape) => {
            settle_unsent(state, run);
            end(state, run)
        }
        Reply::Odd {
            shape: Shape::Unreadable,
            token,
            issued,
        } => keep_unread(state, world, run, made(seen, (token, issued))),
        Reply::Odd {
            shape: Shape::RefreshAlone,
            token,
            ..
        } => keep_alone(state, run, token),
        Reply::Accepted { token, issued } | Reply::Odd { token, issued, .. } => {
            let brings = made(seen, (token, issued));
            let spent = (seen.lineage, seen.generation);
            let how = commit(state, world, spent, (brings, seen.forced));
            FlightStep::Committed(run, brings, how)
        }
        Reply::Transient => {
            settle_unsent(state, run);
            end(state, run)
        }
        Reply::Refused if seen.probe => {
            settle_unsent(state, run);
            end(state, run)
        }
        Reply::Refused => refuse(state, world, run),
    }
}

fn is_overlooked(design: Design, shape: Shape) -> bool {
    match shape {
        Shape::Beside => !design.tokens_win,
        Shape::Unreadable => !design.unread_spends,
        Shape::RefreshAlone => false,
    }
}

/// What can't be read is kept, and its outcome is unknown. The journal goes on to say that something was sent.
fn keep_unread(
    state: &mut ModelState,
    world: &ModelWorld,
    run: Run,
    unread: Shelved,
) -> FlightStep {
    if run.seen.probe {
        settle_unsent(state, run);
        return end(state, run);
    }
    let older = state
        .shelf
        .unread
        .is_none_or(|kept| (kept.lineage, kept.generation) <= (unread.lineage, unread.generation));
    if older {
        state.shelf.unread = Some(unread);
    }
    let now = state.now;
    mark_unknown(state, run.attempt, (UnknownKind::UnreadTokens, now));
    write(state, world, run.attempt, Written::Sending);
    FlightStep::Idle
}

/// A refresh token without an access token takes the place of the one that was sent, within its generation.
fn keep_alone(state: &mut ModelState, run: Run, token: Option<ModelToken>) -> FlightStep {
    let row = &mut state.row;
    let as_read = (row.lineage, row.generation) == (run.seen.lineage, run.seen.generation);
    let mine = row.claim.is_some_and(|claim| claim.attempt == run.attempt);
    let held = mine || row.token == Some(run.seen.token);
    if as_read && held && row.lifecycle != Lifecycle::Revoked {
        row.token = token.or(row.token);
        if let Some(claim) = &mut row.claim
            && mine
        {
            claim.unknown = None;
        }
        release(state, run.attempt);
    }
    end(state, run)
}

/// By compare-and-set on lineage and generation; never out of `suspended` or `revoked`.
fn commit(
    state: &mut ModelState,
    world: &ModelWorld,
    (lineage, generation): (u8, u8),
    (brings, after_rejection): (Shelved, bool),
) -> Committed {
    let row = &mut state.row;
    if row.lifecycle == Lifecycle::Revoked {
        return Committed::Revoked;
    }
    let same = row.generation == generation || !world.design.generation_compared;
    if row.lineage != lineage || !same {
        return Committed::Superseded;
    }
    row.generation = brings.generation;
    row.token = brings.token.or(row.token);
    row.access = Access {
        generation: brings.generation,
        issued: brings.issued,
        after_rejection,
    };
    row.claim = None;
    row.probed = None;
    if row.lifecycle != Lifecycle::Suspended {
        row.lifecycle = Lifecycle::Active;
    }
    state.rejected = None;
    Committed::Yes
}

/// Candidates first; then the grant is in quarantine.
fn refuse(state: &mut ModelState, world: &ModelWorld, run: Run) -> FlightStep {
    let from = if world.design.newer_candidates {
        run.seen.generation
    } else {
        0
    };
    while let Some(candidate) = state.shelf.take_late(run.seen.lineage, from) {
        let another = |token| token != run.seen.token;
        if candidate.token.is_some_and(another) {
            return FlightStep::Trying(run, candidate);
        }
    }
    let row = &mut state.row;
    let holds = row.claim.is_some_and(|claim| claim.attempt == run.attempt) || !world.design.claim;
    let as_read = (row.lineage, row.generation) == (run.seen.lineage, run.seen.generation);
    if holds && as_read && row.lifecycle == Lifecycle::Active {
        row.lifecycle = Lifecycle::Lost {
            reason: reason_of(run.seen.number),
            since: state.now,
        };
        row.claim = None;
    } else if world.design.refusal_settles {
        settle_unsent(state, run);
    }
    end(state, run)
}

fn reason_of(number: u8) -> ReauthorizeReason {
    if number <= 1 {
        ReauthorizeReason::RefreshRefused
    } else {
        ReauthorizeReason::UnknownOutcome
    }
}

fn try_candidate(
    state: &mut ModelState,
    world: &ModelWorld,
    run: Run,
    candidate: Shelved,
) -> FlightStep {
    let spent = (run.seen.lineage, run.seen.generation);
    let generation = run.seen.generation + 1;
    let brings = Shelved {
        generation,
        ..candidate
    };
    match commit(state, world, spent, (brings, false)) {
        Committed::Yes => end(state, run),
        Committed::Superseded | Committed::Revoked => refuse(state, world, run),
    }
}

/// Beside the store, in the place of the answer before it.
fn keep(state: &mut ModelState, world: &ModelWorld, made: Shelved) {
    let at = |shelved: Shelved| (shelved.lineage, shelved.generation);
    let older = state.shelf.kept.is_none_or(|kept| at(kept) < at(made));
    if older || !world.design.keeps_newest {
        state.shelf.kept = Some(made);
    }
}

/// After the commit: the shelf, or the revocation of what came too late. Then the journal goes.
fn tidy(
    state: &mut ModelState,
    world: &ModelWorld,
    run: Run,
    (made, how): (Shelved, Committed),
) -> FlightStep {
    match how {
        Committed::Yes => keep(state, world, made),
        // It was this very answer that the other one committed.
        Committed::Superseded if made.token.is_some() && state.row.token == made.token => {
            keep(state, world, made);
        }
        // It was, and a refresh token that came alone has taken the place of its own since.
        Committed::Superseded if state.shelf.kept == Some(made) => {}
        Committed::Superseded => state.shelf.set_aside(made),
        Committed::Revoked => {
            let now = state.now;
            if let Some(token) = made.token {
                state.provider.revoke(world.class, token, now);
            }
        }
    }
    end(state, run)
}
