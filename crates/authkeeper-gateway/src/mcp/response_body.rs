//! Reading response bodies within bounds.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;

use super::sse::{Event, EventTooLarge, Parser};
use crate::body::ResponseBody;

/// What 2025-11-25 leaves open: the pause before reconnecting when the server names none.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);
/// A server that keeps failing is asked this seldom; one that names a longer pause is obeyed.
const SLOWEST_RETRY: Duration = Duration::from_secs(30);
/// No server may put us to sleep for longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// How long to wait before connecting again: never less than the server asked for, more after
/// connections in a row that brought nothing.
pub(super) fn pause(retry: Option<Duration>, fruitless: u32) -> Duration {
    let asked = retry.unwrap_or(DEFAULT_RETRY);
    let backoff = match fruitless {
        0 | 1 => Duration::ZERO,
        more => DEFAULT_RETRY
            .saturating_mul(1 << (more - 1).min(8))
            .min(SLOWEST_RETRY),
    };
    asked.max(backoff).min(LONGEST_PAUSE)
}

/// A stream of events that may continue over several connections.
pub(super) struct EventStream {
    parser: Parser,
    body: Option<ResponseBody>,
    /// Connections in a row that brought nothing.
    pub(super) fruitless: u32,
}

impl EventStream {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            parser: Parser::new(limit),
            body: None,
            fruitless: 0,
        }
    }

    pub(super) fn attach(&mut self, body: ResponseBody) {
        self.parser.reconnected();
        self.body = Some(body);
        self.fruitless = self.fruitless.saturating_add(1);
    }

    pub(super) fn last_id(&self) -> Option<String> {
        self.parser.last_id().map(str::to_owned)
    }

    pub(super) fn pause(&self) -> Duration {
        pause(self.parser.retry(), self.fruitless)
    }

    /// The events that arrived next, perhaps none yet; `None` once the connection has ended, well or
    /// not: what was missing is the caller's to know.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Event>>, EventTooLarge> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let Some(Ok(frame)) = body.frame().await else {
            self.body = None;
            return Ok(None);
        };
        let mut events = Vec::new();
        if let Some(data) = frame.data_ref() {
            self.parser.push(data, &mut events)?;
        }
        if !events.is_empty() {
            self.fruitless = 0;
        }
        Ok(Some(events))
    }
}

/// The message in an event. Other kinds of events are none of MCP's.
pub(super) fn message_of(event: Event) -> Option<Bytes> {
    matches!(event.kind.as_str(), "" | "message").then(|| event.data.into())
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Broken,
    TooLarge,
}

pub(super) async fn read_bounded(mut body: ResponseBody, limit: usize) -> Result<Bytes, Unread> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Unread::Broken)?;
        let data = frame.data_ref().map_or([].as_slice(), |data| data);
        if whole.len() + data.len() > limit {
            return Err(Unread::TooLarge);
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_obey_the_server_and_grow_when_fruitless() {
        let ms = Duration::from_millis;
        assert_eq!(pause(Some(ms(500)), 0), ms(500));
        assert_eq!(pause(Some(ms(500)), 1), ms(500));
        assert_eq!(pause(None, 0), ms(1000));
        assert_eq!(pause(Some(ms(500)), 2), ms(2000));
        assert_eq!(pause(Some(ms(45_000)), 9), ms(45_000));
        assert_eq!(pause(None, u32::MAX), SLOWEST_RETRY);
        assert_eq!(pause(Some(Duration::MAX), 0), LONGEST_PAUSE);
    }
}
