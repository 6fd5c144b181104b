//! One schedule: the world is driven step by step, each step chosen by the seed; then nothing goes wrong any more, and
//! everything must come to rest.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use authkeeper::{
    model::ConnectionName, model::ProviderHabits, platform::tasks::Work, refresh::RefreshRules,
    runtime::Runtime, testing as inside,
};

use crate::{
    coverage::Coverage,
    disk::Disk,
    fault::Fault,
    people,
    plan::SchedulePlan,
    process,
    provider::SimProvider,
    store::StoreRows,
    truth::{GrantSnapshot, Violation},
    world::{ProcessId, Sim, SimEvent, SimProcess, SimWorld, Spawned, TaskKind, Todo, TokenCall},
};

/// More steps than any schedule needs.
const MOST_STEPS: u64 = 300_000;
/// No more processes than this are started in one schedule.
const MOST_PROCESSES: usize = 14;

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Controls {
    /// The journals are lost whenever a process is killed.
    pub journals_are_lost: bool,
    /// What was synced is lost at a power cut all the same.
    pub sync_lies: bool,
    /// A living process's lock can be taken.
    pub locks_do_not_hold: bool,
    /// Every second process has a store and a folder of its own.
    pub two_stores: bool,
    /// A lost request is sent again without a quiet period.
    pub no_quiet_period: bool,
    /// Of tokens beside something odd only that is read.
    pub tokens_are_overlooked: bool,
}

/// Which schedule, and how.
#[derive(Clone, Debug)]
pub struct RunSettings {
    pub seed: u64,
    pub faults: Vec<Fault>,
    pub controls: Controls,
    pub trace: bool,
}

impl RunSettings {
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            faults: Fault::ALL.to_vec(),
            controls: Controls::default(),
            trace: false,
        }
    }
}

/// What came of a schedule.
#[derive(Debug)]
pub struct ScheduleOutcome {
    pub seed: u64,
    pub broken: Option<Violation>,
    pub coverage: Coverage,
    pub trace: Vec<String>,
    pub steps: u64,
    /// The steps until nothing went wrong any more.
    pub noisy_steps: u64,
}

/// Runs the schedule of a seed.
pub fn run(settings: &RunSettings) -> ScheduleOutcome {
    let plan = SchedulePlan::draw(settings.seed, &settings.faults);
    run_plan(settings, &plan)
}

/// Runs a plan with the chances of a seed.
pub fn run_plan(settings: &RunSettings, plan: &SchedulePlan) -> ScheduleOutcome {
    run_struck(settings, plan, None)
}

/// Runs a plan in which a fault strikes its first process after this many steps, whatever is under way then.
pub fn run_struck(
    settings: &RunSettings,
    plan: &SchedulePlan,
    strike: Option<(u64, Fault)>,
) -> ScheduleOutcome {
    let mut driver = Driver::new(settings, plan);
    driver.strike = strike;
    driver.chaos(plan);
    let noisy_steps = driver.steps;
    driver.calm();
    ScheduleOutcome {
        noisy_steps,
        ..driver.finish(settings.seed)
    }
}

pub(crate) fn connection() -> ConnectionName {
    #[expect(clippy::expect_used, reason = "a name that is one")]
    ConnectionName::parse("c").expect("a name")
}

struct Task {
    process: ProcessId,
    kind: TaskKind,
    work: Work,
    waker: Waker,
}

struct Rouse {
    task: u64,
    sim: Sim,
}

impl Wake for Rouse {
    fn wake(self: Arc<Self>) {
        self.sim.ready().insert(self.task);
    }
}

pub(crate) struct Driver {
    pub(crate) sim: Sim,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    runtimes: BTreeMap<ProcessId, Runtime>,
    rules: RefreshRules,
    keepers: bool,
    copy: Option<(StoreRows, Disk)>,
    steps: u64,
    strike: Option<(u64, Fault)>,
}

fn rules(plan: &SchedulePlan, controls: Controls) -> RefreshRules {
    let mut rules = RefreshRules::default();
    let habits = ProviderHabits::new(plan.class.known_as(), None);
    rules.providers.insert(people::ISSUER.to_owned(), habits);
    if controls.no_quiet_period {
        rules.quiet_period = Duration::ZERO;
    }
    rules
}

