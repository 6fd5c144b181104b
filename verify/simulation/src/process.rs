//! One simulated process: the real runtime over simulated clock, network, store, files and tasks.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::{
    http::{ConnectError, Exchange, ExchangeError, HttpUrl, Reach, Reply, Request, Transport},
    model::Moment,
    platform::{
        clock::{Clock, LONGEST_SLEEP, Seams},
        tasks::{Tasks, Work},
    },
    refresh::RefreshRules,
    runtime::Runtime,
    secret::Secret,
    store::{Result, StoreError},
    vault::seal::Sealer,
};

use crate::{
    air::Asks,
    check::KEY,
    disk::ProcessFiles,
    fault::{Checkpoint, Fault},
    provider::SimToken,
    random::SeededRandom,
    store::{self, Hooks, MemoryStore, StoreWrite},
    truth::GrantSnapshot,
    world::{ProcessId, Sim, SimEvent, Spawned, TaskKind},
};

/// The runtime of a new process.
///
/// # Panics
///
/// Never: nothing that it opens is on a disk.
pub fn runtime(sim: &Sim, process: ProcessId, rules: RefreshRules) -> Runtime {
    let seed = sim.lock().dice.roll();
    let host = Host {
        sim: sim.clone(),
        process,
    };
    let rows = Arc::clone(sim.rows_of(process));
    let elsewhere = sim.lock().controls.two_stores && process % 2 == 1;
    let folder = if elsewhere { "/other" } else { "/sim" };
    let seams = Seams {
        clock: Arc::new(host.clone()),
        random: Arc::new(SeededRandom::new(seed)),
    };
    let store = Arc::new(MemoryStore::new(rows, Arc::new(host.clone())));
    Runtime::builder(folder)
        .store(store, Sealer::new(Secret::new(KEY), seams.clone()))
        .transport(Arc::new(host.clone()))
        .clock(seams.clock)
        .random(seams.random)
        .tasks(Arc::new(host))
        .files(Arc::new(ProcessFiles::new(sim.clone(), process)))
        .rules(rules)
        .open()
        .expect("nothing of it is on a disk")
}

/// What one process sees of the world.
#[derive(Clone)]
struct Host {
    sim: Sim,
    process: ProcessId,
}

impl Host {
    /// The dead do nothing, for ever.
    async fn live(&self) {
        if !self.sim.is_alive(self.process) {
            std::future::pending::<()>().await;
        }
    }

    async fn sleep_for(&self, wait: Duration) {
        Sleep {
            sim: &self.sim,
            wait,
            until: None,
        }
        .await;
    }

    async fn pause(&self, least: u64, most: u64) {
        let wait = self.sim.lock().dice.millis(least, most);
        self.sleep_for(wait).await;
    }

    fn store_fault(&self) -> Option<Fault> {
        let mut world = self.sim.lock();
        let again = world.dice.percent(40);
        let known = world.processes.get_mut(self.process)?;
        let fault = known.store_fault?;
        let once = matches!(fault, Fault::StoreSlow | Fault::StoreUnanswered);
        if once || !again {
            known.store_fault = None;
        }
        Some(fault)
    }
}

