//! The simulated world: time, events to come, processes, the provider, what is on its way, and what is seen of it all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use authkeeper::{
    model::{BootId, BootStamp, Moment},
    platform::tasks::Work,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    air::Air,
    coverage::Coverage,
    disk::Disk,
    fault::{Armed, Checkpoint, Fault},
    provider::{SimProvider, SimToken},
    random::Dice,
    schedule::Controls,
    store::{self, Shared},
    truth::{GroundTruth, Violation},
};

/// A process's place in [`SimWorld::processes`].
pub type ProcessId = usize;

/// One second after 2026-01-01.
const EPOCH: i64 = 1_767_225_601;

/// What is to happen at a time.
pub enum SimEvent {
    Wake(Waker),
    /// The provider acts on a request.
    Act(u64),
    /// Its answer arrives.
    Arrive(u64),
    /// The connection breaks.
    Break(u64),
    Resume(ProcessId),
    Start,
    Call(TokenCall),
    /// A copy of the store is taken.
    Copy,
    EnableAccount,
    Restore,
}

/// What one caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCall {
    Plain,
    /// As much time as can be had.
    MuchTime,
    /// After a 401 with the token that is current.
    Rejected,
}

/// What the driver does before anything else.
pub enum Todo {
    DropCallers(ProcessId),
    SignIn,
    Disconnect,
    Suspend,
    PutBack { all: bool },
    Call(TokenCall),
}

/// What kind of work a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    Caller,
    Person,
    RefreshScheduler,
    Flight,
    Disk,
}

pub struct Spawned {
    pub process: ProcessId,
    pub kind: TaskKind,
    pub work: Work,
}

/// One process as the world sees it.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own")]
pub struct SimProcess {
    pub alive: bool,
    pub stopped_until: Option<Duration>,
    pub step: Checkpoint,
    /// What befalls its next write to the store.
    pub store_fault: Option<Fault>,
    pub file_fault: bool,
    /// What befalls its next connection or request.
    pub wire_fault: Option<Fault>,
    /// A person's command.
    pub command: bool,
    /// The answer to the write that is under way is lost.
    pub unanswered: bool,
}

impl SimProcess {
    pub fn new(command: bool) -> Self {
        Self {
            alive: true,
            stopped_until: None,
            step: Checkpoint::Arguments,
            store_fault: None,
            file_fault: false,
            wire_fault: None,
            command,
            unanswered: false,
        }
    }
}

pub struct SimWorld {
    pub dice: Dice,
    pub now: Duration,
    wall_offset: SignedDuration,
    boot: (u128, Duration),
    queue: BTreeMap<(Duration, u64), SimEvent>,
    sequence: u64,
    pub spawned: Vec<Spawned>,
    pub processes: Vec<SimProcess>,
    pub provider: SimProvider,
    pub air: Air,
    pub disk: Disk,
    pub armed: Vec<Armed>,
    pub todo: Vec<Todo>,
    pub truth: GroundTruth,
    pub coverage: Coverage,
    /// Lines for a person, if anybody reads them.
    pub trace: Option<Vec<String>>,
    pub broken: Option<Violation>,
    pub controls: Controls,
    pub stores: Vec<Shared>,
    /// The tokens in the files at a version of them.
    pub in_files: (u64, Vec<SimToken>),
}

