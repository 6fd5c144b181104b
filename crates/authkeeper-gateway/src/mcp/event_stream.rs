//! A stream of events that may continue over several connections.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::{
    body::ResponseBody,
    mcp::codec::{
        reconnect::pause,
        sse::{EventTooLarge, Parser, SseEvent},
    },
};

/// A stream of events that may continue over several connections.
pub(in crate::mcp) struct EventStream {
    parser: Parser,
    body: Option<ResponseBody>,
    /// Came together with the first event.
    early: Vec<SseEvent>,
    /// Connections in a row that brought nothing.
    pub(in crate::mcp) fruitless: u32,
}

impl EventStream {
    pub(in crate::mcp) fn new(limit: usize) -> Self {
        Self {
            parser: Parser::new(limit),
            body: None,
            early: Vec::new(),
            fruitless: 0,
        }
    }

    pub(in crate::mcp) fn attach(&mut self, body: ResponseBody) {
        self.parser.reconnected();
        self.body = Some(body);
        self.fruitless = self.fruitless.saturating_add(1);
    }

    pub(in crate::mcp) fn last_id(&self) -> Option<String> {
        self.parser.last_id().map(str::to_owned)
    }

    pub(in crate::mcp) fn pause(&self) -> Duration {
        pause(self.parser.retry(), self.fruitless)
    }

    /// The event that comes first, if one comes.
    pub(in crate::mcp) async fn first(&mut self) -> Option<SseEvent> {
        while let Ok(Some(events)) = self.next().await {
            let mut events = events.into_iter();
            if let Some(first) = events.next() {
                self.early = events.collect();
                return Some(first);
            }
        }
        None
    }

    /// The events that arrived next, perhaps none yet; `None` once the connection has ended, well or
    /// not: what was missing is the caller's to know.
    pub(in crate::mcp) async fn next(&mut self) -> Result<Option<Vec<SseEvent>>, EventTooLarge> {
        if !self.early.is_empty() {
            return Ok(Some(std::mem::take(&mut self.early)));
        }
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
pub(in crate::mcp) fn message_of(event: SseEvent) -> Option<Bytes> {
    matches!(event.kind.as_str(), "" | "message").then(|| event.data.into())
}