impl Driver {
    pub(crate) fn new(settings: &RunSettings, plan: &SchedulePlan) -> Self {
        let provider = SimProvider::new(plan.class, plan.lifetime);
        let mut world = SimWorld::new(settings.seed.rotate_left(17), provider, settings.controls);
        world.trace = settings.trace.then(Vec::new);
        world.armed.clone_from(&plan.faults);
        world.tell(|| plan.describe());
        people::begin(&mut world);
        Self {
            sim: Sim::new(world),
            tasks: BTreeMap::new(),
            next_task: 0,
            runtimes: BTreeMap::new(),
            rules: rules(plan, settings.controls),
            keepers: plan.keepers,
            copy: None,
            steps: 0,
            strike: None,
        }
    }

    /// Things go wrong for a while.
    fn chaos(&mut self, plan: &SchedulePlan) {
        // The first refresh is near.
        let age = plan.lifetime.mul_f64(0.8);
        let end = {
            let mut world = self.sim.lock();
            world.now += age;
            for (at, call) in &plan.calls {
                world.after(*at, SimEvent::Call(*call));
            }
            if let Some(copy) = plan.copy {
                world.after(copy, SimEvent::Copy);
            }
            world.now + plan.horizon
        };
        for _ in 0..plan.processes {
            self.start();
        }
        self.run_until(end);
    }

    /// From here on nothing goes wrong.
    fn calm(&mut self) {
        {
            let mut world = self.sim.lock();
            world.tell(|| "nothing goes wrong any more".to_owned());
            world.armed.clear();
            world.provider.disabled = false;
            for process in &mut world.processes {
                process.store_fault = None;
                process.file_fault = false;
                process.wire_fault = None;
                process.stopped_until = None;
            }
        }
        people::restore(&self.sim);
        self.run_for(Duration::from_secs(200));
        self.settle();
        let lifetime = self.sim.lock().provider.lifetime;
        self.run_for(lifetime + Duration::from_secs(5));
        self.settle();
        if self.is_over() {
            return;
        }
        crate::rest::judge(self);
    }

    /// Somebody asks until nothing is under way.
    pub(crate) fn settle(&mut self) {
        let mut pause = Duration::from_secs(1);
        for _ in 0..80 {
            if self.ask(TokenCall::Plain).is_none() {
                self.sim.lock().broke(Violation::Hangs);
            }
            if self.is_over() || self.is_quiet() {
                return;
            }
            self.run_for(pause);
            pause = (pause * 2).min(Duration::from_mins(5));
        }
        let claim = format!("{:?}", people::claim(&self.sim));
        self.sim.lock().broke(Violation::Unresolved(claim));
    }

    fn is_quiet(&self) -> bool {
        let row = GrantSnapshot::current(&self.sim.rows());
        let claimed = row.is_some_and(|row| row.claimed && !row.is_revoked());
        let flying = self
            .tasks
            .values()
            .any(|task| task.kind == TaskKind::Flight);
        !claimed && !flying && self.sim.lock().air.is_empty()
    }

    /// A caller's question, and how it ended; none if nobody answers.
    pub(crate) fn ask(&mut self, call: TokenCall) -> Option<()> {
        if self.somebody().is_none() {
            self.start();
        }
        let process = self.somebody()?;
        let task = self.call(process, call);
        let limit = self.sim.lock().now + Duration::from_mins(20);
        while self.tasks.contains_key(&task) {
            let late = self.sim.lock().now > limit;
            if late || self.is_over() || !self.step(limit) {
                return self.is_over().then_some(());
            }
        }
        Some(())
    }

    /// A process that runs and is no person's command.
    fn somebody(&mut self) -> Option<ProcessId> {
        let mut world = self.sim.lock();
        let running = self.runtimes.keys().copied();
        let running: Vec<ProcessId> = running
            .filter(|process| world.is_running(*process) && !world.processes[*process].command)
            .collect();
        world.dice.pick(&running)
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.sim.lock().now + time;
        self.run_until(end);
    }

    fn run_until(&mut self, end: Duration) {
        while !self.is_over() && self.step(end) {}
        let mut world = self.sim.lock();
        world.now = world.now.max(end);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sim.lock().broken.is_some()
    }

