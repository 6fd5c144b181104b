//! Six worker processes on one store hammer one connection while faults strike at seeded random; the sandbox counts.
//!
//! The verdict counts *avoidable* losses. A loss is unavoidable only where an answer was lost, the provider answers no
//! replay, and the store still stands at the generation whose answer that was: a family that dies while a newer token is
//! held need not have died.
//!
//! Nothing here knows what the store is: it is asked through `authkeeper status`, and chosen by the variable
//! `AUTHKEEPER_STORE`. Journals are files of this host whatever the store.

mod report;
mod step;
mod strike;

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use authkeeper_sandbox::Profile;
use rustix::process::Signal;
use serde_json::json;

pub use self::report::{Loss, Place, Report};
pub use self::step::Step;
use self::step::step_of;
pub use self::strike::Strike;
use crate::home::{Home, Invocation, Output, Running};
use crate::random::Random;
use crate::sandbox;
use crate::scenario::SOON;
use crate::wait::{Stopwatch, pause, unix_moment, wait_until};

const WORKERS: usize = 6;
/// So many of them keep the connection fresh behind a run; the others ask for tokens.
const RUNS: usize = 2;
const NAME: &str = "api";
/// Short enough for a generation every half second.
const TTL: &str = "3s";
const MIN_TTL: &str = "2s";
/// Longer than a first resend takes.
const PATIENCE: Duration = Duration::from_secs(7);
/// What the log says of a candidate.
const TAKES_OVER: &str = "an answer that lost a race takes over";

/// What is tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// How the provider treats refresh tokens.
    pub profile: Profile,
    /// Whether it answers a replay in some way that a lost answer can be had again.
    pub answers_replays: bool,
    /// `[refresh]` and the provider's replay rule, as the configuration has them.
    pub refresh: &'static str,
    /// See above.
    pub replay: &'static str,
    /// How long a late request or answer is on its way.
    pub late: Duration,
    /// What strikes.
    pub strikes: Vec<Strike>,
    /// So many and no more.
    pub most_strikes: u64,
    /// How long faults strike.
    pub lasts: Duration,
    /// What repeats the choice of faults.
    pub seed: u64,
    /// `AUTHKEEPER_STORE`, where it is not the default.
    pub store: Option<String>,
}

impl Trial {
    /// Runs it.
    pub fn run(&self) -> Report {
        let home = Home::new();
        let sandbox = sandbox::Running::start(self.profile, Duration::from_mins(1));
        sandbox.control("set", &json!({"ttl": TTL}));
        let provider = format!(
            "\n[provider.\"{}\"]\nreplay = \"{}\"\n",
            sandbox.url(),
            self.replay
        );
        home.write_config(&format!("[refresh]\n{}\n{provider}", self.refresh));
        let mut ground = Ground {
            trial: self,
            home: &home,
            sandbox: &sandbox,
            random: Random::new(self.seed),
            workers: Vec::new(),
            next_dies_at: None,
            in_force: None,
            clock: Stopwatch::start(),
            paused: Vec::new(),
            lost_at: Vec::new(),
            taken_over: 0,
            uncertain: None,
            deck: Vec::new(),
            report: Report {
                seed: self.seed,
                ..Report::default()
            },
        };
        ground.hammer();
        ground.settle();
        let counters = sandbox.counters();
        let mut report = ground.report;
        report.refreshes = counters.refreshes_accepted;
        report.replays = counters.refreshes_replayed;
        report.trace.extend(sandbox.log());
        report.trace.sort_by(|one, other| one.0.total_cmp(&other.0));
        report
    }
}

/// A worker process.
struct Worker<'a> {
    running: Running<'a>,
    /// Whether it is a run; otherwise it asks for a token.
    is_run: bool,
    dies_at: Option<&'static str>,
    killed: bool,
}

/// A fault that waits for its request at the provider.
struct InForce {
    strike: Strike,
    struck_before: u64,
}

