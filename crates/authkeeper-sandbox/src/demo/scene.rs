//! What both stories share: the sandbox, the workspace, the screen, and a look at all of them many times a second.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::PathBuf,
    process::ExitStatus,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    error::DemoError,
    job_log::{JobCall, JobLog},
    screen::Screen,
    terminal::Tone,
    timeline::{CallDot, KeyBar, TimelineMark, TimelineStyle, TimelineView, picture},
    workspace::{CommandEnd, CommandFiles, Workspace},
};
use crate::{
    clock,
    counters::Counters,
    sandbox::{Control, Sandbox},
    settings::{Rules, SandboxSettings},
};

/// Now, in milliseconds since 1970.
pub(super) fn now() -> i64 {
    clock::wall_millis()
}

/// How long the provider lets a key live.
pub(super) const KEY_LIFE: Duration = Duration::from_millis(KEY_LIFE_MS.unsigned_abs());
pub(super) const KEY_LIFE_MS: i64 = 20_000;
/// How long a call takes at the provider, so that there are calls under way whatever happens.
const CALL_TIME: &str = "fault slow-answer=200ms,at=api";
const LOOK: Duration = Duration::from_millis(20);
/// How often the picture is drawn, in looks.
const DRAWN: u32 = 6;

pub(super) struct DemoScene {
    pub(super) sandbox: Sandbox,
    pub(super) workspace: Workspace,
    pub(super) screen: Screen,
    pub(super) log: JobLog,
    pub(super) keys: Vec<i64>,
    /// When the access ended, in milliseconds since 1970.
    pub(super) ended: Option<i64>,
    pub(super) marks: Vec<TimelineMark>,
    pub(super) sentence: &'static str,
    tail: Tail,
    /// What had been served before the job began: the call that proved the sign-in.
    served_before: u64,
    zero: i64,
    span: Duration,
    looks: u32,
}

/// Reads what is appended to a file, line by line.
struct Tail {
    path: PathBuf,
    read: u64,
}

impl Tail {
    fn lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut file = BufReader::new(file);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = file.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Ok(lines);
            }
            self.read += length as u64;
            lines.push(line);
        }
    }
}

pub(super) fn bug(what: impl Into<String>) -> DemoError {
    DemoError::Story(what.into())
}

/// A short time, in words.
pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

impl DemoScene {
    pub(super) async fn open(
        workspace: Workspace,
        screen: Screen,
        span: Duration,
    ) -> Result<Self, DemoError> {
        let settings = SandboxSettings {
            users: vec!["alice".to_owned()],
            rules: Rules {
                ttl: KEY_LIFE,
                ..Rules::default()
            },
            ..SandboxSettings::default()
        };
        let sandbox = Sandbox::start(settings).await?;
        Ok(Self {
            tail: Tail {
                path: workspace.job_log(),
                read: 0,
            },
            served_before: 0,
            zero: now(),
            sandbox,
            workspace,
            screen,
            log: JobLog::default(),
            keys: Vec::new(),
            ended: None,
            marks: Vec::new(),
            sentence: "",
            span,
            looks: 0,
        })
    }

    /// The parts, once the story is over.
    pub(super) fn close(self) -> (Workspace, Screen, Sandbox) {
        (self.workspace, self.screen, self.sandbox)
    }

    pub(super) fn control(&self) -> Control {
        self.sandbox.control()
    }

    /// Tells the sandbox something it must understand.
    pub(super) fn order(&self, words: &str) -> Result<serde_json::Value, DemoError> {
        let done = self.control().say(words);
        done.map_err(|error| bug(format!("the sandbox refuses {words:?}: {error}")))
    }

    pub(super) fn counters(&self) -> Counters {
        self.sandbox.counters()
    }

    /// The calls of the job that were served.
    pub(super) fn served(&self) -> u64 {
        self.counters().api_ok.saturating_sub(self.served_before)
    }

    /// How long ago the newest key was given.
    pub(super) fn key_age(&self) -> Duration {
        let given = self.keys.last().copied().unwrap_or_else(now);
        Duration::from_millis(u64::try_from(now() - given).unwrap_or_default())
    }

    pub(super) fn under_way(&self) -> u64 {
        self.log.count(|call| call.end.is_none())
    }

    /// The time line begins with the first key. From here on calls take a while.
    pub(super) fn begin(&mut self) -> Result<(), DemoError> {
        self.order(CALL_TIME)?;
        self.served_before = self.counters().api_ok;
        self.note_keys();
        self.zero = self.keys.first().copied().unwrap_or(self.zero);
        Ok(())
    }

    /// A point on the time line.
    pub(super) fn since_zero(&self, at: i64) -> i64 {
        at - self.zero
    }