struct Sleep<'a> {
    sim: &'a Sim,
    wait: Duration,
    until: Option<Duration>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.sim.lock();
        let Some(until) = self.until else {
            let until = world.now + self.wait;
            world.at(until, SimEvent::Wake(context.waker().clone()));
            drop(world);
            self.until = Some(until);
            return Poll::Pending;
        };
        if world.now >= until {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[async_trait]
impl Clock for Host {
    fn now(&self) -> Moment {
        self.sim.lock().moment()
    }

    async fn sleep(&self, duration: Duration) {
        self.sleep_for(duration.min(LONGEST_SLEEP)).await;
    }
}

impl Tasks for Host {
    fn spawn(&self, work: Work) {
        self.put(TaskKind::Flight, work);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let host = self.clone();
        let later = async move {
            host.pause(0, 4).await;
            work();
        };
        self.put(TaskKind::Disk, Box::pin(later));
    }
}

impl Host {
    fn put(&self, kind: TaskKind, work: Work) {
        let mut world = self.sim.lock();
        if world.is_alive(self.process) {
            let process = self.process;
            world.spawned.push(Spawned {
                process,
                kind,
                work,
            });
        }
    }
}

#[async_trait]
impl Transport for Host {
    async fn connect(
        &self,
        url: &HttpUrl,
        _reach: Reach,
    ) -> std::result::Result<Box<dyn Exchange>, ConnectError> {
        self.pause(1, 120).await;
        self.live().await;
        let unreachable = {
            let mut world = self.sim.lock();
            let known = world.processes.get_mut(self.process);
            let hit = |fault: &mut Fault| *fault == Fault::Unreachable;
            known
                .and_then(|known| known.wire_fault.take_if(hit))
                .is_some()
        };
        if unreachable {
            return Err(ConnectError::Unreachable {
                host: url.origin(),
                detail: "connection refused".to_owned(),
            });
        }
        self.sim.pass(self.process, Checkpoint::Connected);
        self.live().await;
        Ok(Box::new(Line {
            host: self.clone(),
            path: url.path().to_owned(),
        }))
    }
}

struct Line {
    host: Host,
    path: String,
}

#[async_trait]
impl Exchange for Line {
    async fn send(self: Box<Self>, request: Request) -> std::result::Result<Reply, ExchangeError> {
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(&request.body);
            let found = fields.find(|(key, _)| key == name);
            found.and_then(|(_, value)| SimToken::parse(&value))
        };
        let asks = match field("refresh_token") {
            Some(token) if self.path == "/token" => Asks::Refresh(token),
            _ => Asks::Revoke(field("token")),
        };
        self.host.live().await;
        let (sim, process) = (&self.host.sim, self.host.process);
        let id = sim.lock().write_request(process, asks);
        let reading = Reading { sim, id };
        if matches!(asks, Asks::Refresh(_)) {
            sim.pass(process, Checkpoint::Sent);
            self.host.live().await;
        }
        let come = reading.await;
        self.host.live().await;
        come
    }
}

struct Reading<'a> {
    sim: &'a Sim,
    id: u64,
}

impl Future for Reading<'_> {
    type Output = std::result::Result<Reply, ExchangeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let come = self.sim.lock().read(self.id, context.waker());
        come.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.sim.lock().hang_up(self.id);
    }
}

fn place() -> String {
    "the store".to_owned()
}

#[async_trait]
impl Hooks for Host {
    fn read(&self) -> Result<()> {
        if self.sim.is_alive(self.process) {
            return Ok(());
        }
        Err(StoreError::Unusable {
            place: place(),
            detail: "dead".to_owned(),
        })
    }

    async fn turn(&self, _write: StoreWrite) -> Result<()> {
        self.pause(0, 3).await;
        self.live().await;
        let place = place();
        match self.store_fault() {
            Some(Fault::StoreBusy) => {
                self.pause(9_000, 11_000).await;
                self.live().await;
                Err(StoreError::Busy { place })
            }
            Some(Fault::StoreFull) => Err(StoreError::Full { place }),
            Some(Fault::StoreReadOnly) => Err(StoreError::ReadOnly { place }),
            Some(Fault::StoreSlow) => {
                self.pause(1_500, 13_000).await;
                self.live().await;
                Ok(())
            }
            Some(_unanswered) => {
                let mut world = self.sim.lock();
                if let Some(known) = world.processes.get_mut(self.process) {
                    known.unanswered = true;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn written(&self, write: StoreWrite, done: bool) -> Result<()> {
        let rows = GrantSnapshot::all(&store::lock(self.sim.rows_of(self.process)));
        let unanswered = {
            let mut world = self.sim.lock();
            world.look(write, done, &rows);
            if done {
                world.pass_write(self.process, write);
            }
            let known = world.processes.get_mut(self.process);
            known.is_some_and(|known| std::mem::take(&mut known.unanswered))
        };
        self.live().await;
        self.pause(0, 2).await;
        self.live().await;
        if unanswered {
            return Err(StoreError::Unusable {
                place: place(),
                detail: "disk input/output error".to_owned(),
            });
        }
        Ok(())
    }
}