struct Ground<'a> {
    trial: &'a Trial,
    home: &'a Home,
    sandbox: &'a sandbox::Running,
    random: Random,
    workers: Vec<Worker<'a>>,
    next_dies_at: Option<&'static str>,
    in_force: Option<InForce>,
    clock: Stopwatch,
    /// Who is stopped, and until when.
    paused: Vec<(u32, Duration)>,
    /// Where an answer was left nowhere.
    lost_at: Vec<Place>,
    /// How often an answer that lost a race took over since the last sign-in: each makes a generation, and what was lost
    /// before stays lost.
    taken_over: u64,
    /// Since when an answer is missing.
    uncertain: Option<Duration>,
    deck: Vec<Strike>,
    report: Report,
}

impl<'a> Ground<'a> {
    fn hammer(&mut self) {
        let url = format!("{}/api", self.sandbox.url());
        let _ = self
            .authkeeper(&["connect", NAME, &url])
            .run()
            .expect_code(0);
        self.clock = Stopwatch::start();
        let mut next = self.random.between(200, 600);
        while self.clock.elapsed() < self.trial.lasts {
            self.tend();
            self.note_struck();
            self.resolve_loss();
            if self.clock.elapsed() >= next && self.report.strikes() < self.trial.most_strikes {
                // What waits for its resend is mostly left in peace: another loss there shows little and takes long.
                if self.uncertain.is_none() || self.random.below(5) == 0 {
                    let strike = self.draw();
                    self.strike(strike);
                }
                next = self.clock.elapsed() + self.random.between(200, 600);
            }
            pause(Duration::from_millis(20));
        }
    }

    /// Without faults everything resolves: the connection is refreshed again, or its loss is said. After several crashes
    /// in a row a resend may wait for longer than a test does, and that is said too.
    fn settle(&mut self) {
        self.sandbox.control("faults/clear", &json!({}));
        // A fault may have struck since the last look.
        self.note_struck();
        self.in_force = None;
        self.next_dies_at = None;
        let begun = self.place();
        self.report.settled = wait_until(SOON, || {
            self.tend();
            self.resolve_loss();
            self.place() != begun
        }) || self.status()["uncertain"] == true;
        self.workers.clear();
    }