    pub(super) fn mark(&mut self, label: &'static str, paint: Tone) {
        let from = self.since_zero(now());
        self.marks.push(TimelineMark {
            from,
            until: None,
            label,
            paint,
        });
    }

    fn note_keys(&mut self) {
        let issued = self.counters().access_tokens_issued;
        while (self.keys.len() as u64) < issued {
            self.keys.push(now());
        }
    }

    /// One look at everything; says how the command ended, if it did.
    pub(super) async fn look(&mut self) -> Option<ExitStatus> {
        tokio::time::sleep(LOOK).await;
        self.note_keys();
        self.read_log();
        self.looks += 1;
        if self.looks.is_multiple_of(DRAWN) {
            self.draw();
        }
        self.workspace.poll()
    }

    /// Reads what the job noted meanwhile. A log that is not there yet has no lines.
    pub(super) fn read_log(&mut self) {
        for line in self.tail.lines().unwrap_or_default() {
            self.log.read(&line);
        }
    }

    /// Looks until it is so. The command goes on meanwhile; if it ends, or takes too long, the story is broken.
    pub(super) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        so: impl Fn(&Self) -> bool,
    ) -> Result<(), DemoError> {
        let started = Instant::now();
        while !so(self) {
            if let Some(status) = self.look().await {
                return Err(bug(format!("the run ended ({status}) before {what}")));
            }
            if started.elapsed() > limit {
                let limit = limit.as_secs();
                return Err(bug(format!("{what} did not come within {limit} s")));
            }
        }
        Ok(())
    }

    /// Looks for a while, whatever happens.
    pub(super) async fn pass(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            let _ = self.look().await;
        }
    }

    /// Looks until the command has ended by itself.
    pub(super) async fn until_ended(&mut self, limit: Duration) -> Result<ExitStatus, DemoError> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.look().await {
                return Ok(status);
            }
            if started.elapsed() > limit {
                return Err(bug(format!(
                    "the run did not end within {} s",
                    limit.as_secs()
                )));
            }
        }
    }

    /// Starts a command, shown as the user would type it.
    pub(super) fn start(&mut self, arguments: &[&str]) -> Result<CommandFiles, DemoError> {
        self.screen
            .command(&format!("authkeeper {}", arguments.join(" ")));
        self.workspace.start(arguments)
    }

    /// Runs a command, shown as the user would type it, and shows those of its lines that are wanted.
    pub(super) async fn show(
        &mut self,
        arguments: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<CommandEnd, DemoError> {
        self.screen
            .command(&format!("authkeeper {}", arguments.join(" ")));
        let ended = self.workspace.run(arguments).await?;
        let lines = ended.stderr.lines().chain(ended.stdout.lines());
        for line in lines.filter(|line| !line.trim().is_empty() && wanted(line)) {
            self.screen.printed(line.trim_end());
        }
        Ok(ended)
    }

    /// Says what happens above the picture, and in it what is the case from `now` on.
    pub(super) fn happens(&mut self, paint: Option<Tone>, now: &'static str, text: &str) {
        self.sentence = now;
        self.screen.event(paint, text);
        self.draw();
    }

    pub(super) fn draw(&mut self) {
        if !self.screen.is_live() || self.keys.is_empty() {
            return;
        }
        let style = TimelineStyle {
            width: self.screen.width(),
            unicode: self.screen.speaks_unicode(),
        };
        let view = self.view();
        let lines = picture(&view, style, &|tone, text| self.screen.paint(tone, text));
        self.screen.draw(&lines);
    }

    fn view(&self) -> TimelineView {
        let key = |(index, from): (usize, &i64)| KeyBar {
            from: self.since_zero(*from),
            until: self.since_zero(*from) + KEY_LIFE_MS,
            handed_over: self
                .keys
                .get(index + 1)
                .or(self.ended.as_ref())
                .map(|next| self.since_zero(*next)),
        };
        let dot = |call: &JobCall| {
            let (at, _) = call.end.as_ref()?;
            Some(CallDot {
                at: self.since_zero(*at),
                good: call.is_done(),
            })
        };
        TimelineView {
            now: self.since_zero(now()),
            span: i64::try_from(self.span.as_millis()).unwrap_or_default(),
            keys: self.keys.iter().enumerate().map(key).collect(),
            calls: self.log.calls.iter().filter_map(dot).collect(),
            marks: self.marks.clone(),
            sentence: self.sentence.to_owned(),
            numbers: self.numbers(),
        }
    }

    fn numbers(&self) -> String {
        let log = &self.log;
        format!(
            "{} calls answered, {} failed | key {}, each lives {} s | {} s",
            log.count(JobCall::is_done),
            log.count(JobCall::is_failed),
            self.keys.len(),
            KEY_LIFE.as_secs(),
            self.since_zero(now()) / 1000,
        )
    }
}
