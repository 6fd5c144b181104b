//! A clock that moves hours within seconds, for the processes of a home and for a sandbox at once.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::home::Home;
use crate::sandbox::Running;
use crate::wait::{pause, unix_now, wait_until};

/// The clock moves by this much at a time: a request that is under way meanwhile takes no longer than it may.
const STEP: Duration = Duration::from_secs(30);
/// In which a process that a step has woken begins to work.
const WAKING: Duration = Duration::from_millis(25);
/// Work after a step takes no longer, on any machine.
const SOON: Duration = Duration::from_mins(1);

/// Refreshes whose answer somebody waits for.
const UNDER_WAY: &str =
    "SELECT count(*) FROM grant_family WHERE claim_attempt IS NOT NULL AND claim_unknown IS NULL";

/// In seconds.
const DAY: i64 = 86_400;

/// It moves forward, and waits after each step until the processes have done what was due.
#[derive(Debug)]
pub struct MovedClock<'a> {
    file: PathBuf,
    store_file: PathBuf,
    store: Option<Connection>,
    sandbox: &'a Running,
    ahead: Duration,
    /// By how many seconds the wall clock of the home's machine is off. The sandbox's is right.
    wall_off: i64,
}

impl<'a> MovedClock<'a> {
    /// It is now this time of the day (`HH:MM`, in UTC) for whatever starts in the home from here on, and at the sandbox.
    pub fn start(home: &Home, sandbox: &'a Running, time: &str) -> Self {
        let mut clock = Self {
            file: home.clock_file(),
            store_file: home.store_dir().join("store.db"),
            store: None,
            sandbox,
            ahead: Duration::ZERO,
            wall_off: 0,
        };
        clock.jump(clock.time_to(time));
        clock
    }

    /// Moves on to the next time that it is `HH:MM`.
    pub fn until(&mut self, time: &str) {
        let mut left = self.time_to(time);
        while !left.is_zero() {
            let step = left.min(STEP);
            self.settle();
            self.jump(step);
            left -= step;
        }
        self.settle();
    }

    /// Sets the wall clock of the home's machine, and nothing else, off by this.
    pub fn set_wall_off(&mut self, seconds: i64) {
        self.wall_off = seconds;
        self.write();
    }

    /// The seconds since 1970, by the right clock.
    pub fn now(&self) -> i64 {
        unix_now() + i64::try_from(self.ahead.as_secs()).unwrap_or(i64::MAX)
    }

    fn time_to(&self, time: &str) -> Duration {
        let minutes = time.split_once(':').and_then(|(hours, minutes)| {
            Some(hours.parse::<u32>().ok()? * 60 + minutes.parse::<u32>().ok()?)
        });
        let wanted = i64::from(minutes.expect("HH:MM") * 60);
        let left = (wanted - self.now()).rem_euclid(DAY);
        Duration::from_secs(left.unsigned_abs())
    }

    fn jump(&mut self, by: Duration) {
        self.ahead += by;
        self.sandbox.say(&format!("advance {}ms", by.as_millis()));
        self.write();
    }

    fn write(&self) {
        let new = self.file.with_extension("new");
        let text = format!("{} {}\n", self.ahead.as_millis(), self.wall_off * 1_000);
        fs::write(&new, text).expect("our own directory");
        fs::rename(new, &self.file).expect("our own directory");
    }

    /// Waits until no refresh is under way, and nothing was written or asked for a moment.
    fn settle(&mut self) {
        let mut seen = None;
        let quiet = wait_until(SOON, || {
            let asked = self.sandbox.state()["counters"].to_string();
            let now = self.written().map(|version| (version, asked));
            let same = now.is_some() && seen == now;
            if !same {
                pause(WAKING);
            }
            seen = now;
            same
        });
        assert!(quiet, "something goes on after a step of the clock");
    }

    /// A number that has changed if anything was written to the store; none while a refresh is under way.
    fn written(&mut self) -> Option<i64> {
        if self.store.is_none() && self.store_file.exists() {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
            self.store = Connection::open_with_flags(&self.store_file, flags).ok();
        }
        let Some(store) = &self.store else {
            return Some(0);
        };
        let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).ok();
        (number(UNDER_WAY)? == 0).then_some(())?;
        number("PRAGMA data_version")
    }
}
