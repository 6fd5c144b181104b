//! Everything that can happen next: a process's step, the network, time, a fault, a person.

use std::fmt;

use authkeeper::model::UnknownKind;

use crate::{
    bridge,
    flight::{self, World},
    invariant::{self, Broken},
    state::{Access, Copied, Lifecycle, Message, Reply, Row, Shape, Shelf, State, Step, Tick},
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
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

impl fmt::Display for Action {
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
pub fn possible(state: &State, world: &World) -> Vec<Action> {
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

fn of_processes(state: &State, all: &mut Vec<Action>) {
    for (process, id) in state.processes.iter().zip(0_u8..) {
        let Some(process) = process else { continue };
        if !process.alive {
            all.push(Action::Restart(id));
            continue;
        }
        if process.step == Step::Idle {
            all.push(Action::Look(id));
        } else if flight::can_step(state, process) {
            all.push(Action::Step(id));
        }
        if state.left.kills > 0 && process.step.run().is_some() {
            all.push(Action::Kill(id));
        }
        if let Step::Waiting(run, since) = process.step {
            let message = state.air[usize::from(run.attempt)];
            if message.is_none() {
                all.push(Action::Lost(id, UnknownKind::Reset));
            }
            // A request that was neither acted on nor lost by then is not modelled: 009 says why.
            let listened = bridge::ticks(state.now - since) >= bridge::EXCHANGE_LIMIT;
            let unsettled = matches!(message, Some(Message::Request { .. }));
            if listened && !unsettled && (message.is_none() || state.left.losses > 0) {
                all.push(Action::Lost(id, UnknownKind::Silence));
            }
        }
    }
}

fn of_network(state: &State, all: &mut Vec<Action>) {
    for (message, attempt) in state.air.iter().zip(0_u8..) {
        match message {
            Some(Message::Request { closed, .. }) => {
                all.push(Action::Deliver(attempt));
                if *closed || state.left.losses > 0 {
                    all.push(Action::LoseRequest(attempt));
                }
            }
            Some(Message::Reply(_)) if state.left.losses > 0 => {
                all.push(Action::LoseReply(attempt));
            }
            None | Some(Message::Reply(_)) => {}
        }
    }
}

fn of_odd_answers(state: &State, world: &World, all: &mut Vec<Action>) {
    if state.left.upgrades > 0 && state.shelf.unread.is_some() {
        all.push(Action::Upgrade);
    }
    if state.left.odd == 0 || !state.provider.up || !state.provider.enabled {
        return;
    }
    for (message, attempt) in state.air.iter().zip(0_u8..) {
        // An answer that nobody reads has no shape.
        let Some(Message::Request {
            token,
            closed: false,
            ..
        }) = message
        else {
            continue;
        };
        if state.provider.is_good(world.class, *token, state.now) {
            let shapes = [Shape::Beside, Shape::Unreadable, Shape::RefreshAlone];
            all.extend(shapes.map(|shape| Action::DeliverOdd(attempt, shape)));
        }
    }
}

fn of_time(state: &State, world: &World, all: &mut Vec<Action>) {
    // A request is acted on within two steps or never; one whose sender is dead, within the quiet period or never.
    let in_air = state.air.iter().flatten();
    let ages = in_air.filter_map(|message| match message {
        Message::Request { closed: true, .. } if world.design.quiet_period => Some(Tick::MAX),
        Message::Request { issued, .. } => Some(state.now - issued),
        Message::Reply(_) => None,
    });
    let oldest = ages.max();
    if state.left.ticks > 0 && oldest.is_none_or(|age| age < 2) {
        all.push(Action::Tick);
    }
    let idle = state.live().all(|process| process.step == Step::Idle);
    if state.left.leaps > 0 && oldest.is_none() && idle {
        all.push(Action::Leap);
    }
}

fn of_persons(state: &State, all: &mut Vec<Action>) {
    let serves = bridge::serve(state).as_str().starts_with("serve");
    if state.left.rejections > 0 && state.rejected.is_none() && serves {
        all.push(Action::Reject);
    }
    match state.signing {
        Some(_) => all.push(Action::EndSignIn),
        None if state.left.sign_ins > 0 => all.push(Action::BeginSignIn),
        None => {}
    }
    let connected = !state.truth.disconnected && !state.leaving;
    if state.left.disconnects > 0 && connected {
        all.push(Action::Disconnect);
    }
    if state.leaving {
        all.push(Action::Forget);
    }
    match state.row.lifecycle {
        Lifecycle::Active if state.left.suspensions > 0 => all.push(Action::Suspend),
        Lifecycle::Suspended => all.push(Action::Resume),
        _ => {}
    }
}

fn of_store(state: &State, all: &mut Vec<Action>) {
    if state.left.restores + state.left.rewinds == 0 {
        return;
    }
    if state.copied.is_none() {
        all.push(Action::Copy);
        return;
    }
    let idle = state.live().all(|process| process.step == Step::Idle);
    let quiet = idle && state.air.iter().all(Option::is_none);
    if !quiet && !state.left.busy {
        return;
    }
    if state.left.restores > 0 {
        all.push(Action::Restore);
    }
    if state.left.rewinds > 0 {
        all.push(Action::Rewind);
    }
}

fn of_provider(state: &State, all: &mut Vec<Action>) {
    match state.provider.up {
        true if state.left.outages > 0 => all.push(Action::Outage),
        true => {}
        false => all.push(Action::Return),
    }
    match state.provider.enabled {
        true if state.left.disablings > 0 => all.push(Action::Disable),
        true => {}
        false => all.push(Action::Enable),
    }
}

/// The state after it, or what it breaks.
pub fn apply(before: &State, world: &World, action: Action) -> Result<State, Broken> {
    let mut state = *before;
    happen(&mut state, world, action)?;
    let unbound = matches!(
        action,
        Action::EndSignIn | Action::Resume | Action::Restore | Action::Rewind
    );
    if !unbound {
        invariant::moved(before, &state)?;
    }
    invariant::standing(&state, world)?;
    Ok(state)
}

fn happen(state: &mut State, world: &World, action: Action) -> Result<(), Broken> {
    match action {
        Action::Look(process) => return flight::look(state, world, process),
        Action::Step(process) => return flight::step(state, world, process),
        Action::Deliver(attempt) => return deliver(state, world, attempt, None),
        Action::DeliverOdd(attempt, shape) => {
            state.left.odd -= 1;
            return deliver(state, world, attempt, Some(shape));
        }
        Action::Upgrade => {
            state.upgraded = true;
            state.left.upgrades -= 1;
        }
        Action::Lost(process, kind) => flight::lost(state, process, kind),
        Action::LoseRequest(attempt) | Action::LoseReply(attempt) => lose(state, attempt),
        Action::Kill(process) => kill(state, process),
        Action::Restart(process) => restart(state, process),
        Action::Tick => {
            state.now += 1;
            state.left.ticks -= 1;
        }
        Action::Leap => {
            state.now += LEAP;
            state.left.leaps -= 1;
        }
        Action::Reject => {
            state.rejected = Some(state.row.access.generation);
            state.left.rejections -= 1;
        }
        Action::BeginSignIn => {
            state.signing = Some((state.row.lineage, state.row.generation));
            state.left.sign_ins -= 1;
        }
        Action::EndSignIn => sign_in(state, world),
        Action::Disconnect => disconnect(state),
        Action::Forget => forget(state, world),
        Action::Suspend => {
            state.row.lifecycle = Lifecycle::Suspended;
            state.left.suspensions -= 1;
        }
        Action::Resume => state.row.lifecycle = Lifecycle::Active,
        Action::Copy => copy(state),
        Action::Restore => restore(state, false),
        Action::Rewind => restore(state, true),
        Action::Outage => {
            state.provider.up = false;
            state.left.outages -= 1;
        }
        Action::Return => state.provider.up = true,
        Action::Disable => {
            state.provider.enabled = false;
            state.left.disablings -= 1;
        }
        Action::Enable => state.provider.enabled = true,
    }
    Ok(())
}

fn deliver(
    state: &mut State,
    world: &World,
    attempt: u8,
    shape: Option<Shape>,
) -> Result<(), Broken> {
    let place = usize::from(attempt);
    let Some(Message::Request {
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
    state.air[place] = (!closed).then_some(Message::Reply(answer.reply));
    answer
        .killed
        .map_or(Ok(()), |family| invariant::killed(state, family))
}

fn lose(state: &mut State, attempt: u8) {
    let message = state.air[usize::from(attempt)].take();
    let free = matches!(message, Some(Message::Request { closed: true, .. }));
    if !free {
        state.left.losses -= 1;
    }
}

fn kill(state: &mut State, process: u8) {
    state.left.kills -= 1;
    let Some(process) = &mut state.processes[usize::from(process)] else {
        return;
    };
    let step = process.step;
    process.alive = false;
    process.step = Step::Idle;
    let Step::Waiting(run, _) = step else {
        return;
    };
    let message = &mut state.air[usize::from(run.attempt)];
    match message {
        Some(Message::Request { closed, .. }) => *closed = true,
        _ => *message = None,
    }
}

fn restart(state: &mut State, process: u8) {
    if let Some(process) = &mut state.processes[usize::from(process)] {
        process.alive = true;
        process.life += 1;
    }
}

/// What [`authkeeper::store::Store`]'s `adopt` writes: it looks the row up again until nothing has moved.
fn sign_in(state: &mut State, world: &World) {
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
    state.row = Row {
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

fn disconnect(state: &mut State) {
    state.left.disconnects -= 1;
    state.row.lifecycle = Lifecycle::Revoked;
    state.leaving = true;
    state.truth.disconnected = true;
}

fn forget(state: &mut State, world: &World) {
    state.leaving = false;
    let now = state.now;
    if let Some(token) = state.row.token.take() {
        state.provider.revoke(world.class, token, now);
    }
    state.shelf = Shelf::default();
}

fn copy(state: &mut State) {
    state.copied = Some(Copied {
        row: state.row,
        journals: state.journals,
        shelf: state.shelf,
    });
}

fn restore(state: &mut State, neighbours: bool) {
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
