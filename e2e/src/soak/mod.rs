//! Bridges that work for a long time while faults strike. No call may fail but those for which the sandbox's own truth says
//! that nobody could have succeeded, and no bridge may grow.
//!
//! ```text
//! client ─ authkeeper mcp ─┐
//!   …  five of them        ├─ sandbox ◀─ faults, by seed
//! client ─ authkeeper mcp ─┘     └─ truth, looked at all the time
//! ```

mod client;
mod memory;
mod report;
mod strike;
mod truth;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use authkeeper_sandbox::Profile;

use self::client::{Bridge, Era, Failed};
pub use self::memory::Growth;
use self::memory::Memory;
pub use self::report::Report;
use self::strike::Strikes;
use self::truth::Truth;
use crate::home::Home;
use crate::sandbox;
use crate::wait::{Stopwatch, pause, wait_until};

const NAME: &str = "soak";
const BRIDGES: usize = 5;
const TTL: Duration = Duration::from_secs(20);
/// What it is sent again is good for as long as an outage may last that follows upon a lost answer: else nobody could have
/// that answer. And it says 401 of a token that is dead, as an MCP server has to: a 403 would tell nobody to refresh.
const PROFILE: Profile = Profile::TwoGeneration;
/// For all bridges to be there, before anything goes wrong.
const START: Duration = Duration::from_secs(20);
/// Between two calls of one client.
const BETWEEN: Duration = Duration::from_millis(100);

/// How long, and with which luck.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long faults strike.
    pub time: Duration,
    /// What decides which, and when.
    pub seed: u64,
}

/// What all threads share.
struct Scene<'a> {
    home: &'a Home,
    sandbox: &'a sandbox::Running,
    truth: Truth,
    memory: Memory,
    failed: Mutex<Vec<Failed>>,
    /// How many clients have begun.
    begun: AtomicUsize,
    over: AtomicBool,
}

impl Scene<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Runs it, and says how far it is.
pub fn run(plan: Plan, tell: impl Fn(&str)) -> Report {
    let home = Home::new();
    let sandbox = sandbox::Running::with_ttl(PROFILE, Duration::ZERO, TTL);
    let url = format!("{}/mcp", sandbox.url());
    let _ = home.run(&["connect", NAME, &url]).expect_code(0);
    let scene = Scene {
        home: &home,
        sandbox: &sandbox,
        truth: Truth::default(),
        memory: Memory::default(),
        failed: Mutex::default(),
        begun: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    let (calls, struck) = thread::scope(|threads| {
        threads.spawn(|| scene.truth.watch(&scene));
        let bridges: Vec<_> = (0..BRIDGES)
            .map(|number| {
                let scene = &scene;
                threads.spawn(move || work(scene, number))
            })
            .collect();
        // One that has ended has found its bridge dead: nobody waits an hour to hear that.
        let ended = || bridges.iter().any(ScopedJoinHandle::is_finished);
        let struck = strike(&scene, plan, (&tell, &ended));
        scene.over.store(true, Ordering::Relaxed);
        let calls = bridges
            .into_iter()
            .map(|bridge| bridge.join().expect("a client"));
        (calls.sum(), struck)
    });
    let failed = scene.failed.into_inner().expect("no thread panicked");
    Report::new(
        plan,
        (calls, struck),
        (&failed, &scene.truth),
        &scene.memory,
        sandbox.counters(),
    )
}

/// Lets faults strike until the time is up.
fn strike(
    scene: &Scene<'_>,
    plan: Plan,
    (tell, ended): (&impl Fn(&str), &impl Fn() -> bool),
) -> u64 {
    let mut strikes = Strikes::new(plan.seed);
    let begun = || ended() || scene.begun.load(Ordering::Relaxed) == BRIDGES;
    assert!(wait_until(START, begun), "a bridge did not start");
    let began = Stopwatch::start();
    while began.elapsed() < plan.time && !ended() {
        let (fault, rest) = strikes.next();
        tell(&format!("{:6.1} s  {fault}", began.elapsed().as_secs_f64()));
        fault.strike(scene);
        pause(rest);
    }
    scene.sandbox.say("clear");
    // What is good again must be seen to be.
    pause(TTL);
    strikes.count()
}

/// One client at work on its bridge. Gives the number of its calls.
fn work(scene: &Scene<'_>, number: usize) -> u64 {
    let era = if number.is_multiple_of(2) {
        Era::Stateless
    } else {
        Era::Handshake
    };
    let mut bridge = Bridge::start(scene.home, NAME, era);
    scene.begun.fetch_add(1, Ordering::Relaxed);
    let mut calls = 0;
    while !scene.is_over() {
        scene.memory.note(number, bridge.pid());
        calls += 1;
        if let Err(failed) = bridge.call(&format!("{number}-{calls}")) {
            scene
                .failed
                .lock()
                .expect("no thread panicked")
                .push(failed);
            pause(BETWEEN);
        }
        pause(BETWEEN);
    }
    calls
}