    fn authkeeper(&self, words: &[&str]) -> Invocation<'a> {
        let invocation = self.home.authkeeper(words).env("AUTHKEEPER_LOG", "warn");
        match &self.trial.store {
            Some(store) => invocation.env("AUTHKEEPER_STORE", store),
            None => invocation,
        }
    }

    // ---- The workers ---------------------------------------------------------------------------

    /// Lets those go on whose pause is over, takes note of workers that have ended, and starts others.
    fn tend(&mut self) {
        let now = self.clock.elapsed();
        for worker in &self.workers {
            let pid = worker.running.pid();
            if self
                .paused
                .iter()
                .any(|&(paused, until)| paused == pid && until <= now)
            {
                worker.running.signal(Signal::CONT);
            }
        }
        self.paused.retain(|&(_, until)| until > now);
        let all = std::mem::take(&mut self.workers);
        let (running, ended): (Vec<_>, Vec<_>) = all
            .into_iter()
            .map(|mut worker| (worker.running.is_running(), worker))
            .partition(|(running, _)| *running);
        self.workers = running.into_iter().map(|(_, worker)| worker).collect();
        for (_, worker) in ended {
            self.note_ended(worker);
        }
        while self.workers.len() < WORKERS {
            self.start_worker();
        }
    }

    fn start_worker(&mut self) {
        let runs = self.workers.iter().filter(|worker| worker.is_run).count();
        let is_run = runs < RUNS;
        let words: &[&str] = if is_run {
            &["run", "--with", NAME, "--", "sleep", "600"]
        } else {
            &["token", NAME, "--min-ttl", MIN_TTL]
        };
        let dies_at = self.next_dies_at.filter(|_| !is_run);
        let mut invocation = self.authkeeper(words).env("BROWSER", "false");
        if let Some(point) = dies_at {
            invocation = invocation.env("AUTHKEEPER_FAULT", point);
        }
        self.workers.push(Worker {
            running: invocation.spawn(),
            is_run,
            dies_at,
            killed: false,
        });
    }

    fn note_ended(&mut self, worker: Worker<'_>) {
        let (dies_at, killed) = (worker.dies_at, worker.killed);
        let output: Output = worker.running.finish(SOON);
        self.report.tokens += u64::from(!output.stdout.is_empty());
        self.taken_over += take_overs(&output.stderr);
        let Some(point) = dies_at.filter(|_| !killed && output.status.signal() == Some(9)) else {
            return;
        };
        let step = match point {
            "claimed" => Step::Intent,
            "reply_received" => Step::Sending,
            _ => Step::Reply,
        };
        self.note(point, step);
        self.next_dies_at = None;
        if step == Step::Sending {
            self.note_answer_lost();
        }
    }

    // ---- The faults ----------------------------------------------------------------------------

    fn note(&mut self, fault: &'static str, step: Step) {
        *self.report.coverage.entry((fault, step)).or_default() += 1;
        self.tell(&format!("-- {fault} × {step}"));
    }

    fn tell(&mut self, what: &str) {
        self.report.trace.push((unix_moment(), what.to_owned()));
    }

    fn note_answer_lost(&mut self) {
        self.report.answers_lost += 1;
        let place = self.place();
        self.tell(&format!("-- an answer is lost at {place:?}"));
        self.lost_at.push(place);
    }

    /// Like cards: each fault comes once before any comes again.
    fn draw(&mut self) -> Strike {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.trial.strikes);
        }
        let index = self.random.below(self.deck.len() as u64);
        self.deck
            .swap_remove(usize::try_from(index).unwrap_or_default())
    }

    fn strike(&mut self, strike: Strike) {
        let index = usize::try_from(self.random.below(WORKERS as u64)).unwrap_or_default();
        let late = self.trial.late.as_millis();
        match strike {
            Strike::Pause => self.pause_worker(strike, index),
            Strike::Kill => self.kill_worker(strike, index),
            Strike::PauseSender | Strike::KillSender => self.strike_sender(strike),
            Strike::DieAt(point) => self.next_dies_at = Some(point),
            Strike::LoseAnswer => self.put_in_force(strike, "answer-lost"),
            Strike::DelayAnswer => self.put_in_force(strike, &format!("slow-answer={late}ms")),
            Strike::Cut => self.put_in_force(strike, "cut"),
            Strike::Unavailable => self.put_in_force(strike, "status=503,retry_after=500ms"),
        }
    }

    /// One at a time, so that it is known which of them struck.
    fn put_in_force(&mut self, strike: Strike, fault: &str) {
        if self.in_force.is_some() {
            return;
        }
        let struck_before = self.sandbox.counters().faults_struck;
        self.sandbox.fault(&format!("{fault},times=1,at=refresh"));
        self.in_force = Some(InForce {
            strike,
            struck_before,
        });
    }

    /// What is lost at the provider stays so for seconds: a resend waits.
    fn note_struck(&mut self) {
        let struck = self.sandbox.counters().faults_struck;
        let done = |fault: &mut InForce| struck > fault.struck_before;
        let Some(fault) = self.in_force.take_if(done) else {
            return;
        };
        self.note(fault.strike.name(), Step::Network);
        if fault.strike == Strike::LoseAnswer {
            self.note_answer_lost();
        }
    }

    fn pause_worker(&mut self, strike: Strike, index: usize) {
        let until = self.clock.elapsed() + self.random.between(300, 1_500);
        let Some(worker) = self.workers.get(index) else {
            return;
        };
        worker.running.signal(Signal::STOP);
        let pid = worker.running.pid();
        self.paused.push((pid, until));
        self.note(strike.name(), step_of(pid));
    }

    /// It is stopped first: what it was at is then looked at in peace.
    fn kill_worker(&mut self, strike: Strike, index: usize) {
        let Some(worker) = self.workers.get_mut(index) else {
            return;
        };
        worker.killed = true;
        worker.running.signal(Signal::STOP);
        pause(Duration::from_millis(10));
        let step = step_of(worker.running.pid());
        self.note(strike.name(), step);
        if step == Step::Sending {
            self.note_answer_lost();
        }
        if let Some(worker) = self.workers.get(index) {
            worker.running.signal(Signal::KILL);
        }
    }

    /// Makes a request wait at the provider, and strikes its sender.
    fn strike_sender(&mut self, strike: Strike) {
        if self.in_force.is_some() {
            return;
        }
        let late = self.trial.late.as_millis();
        self.put_in_force(strike, &format!("slow={late}ms"));
        let mut sender = None;
        wait_until(Duration::from_secs(2), || {
            self.tend();
            let struck = self.sandbox.counters().faults_struck;
            let waits = self
                .in_force
                .as_ref()
                .is_some_and(|fault| struck > fault.struck_before);
            let mut workers = self.workers.iter();
            sender = workers.position(|worker| step_of(worker.running.pid()) == Step::Sending);
            waits && sender.is_some()
        });
        self.sandbox.control("faults/clear", &json!({}));
        self.in_force = None;
        let Some(index) = sender else {
            return;
        };
        if strike == Strike::KillSender {
            self.kill_worker(strike, index);
        } else {
            self.pause_worker(strike, index);
        }
    }

    // ---- The verdict ---------------------------------------------------------------------------

    fn status(&self) -> serde_json::Value {
        let output = self.authkeeper(&["status", NAME, "--json"]).run();
        output.expect_code(0).json()[0].clone()
    }

    fn place(&self) -> Place {
        let status = self.status();
        let number = |field: &str| status[field].as_u64().expect("a number");
        Place {
            lineage: number("lineage"),
            generation: number("generation"),
        }
    }

    /// After several crashes in a row the resend is minutes away; a person who has something else to do signs in.
    fn note_uncertain(&mut self, uncertain: bool) {
        let now = self.clock.elapsed();
        let since = uncertain.then(|| self.uncertain.unwrap_or(now));
        self.uncertain = since;
        if since.is_some_and(|since| now.saturating_sub(since) > PATIENCE) {
            self.tell("-- nobody waits for the resend");
            self.report.given_up += 1;
            self.uncertain = None;
            let _ = self.authkeeper(&["reauthorize", NAME]).run().expect_code(0);
        }
    }

    /// A lost grant is judged, and a person signs in again.
    fn resolve_loss(&mut self) {
        let status = self.status();
        self.note_uncertain(status["uncertain"] == true);
        if status["state"] != "reauthorization_required" {
            return;
        }
        let place = self.place();
        let live = self
            .workers
            .iter()
            .map(|worker| take_overs(&worker.running.stderr()));
        let taken_over = std::mem::take(&mut self.taken_over) + live.sum::<u64>();
        self.report.taken_over += taken_over;
        self.tell(&format!(
            "-- the grant is lost at {place:?}, taken over {taken_over} times"
        ));
        let explains = |lost: &Place| {
            let generations = lost.generation..=lost.generation + taken_over;
            lost.lineage == place.lineage && generations.contains(&place.generation)
        };
        self.report.losses.push(Loss {
            place,
            reason: status["reason"].as_str().unwrap_or_default().to_owned(),
            unavoidable: !self.trial.answers_replays && self.lost_at.iter().any(explains),
        });
        let _ = self.authkeeper(&["reauthorize", NAME]).run().expect_code(0);
    }
}

fn take_overs(stderr: &str) -> u64 {
    stderr.matches(TAKES_OVER).count() as u64
}
