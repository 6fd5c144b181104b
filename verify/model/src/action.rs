//! Everything that can happen next: a process's step, the network, time, a fault, a person.

use std::fmt;

use authkeeper::model::UnknownKind;

use crate::{
    bridge,
    flight::{self, ModelWorld},
    invariant::{self, InvariantBroken},
    state::{
        Access, Copied, FlightStep, Lifecycle, ModelGrant, ModelState, Reply, Shape, Shelf, Tick,
        WireMessage,
    },
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelAction {
    /// A caller or the keeper in an idle process looks at the grant.
    Look(u8),
    /// A process's flight takes its next step.
    Step(u8),
    /// A process hears that its exchange broke, or hears nothing for too long.
    Lost(u8, UnknownKind),
    /// The provider acts on the request of an attempt.
    Deliver(u8),
    /// It acts, and answers with tokens in an odd shape.
    DeliverOdd(u8, Shape),
    LoseRequest(u8),
    LoseReply(u8),
    Kill(u8),
    Restart(u8),
    Tick,
    Leap,
    /// The resource refuses the current access token.
    Reject,
    BeginSignIn,
    EndSignIn,
    Disconnect,
    /// The provider is asked to revoke, and what is known is forgotten.
    Forget,
    Suspend,
    Resume,
    Copy,
    Restore,
    /// Restored with the journals and the shelf.
    Rewind,
    Outage,
    Return,
    Disable,
    Enable,
    /// From now on answers can be read that could not be.
    Upgrade,
}

impl fmt::Display for ModelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Look(process) => write!(f, "process {process} looks at the grant"),
            Self::Step(process) => write!(f, "process {process} goes on"),
            Self::Lost(process, kind) => {
                write!(
                    f,
                    "process {process} gives up its exchange: {}",
                    kind.as_str()
                )
            }
            Self::Deliver(attempt) => write!(f, "the provider acts on attempt {attempt}"),
            Self::DeliverOdd(attempt, shape) => {
                write!(f, "the provider answers attempt {attempt} oddly: {shape:?}")
            }
            Self::LoseRequest(attempt) => write!(f, "the request of attempt {attempt} is lost"),
            Self::LoseReply(attempt) => write!(f, "the reply to attempt {attempt} is lost"),
            Self::Kill(process) => write!(f, "process {process} is killed"),
            Self::Restart(process) => write!(f, "process {process} is started again"),
            Self::Leap => f.write_str("more than six hours pass"),
            Self::Tick => f.write_str("100 s pass"),
            Self::Reject => f.write_str("the resource answers 401"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// More than six hours, after which a refused token is probed.
const LEAP: Tick = 220;

/// What can happen in a state.
pub fn possible(state: &ModelState, world: &ModelWorld) -> Vec<ModelAction> {
    let mut all = Vec::with_capacity(24);
    of_processes(state, &mut all);
    of_network(state, &mut all);
    of_odd_answers(state, world, &mut all);
    of_time(state, world, &mut all);
    of_persons(state, &mut all);
    of_store(state, &mut all);
    of_provider(state, &mut all);
    all
}

fn of_processes(state: &ModelState, all: &mut Vec<ModelAction>) {
    for (process, id) in state.processes.iter().zip(0_u8..) {
        let Some(process) = process else { continue };
        if !process.alive {
            all.push(ModelAction::Restart(id));
            continue;
        }
        if process.step == FlightStep::Idle {
            all.push(ModelAction::Look(id));
        } else if flight::can_step(state, process) {
            all.push(ModelAction::Step(id));
        }
        if state.left.kills > 0 && process.step.run().is_some() {
            all.push(ModelAction::Kill(id));
        }
        if let FlightStep::Waiting(run, since) = process.step {
            let message = state.air[usize::from(run.attempt)];
            if message.is_none() {
                all.push(ModelAction::Lost(id, UnknownKind::Reset));
            }
            // A request that was neither acted on nor lost by then is not modelled: 009 says why.
            let listened = bridge::ticks(state.now - since) >= bridge::EXCHANGE_LIMIT;
            let unsettled = matches!(message, Some(WireMessage::Request { .. }));
            if listened && !unsettled && (message.is_none() || state.left.losses > 0) {
                all.push(ModelAction::Lost(id, UnknownKind::Silence));
            }
        }
    }
}

fn of_network(state: &ModelState, all: &mut Vec<ModelAction>) {
    for (message, attempt) in state.air.iter().zip(0_u8..) {
        match message {
            Some(WireMessage::Request { closed, .. }) => {
                all.push(ModelAction::Deliver(attempt));
                if *closed || state.left.losses > 0 {
                    all.push(ModelAction::LoseRequest(attempt));
                }
            }
            Some(WireMessage::Reply(_)) if state.left.losses > 0 => {
                all.push(ModelAction::LoseReply(attempt));
            }
            None | Some(WireMessage::Reply(_)) => {}
        }
    }
}

fn of_odd_answers(state: &ModelState, world: &ModelWorld, all: &mut Vec<ModelAction>) {
    if state.left.upgrades > 0 && state.shelf.unread.is_some() {
        all.push(ModelAction::Upgrade);
    }
    if state.left.odd == 0 || !state.provider.up || !state.provider.enabled {
        return;
    }
    for (message, attempt) in state.air.iter().zip(0_u8..) {
        // An answer that nobody reads has no shape.
        let Some(WireMessage::Request {
            token,
            closed: false,
            ..
        }) = message
        else {
            continue;
        };
        if state.provider.is_good(world.class, *token, state.now) {
            let shapes = [Shape::Beside, Shape::Unreadable, Shape::RefreshAlone];
            all.extend(shapes.map(|shape| ModelAction::DeliverOdd(attempt, shape)));
        }
    }
}

fn of_time(state: &ModelState, world: &ModelWorld, all: &mut Vec<ModelAction>) {
    // A request is acted on within two steps or never; one whose sender is dead, within the quiet period or never.
    let in_air = state.air.iter().flatten();
    let ages = in_air.filter_map(|message| match message {
        WireMessage::Request { closed: true, .. } if world.design.quiet_period => Some(Tick::MAX),
        WireMessage::Request { issued, .. } => Some(state.now - issued),
        WireMessage::Reply(_) => None,
    });
    let oldest = ages.max();
    if state.left.ticks > 0 && oldest.is_none_or(|age| age < 2) {
        all.push(ModelAction::Tick);
    }
    let idle = state.live().all(|process| process.step == FlightStep::Idle);
    if state.left.leaps > 0 && oldest.is_none() && idle {
        all.push(ModelAction::Leap);
    }
}

fn of_persons(state: &ModelState, all: &mut Vec<ModelAction>) {
    let serves = bridge::serve(state).as_str().starts_with("serve");
    if state.left.rejections > 0 && state.rejected.is_none() && serves {
        all.push(ModelAction::Reject);
    }
    match state.signing {
        Some(_) => all.push(ModelAction::EndSignIn),
        None if state.left.sign_ins > 0 => all.push(ModelAction::BeginSignIn),
        None => {}
    }
    let connected = !state.truth.disconnected && !state.leaving;
    if state.left.disconnects > 0 && connected {
        all.push(ModelAction::Disconnect);
    }
    if state.leaving {
        all.push(ModelAction::Forget);
    }
    match state.row.lifecycle {
        Lifecycle::Active if state.left.suspensions > 0 => all.push(ModelAction::Suspend),
        Lifecycle::Suspended => all.push(ModelAction::Resume),
        _ => {}
    }
}

fn of_store(state: &ModelState, all: &mut Vec<ModelAction>) {
    if state.left.restores + state.left.rewinds == 0 {
        return;
    }
    if state.copied.is_none() {
        all.push(ModelAction::Copy);
        return;
    }
    let idle = state.live().all(|process| process.step == FlightStep::Idle);
    let quiet = idle && state.air.iter().all(Option::is_none);
    if !quiet && !state.left.busy {
        return;
    }
    if state.left.restores > 0 {
        all.push(ModelAction::Restore);
    }
    if state.left.rewinds > 0 {
        all.push(ModelAction::Rewind);
    }
}

fn of_provider(state: &ModelState, all: &mut Vec<ModelAction>) {
    match state.provider.up {
        true if state.left.outages > 0 => all.push(ModelAction::Outage),
        true => {}
        false => all.push(ModelAction::Return),
    }
    match state.provider.enabled {
        true if state.left.disablings > 0 => all.push(ModelAction::Disable),
        true => {}
        false => all.push(ModelAction::Enable),
    }
}

/// The state after it, or what it breaks.
pub fn apply(
    before: &ModelState,
    world: &ModelWorld,
    action: ModelAction,
) -> Result<ModelState, InvariantBroken> {
    let mut state = *before;
    happen(&mut state, world, action)?;
    let unbound = matches!(
        action,
        ModelAction::EndSignIn | ModelAction::Resume | ModelAction::Restore | ModelAction::Rewind
    );
    if !unbound {
        invariant::moved(before, &state)?;
    }
    invariant::standing(&state, world)?;
    Ok(state)
}

fn happen(
    state: &mut ModelState,
    world: &ModelWorld,
    action: ModelAction,
) -> Result<(), InvariantBroken> {
    match action {
        ModelAction::Look(process) => return flight::look(state, world, process),
        ModelAction::Step(process) => return flight::step(state, world, process),
        ModelAction::Deliver(attempt) => return deliver(state, world, attempt, None),
        ModelAction::DeliverOdd(attempt, shape) => {
            state.left.odd -= 1;
            return deliver(state, world, attempt, Some(shape));
        }
        ModelAction::Upgrade => {
            state.upgraded = true;
            state.left.upgrades -= 1;
        }
        ModelAction::Lost(process, kind) => flight::lost(state, process, kind),
        ModelAction::LoseRequest(attempt) | ModelAction::LoseReply(attempt) => lose(state, attempt),
        ModelAction::Kill(process) => kill(state, process),
        ModelAction::Restart(process) => restart(state, process),
        ModelAction::Tick => {
            state.now += 1;
            state.left.ticks -= 1;
        }
        ModelAction::Leap => {
            state.now += LEAP;
            state.left.leaps -= 1;
        }
        ModelAction::Reject => {
            state.rejected = Some(state.row.access.generation);
            state.left.rejections -= 1;
        }
        ModelAction::BeginSignIn => {
            state.signing = Some((state.row.lineage, state.row.generation));
            state.left.sign_ins -= 1;
        }
        ModelAction::EndSignIn => sign_in(state, world),
        ModelAction::Disconnect => disconnect(state),
        ModelAction::Forget => forget(state, world),
        ModelAction::Suspend => {
            state.row.lifecycle = Lifecycle::Suspended;
            state.left.suspensions -= 1;
        }
        ModelAction::Resume => state.row.lifecycle = Lifecycle::Active,
        ModelAction::Copy => copy(state),
        ModelAction::Restore => restore(state, false),
        ModelAction::Rewind => restore(state, true),
        ModelAction::Outage => {
            state.provider.up = false;
            state.left.outages -= 1;
        }
        ModelAction::Return => state.provider.up = true,
        ModelAction::Disable => {
            state.provider.enabled = false;
            state.left.disablings -= 1;
        }
        ModelAction::Enable => state.provider.enabled = true,
    }
    Ok(())
}

fn deliver(
    state: &mut ModelState,
    world: &ModelWorld,
    attempt: u8,
    shape: Option<Shape>,
) -> Result<(), InvariantBroken> {
    let place = usize::from(attempt);
    let Some(WireMessage::Request {
        token,
        issued,
        closed,
    }) = state.air[place]
    else {
        return Ok(());
    };
    let mut answer = state.provider.act(world.class, token, (issued, state.now));
    if let (Some(shape), Some((token, issued))) = (shape, answer.reply.brings()) {
        answer.reply = Reply::Odd {
            shape,
            token,
            issued,
        };
    }
    state.air[place] = (!closed).then_some(WireMessage::Reply(answer.reply));
    answer
        .killed
        .map_or(Ok(()), |family| invariant::killed(state, family))
}

fn lose(state: &mut ModelState, attempt: u8) {
    let message = state.air[usize::from(attempt)].take();
    let free = matches!(message, Some(WireMessage::Request { closed: true, .. }));
    if !free {
        state.left.losses -= 1;
    }
}

fn kill(state: &mut ModelState, process: u8) {
    state.left.kills -= 1;
    let Some(process) = &mut state.processes[usize::from(process)] else {
        return;
    };
    let step = process.step;
    process.alive = false;
    process.step = FlightStep::Idle;
    let FlightStep::Waiting(run, _) = step else {
        return;
    };
    let message = &mut state.air[usize::from(run.attempt)];
    match message {
        Some(WireMessage::Request { closed, .. }) => *closed = true,
        _ => *message = None,
    }
}

fn restart(state: &mut ModelState, process: u8) {
    if let Some(process) = &mut state.processes[usize::from(process)] {
        process.alive = true;
        process.life += 1;
    }
}

/// What [`authkeeper::store::Store`]'s `adopt` writes: it looks the row up again until nothing has moved.
fn sign_in(state: &mut ModelState, world: &ModelWorld) {
    let Some((lineage, generation)) = state.signing.take() else {
        return;
    };
    let row = state.row;
    let moved = row.lineage != lineage || row.generation != generation;
    if moved && !world.design.sign_in_by_lineage {
        state.truth.sign_in_lost = true;
        return;
    }
    let Some(token) = state.provider.issue_family(state.now) else {
        return;
    };
    let lineage = if world.design.fresh_lineage {
        state.truth.lineages + 1
    } else {
        row.lineage + 1
    };
    let generation = row.generation + 1;
    state.row = ModelGrant {
        lineage,
        generation,
        lifecycle: Lifecycle::Active,
        token: Some(token),
        access: Access {
            generation,
            issued: state.now,
            after_rejection: false,
        },
        claim: None,
        probed: None,
    };
    state.rejected = None;
    state.leaving = false;
    let truth = &mut state.truth;
    truth.lineages = truth.lineages.max(lineage);
    truth.signed_in = (lineage, token.family);
    truth.durable = Some(token);
    truth.disconnected = false;
}

fn disconnect(state: &mut ModelState) {
    state.left.disconnects -= 1;
    state.row.lifecycle = Lifecycle::Revoked;
    state.leaving = true;
    state.truth.disconnected = true;
}

fn forget(state: &mut ModelState, world: &ModelWorld) {
    state.leaving = false;
    let now = state.now;
    if let Some(token) = state.row.token.take() {
        state.provider.revoke(world.class, token, now);
    }
    state.shelf = Shelf::default();
}

fn copy(state: &mut ModelState) {
    state.copied = Some(Copied {
        row: state.row,
        journals: state.journals,
        shelf: state.shelf,
    });
}

fn restore(state: &mut ModelState, neighbours: bool) {
    let Some(copied) = state.copied.take() else {
        return;
    };
    state.row = copied.row;
    if neighbours {
        state.left.rewinds -= 1;
        state.journals = copied.journals;
        state.shelf = copied.shelf;
        state.truth.durable = None;
        state.truth.answered = None;
    } else {
        state.left.restores -= 1;
    }
    let family = state.row.token.map_or(0, |token| token.family);
    if state.truth.signed_in != (state.row.lineage, family) {
        state.truth.signed_in = (state.row.lineage, family);
        state.truth.durable = None;
    }
    state.truth.disconnected = state.row.lifecycle == Lifecycle::Revoked;
    state.truth.restored = true;
    state.leaving = false;
}
