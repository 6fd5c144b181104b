//! The event log: what happened, in plain words, for a person who watches.

use std::collections::VecDeque;

use serde::Serialize;
use tokio::sync::broadcast;

/// How an event looks to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// A success.
    Good,
    /// Information.
    Plain,
    /// An ordinary refusal.
    Warn,
    /// A loss: a grant, a client or a server state.
    Bad,
}

/// Something that happened, in plain words. It holds no token.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxEvent {
    /// Its number, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970 by the sandbox's clock.
    pub at: u64,
    /// How it looks to a reader.
    pub mood: Mood,
    /// What happened.
    pub text: String,
}

/// How many events are kept.
const KEPT: usize = 200;

/// The last events, and those who listen.
#[derive(Debug)]
pub(crate) struct EventLog {
    next: u64,
    last: VecDeque<SandboxEvent>,
    listeners: broadcast::Sender<SandboxEvent>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            last: VecDeque::new(),
            listeners: broadcast::channel(1024).0,
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<SandboxEvent> {
        self.listeners.subscribe()
    }

    pub(crate) fn say(&mut self, at: u64, mood: Mood, text: String) {
        self.next += 1;
        let event = SandboxEvent {
            number: self.next,
            at,
            mood,
            text,
        };
        // Nobody listening is no error.
        let _ = self.listeners.send(event.clone());
        self.last.push_back(event);
        if self.last.len() > KEPT {
            self.last.pop_front();
        }
    }

    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = &SandboxEvent> {
        self.last.iter().filter(move |event| event.number > number)
    }
}