    /// One step; false if nothing happens before `end`.
    fn step(&mut self, end: Duration) -> bool {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.sim.lock().broke(Violation::NoEnd);
            return false;
        }
        if let Some((_, fault)) = self.strike.take_if(|(at, _)| *at == self.steps) {
            let mut world = self.sim.lock();
            world.tell(|| format!("     {fault} strikes p0"));
            world.strike(fault, 0);
            drop(world);
            self.tidy();
        }
        let chosen = {
            let mut world = self.sim.lock();
            let ready = self.sim.ready();
            let can = |task: &&u64| {
                let task = self.tasks.get(task);
                task.is_some_and(|task| world.is_running(task.process))
            };
            let ready: Vec<u64> = ready.iter().filter(can).copied().collect();
            let due = world.next_time().is_some_and(|at| at <= world.now);
            let choices = ready.len() + usize::from(due);
            if choices == 0 {
                let Some(next) = world.next_time().filter(|next| *next <= end) else {
                    return false;
                };
                world.now = next;
                world.note_lawful();
                return true;
            }
            ready.get(world.dice.below(choices)).copied()
        };
        match chosen {
            Some(task) => self.poll(task),
            None => self.happen(),
        }
        self.tidy();
        true
    }

    fn happen(&mut self) {
        let event = self.sim.lock().take_due();
        match event {
            Some(SimEvent::Wake(waker)) => waker.wake(),
            Some(SimEvent::Act(id)) => self.sim.lock().act(id),
            Some(SimEvent::Arrive(id)) => self.sim.lock().arrive(id, false),
            Some(SimEvent::Break(id)) => self.sim.lock().arrive(id, true),
            Some(SimEvent::Resume(process)) => self.sim.lock().resume(process),
            Some(SimEvent::Start) => self.start(),
            Some(SimEvent::Call(call)) => {
                if let Some(process) = self.somebody() {
                    self.call(process, call);
                }
            }
            Some(SimEvent::Copy) => {
                let disk = self.sim.lock().disk.clone();
                self.copy = Some((self.sim.rows().clone(), disk));
                self.sim
                    .lock()
                    .tell(|| "a copy of the store is taken".to_owned());
            }
            Some(SimEvent::EnableAccount) => self.sim.lock().provider.disabled = false,
            Some(SimEvent::Restore) => people::restore(&self.sim),
            None => {}
        }
    }

    fn poll(&mut self, id: u64) {
        self.sim.ready().remove(&id);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let waker = task.waker.clone();
        let mut context = Context::from_waker(&waker);
        let work = &mut task.work;
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => {
                let task = self.tasks.remove(&id);
                if let Some(task) = task.filter(|task| task.kind == TaskKind::Person) {
                    self.exit(task.process);
                }
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.unwrap_or_else(|| "the code panicked".to_owned());
                self.sim.lock().broke(Violation::Panicked(text));
            }
        }
    }

    /// What the last step left to be done.
    fn tidy(&mut self) {
        loop {
            let spawned = std::mem::take(&mut self.sim.lock().spawned);
            for spawned in spawned {
                self.put(spawned);
            }
            let todo = std::mem::take(&mut self.sim.lock().todo);
            let nothing = todo.is_empty();
            for todo in todo {
                self.carry_out(&todo);
            }
            if nothing {
                break;
            }
        }
        self.bury();
    }

    fn put(&mut self, spawned: Spawned) -> u64 {
        self.next_task += 1;
        let id = self.next_task;
        let rouse = Rouse {
            task: id,
            sim: self.sim.clone(),
        };
        let task = Task {
            process: spawned.process,
            kind: spawned.kind,
            work: spawned.work,
            waker: Waker::from(Arc::new(rouse)),
        };
        self.tasks.insert(id, task);
        self.sim.ready().insert(id);
        id
    }

    /// What the dead had goes: their tasks, and what was in their memory.
    fn bury(&mut self) {
        let dead: Vec<ProcessId> = {
            let world = self.sim.lock();
            let known = self.runtimes.keys().copied();
            known.filter(|process| !world.is_alive(*process)).collect()
        };
        if dead.is_empty() {
            return;
        }
        let (gone, left) = std::mem::take(&mut self.tasks)
            .into_iter()
            .partition(|(_, task)| dead.contains(&task.process));
        self.tasks = left;
        drop::<BTreeMap<u64, Task>>(gone);
        for process in dead {
            self.runtimes.remove(&process);
        }
        self.sim.lock().check_reachable();
    }

    /// A process that is done ends as programs do.
    fn exit(&mut self, process: ProcessId) {
        self.tasks.retain(|_, task| task.process != process);
        self.runtimes.remove(&process);
        let mut world = self.sim.lock();
        world.processes[process].alive = false;
        world.disk.unlock(process);
    }

    /// A new process that keeps and refreshes.
    pub(crate) fn start(&mut self) {
        if self.sim.lock().processes.len() >= MOST_PROCESSES {
            return;
        }
        let process = self.begin(false);
        if self.keepers
            && let Some(runtime) = self.runtimes.get(&process).cloned()
        {
            let work = Box::pin(async move { inside::keep(&runtime, connection()).await });
            self.put(Spawned {
                process,
                kind: TaskKind::RefreshScheduler,
                work,
            });
        }
    }

    fn begin(&mut self, command: bool) -> ProcessId {
        let process = {
            let mut world = self.sim.lock();
            world.processes.push(SimProcess::new(command));
            let process = world.processes.len() - 1;
            world.tell(|| format!("p{process} starts"));
            process
        };
        let runtime = process::runtime(&self.sim, process, self.rules.clone());
        self.runtimes.insert(process, runtime);
        process
    }

    fn call(&mut self, process: ProcessId, call: TokenCall) -> u64 {
        let sim = self.sim.clone();
        let work: Work = match self.runtimes.get(&process).cloned() {
            Some(runtime) => Box::pin(people::ask(sim, runtime, process, call)),
            None => Box::pin(async {}),
        };
        self.put(Spawned {
            process,
            kind: TaskKind::Caller,
            work,
        })
    }

    fn carry_out(&mut self, todo: &Todo) {
        match *todo {
            Todo::DropCallers(process) => {
                let gone = |task: &Task| task.process == process && task.kind == TaskKind::Caller;
                self.tasks.retain(|_, task| !gone(task));
            }
            Todo::SignIn => self.person(|sim, runtime| Box::pin(people::sign_in(sim, runtime))),
            Todo::Disconnect => {
                self.person(|sim, runtime| Box::pin(people::disconnect(sim, runtime)));
            }
            Todo::Suspend => people::suspend(&self.sim),
            Todo::PutBack { all } => self.put_back(all),
            Todo::Call(call) => {
                if let Some(process) = self.somebody() {
                    self.call(process, call);
                }
            }
        }
    }

    /// A person's command is a process of its own.
    pub(crate) fn person(&mut self, act: impl FnOnce(Sim, Runtime) -> Work) {
        let process = self.begin(true);
        if let Some(runtime) = self.runtimes.get(&process).cloned() {
            let work = act(self.sim.clone(), runtime);
            self.put(Spawned {
                process,
                kind: TaskKind::Person,
                work,
            });
        }
    }

    /// Whether a person's command is under way.
    pub(crate) fn person_is_at_it(&self) -> bool {
        self.tasks
            .values()
            .any(|task| task.kind == TaskKind::Person)
    }

    /// The processes are ended first: under a working process no rule makes it safe.
    fn put_back(&mut self, all: bool) {
        let Some((rows, disk)) = self.copy.clone() else {
            return;
        };
        {
            let mut world = self.sim.lock();
            world.tell(|| {
                format!(
                    "the store is put back{}",
                    if all { ", and its folder" } else { "" }
                )
            });
            for process in 0..world.processes.len() {
                world.kill(process);
            }
        }
        *self.sim.rows() = rows;
        let rows = GrantSnapshot::all(&self.sim.rows());
        let connected = GrantSnapshot::current(&self.sim.rows());
        let mut world = self.sim.lock();
        if all {
            world.disk.put_back(disk);
            // Nobody knows of what was sent since: the person waits until it is over.
            world.air.settle();
        }
        world.truth.begin_again(&rows);
        world.truth.put_back(connected.as_ref(), all);
    }

    fn finish(self, seed: u64) -> ScheduleOutcome {
        let mut world = self.sim.lock();
        let mut coverage = std::mem::take(&mut world.coverage);
        if let Some(broken) = &world.broken {
            coverage.ended(&format!("schedule broke: {}", broken.word()));
        }
        let trace = world.trace.take().unwrap_or_default();
        let broken = world.broken.clone();
        // They know the world, and it knows them.
        let left = world.forget();
        drop(world);
        drop(left);
        let steps = self.steps;
        ScheduleOutcome {
            seed,
            broken,
            coverage,
            trace,
            steps,
            noisy_steps: 0,
        }
    }
}
