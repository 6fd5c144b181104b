//! What goes wrong, by seed.

use std::fmt;
use std::time::Duration;

use super::{NAME, Scene, TTL};
use crate::random::Random;
use crate::wait::pause;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// One of the sandbox's own, that a second try gets around.
    Fault(&'static str),
    /// Words of the sandbox.
    Say(&'static str),
    /// A lasting fault, for so many milliseconds.
    For(&'static str, u64),
    /// Another process wants a token of its own, and more of it than there is.
    Token,
}

/// The first five are over before a token ends; the last but two are longer than any token lives.
const ALL: [Strike; 13] = [
    Strike::Fault("status=503,times=2,at=refresh"),
    Strike::Fault("slow-answer=2s,times=1,at=refresh"),
    Strike::Fault("answer-lost,times=1,at=refresh"),
    Strike::Fault("html,times=1,at=refresh"),
    Strike::Fault("truncated,times=1,at=refresh"),
    Strike::Fault("early-401,times=1,at=mcp"),
    Strike::Say("revoke-access"),
    Strike::Say("drop-sessions"),
    Strike::For("status=503,at=mcp", 800),
    Strike::For("outage", 1_500),
    Strike::For("status=503,at=token", 24_000),
    Strike::For("outage", 26_000),
    Strike::Token,
];

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(what) | Self::Say(what) => f.write_str(what),
            Self::For(what, millis) => write!(f, "{what} for {millis} ms"),
            Self::Token => f.write_str("another process asks for a token"),
        }
    }
}

impl Strike {
    /// Whether a good token gets a 401.
    fn refuses_a_token(self) -> bool {
        matches!(self, Self::Say("revoke-access"))
            || matches!(self, Self::Fault(fault) if fault.starts_with("early-401"))
    }

    pub(super) fn strike(self, scene: &Scene<'_>) {
        match self {
            Self::Fault(fault) => scene.sandbox.fault(fault),
            Self::Say(words) => scene.sandbox.say(words),
            Self::For(fault, millis) => {
                scene.sandbox.fault(fault);
                pause(Duration::from_millis(millis));
                scene.sandbox.say("clear");
            }
            Self::Token => {
                let asked = ["token", NAME, "--min-ttl", "14s"];
                let _ = scene.home.run(&asked);
            }
        }
    }
}

/// All of them in turn, each time in another order.
pub(super) struct Strikes {
    random: Random,
    left: Vec<Strike>,
    count: u64,
}

impl Strikes {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            left: Vec::new(),
            count: 0,
        }
    }

    /// The next one, and how long to leave things alone after it.
    pub(super) fn next(&mut self) -> (Strike, Duration) {
        if self.left.is_empty() {
            self.left = ALL.to_vec();
        }
        let at = self.random.below(self.left.len() as u64);
        let strike = self.left.remove(usize::try_from(at).unwrap_or_default());
        self.count += 1;
        let rest = Duration::from_millis(8_000 + self.random.below(8_000));
        // A token that came for a 401, and gets one too, is rightly taken for refused: the one after it comes first.
        if strike.refuses_a_token() {
            return (strike, rest.max(TTL));
        }
        (strike, rest)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