/// A handle of the world.
#[derive(Clone)]
pub struct Sim {
    world: Arc<Mutex<SimWorld>>,
    pub rows: Vec<Shared>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Sim {
    pub fn new(world: SimWorld) -> Self {
        Self {
            rows: world.stores.clone(),
            world: Arc::new(Mutex::new(world)),
            ready: Arc::default(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, SimWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tasks that can go on.
    pub fn ready(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store of a process; all have the same, unless a control says otherwise.
    pub fn rows_of(&self, process: ProcessId) -> &Shared {
        let place = process % self.rows.len().max(1);
        self.rows.get(place).unwrap_or(&self.rows[0])
    }

    pub fn rows(&self) -> MutexGuard<'_, store::StoreRows> {
        store::lock(&self.rows[0])
    }

    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.lock().is_alive(process)
    }

    /// A process has come this far; a fault that waits for that strikes now.
    pub fn pass(&self, process: ProcessId, step: Checkpoint) {
        self.lock().pass(process, step);
    }
}

impl SimWorld {
    pub fn new(seed: u64, provider: SimProvider, controls: Controls) -> Self {
        let stores = if controls.two_stores { 2 } else { 1 };
        Self {
            dice: Dice::new(seed),
            now: Duration::from_hours(1),
            wall_offset: SignedDuration::ZERO,
            boot: (1, Duration::ZERO),
            queue: BTreeMap::new(),
            sequence: 0,
            spawned: vec![],
            processes: vec![],
            provider,
            air: Air::default(),
            disk: Disk::default(),
            armed: vec![],
            todo: vec![],
            truth: GroundTruth::default(),
            coverage: Coverage::default(),
            trace: None,
            broken: None,
            controls,
            stores: (0..stores).map(|_| Shared::default()).collect(),
            in_files: (u64::MAX, vec![]),
        }
    }

    /// What the clocks of the machine say.
    pub fn moment(&self) -> Moment {
        let wall = Timestamp::from_second(EPOCH).unwrap_or_default();
        let wall = wall.saturating_add(self.now).unwrap_or(wall);
        let wall = wall.saturating_add(self.wall_offset).unwrap_or(wall);
        let (id, started) = self.boot;
        Moment {
            wall: Timestamp::from_millisecond(wall.as_millisecond()).unwrap_or(wall),
            boot: BootStamp {
                id: BootId(id),
                since: self.now.saturating_sub(started),
            },
        }
    }

    /// Whether the wall clock tells another time than it should.
    pub fn wall_was_stepped(&self) -> bool {
        !self.wall_offset.is_zero()
    }

    pub fn step_wall(&mut self, by: SignedDuration) {
        self.wall_offset = self.wall_offset.saturating_add(by);
    }

    pub fn reboot(&mut self) {
        self.boot = (self.boot.0 + 1, self.now);
    }

    pub fn at(&mut self, at: Duration, event: SimEvent) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub fn after(&mut self, wait: Duration, event: SimEvent) {
        self.at(self.now + wait, event);
    }

    /// The time of the next event.
    pub fn next_time(&self) -> Option<Duration> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Everything that is still to happen.
    #[must_use]
    pub fn forget(&mut self) -> impl Sized + use<> {
        let queue = std::mem::take(&mut self.queue);
        (queue, std::mem::take(&mut self.air))
    }

    /// One of the events whose time has come.
    pub fn take_due(&mut self) -> Option<SimEvent> {
        let due = self.next_time().is_some_and(|at| at <= self.now);
        if !due {
            return None;
        }
        self.queue.pop_first().map(|(_, event)| event)
    }

    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.processes
            .get(process)
            .is_some_and(|process| process.alive)
    }

    pub fn is_running(&self, process: ProcessId) -> bool {
        self.processes
            .get(process)
            .is_some_and(|process| process.alive && process.stopped_until.is_none())
    }

    /// A line of the trace. It is made only if somebody reads it.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let seconds = self.now.as_secs_f64() - 3600.0;
            trace.push(format!("{seconds:>10.3}  {}", line()));
        }
    }

    pub fn broke(&mut self, broken: Violation) {
        self.tell(|| format!("BROKEN: {broken}"));
        self.broken.get_or_insert(broken);
    }

    pub fn pass(&mut self, process: ProcessId, step: Checkpoint) {
        let Some(known) = self.processes.get_mut(process).filter(|known| known.alive) else {
            return;
        };
        known.step = step;
        self.coverage.passed(step);
        self.tell(|| format!("p{process} {}", step.word()));
        let mut struck = vec![];
        self.armed.retain_mut(|armed| {
            if armed.at != step {
                return true;
            }
            if armed.after > 0 {
                armed.after -= 1;
                return true;
            }
            struck.push(armed.fault);
            false
        });
        for fault in struck {
            self.coverage.struck(fault, step);
            self.tell(|| format!("     {fault} strikes p{process}"));
            self.strike(fault, process);
        }
    }
}
