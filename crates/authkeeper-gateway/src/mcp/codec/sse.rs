//! Server-sent events, parsed as they arrive (WHATWG HTML §9.2.5–9.2.6), with a size bound.

use std::time::Duration;

use thiserror::Error;

/// One dispatched event. MCP puts a JSON-RPC message in `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mcp) struct SseEvent {
    /// The `event` field; empty means `message`.
    pub(in crate::mcp) kind: String,
    pub(in crate::mcp) data: Vec<u8>,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("an event is larger than {limit} bytes")]
pub(in crate::mcp) struct EventTooLarge {
    limit: usize,
}

/// Feed it bytes, take events. Reconnection hints are kept aside, as the standard has them.
#[derive(Debug)]
pub(in crate::mcp) struct Parser {
    limit: usize,
    line: Vec<u8>,
    /// A carriage return ended the last line: a line feed right after it belongs to it.
    after_cr: bool,
    at_start: bool,
    kind: String,
    data: Vec<u8>,
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl Parser {
    pub(in crate::mcp) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            kind: String::new(),
            data: Vec::new(),
            id: None,
            last_id: None,
            retry: None,
        }
    }

    /// The id of the last event that was complete, to resume from.
    pub(in crate::mcp) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants us to wait before reconnecting.
    pub(in crate::mcp) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Forgets a half-received event: the next bytes come from a new connection.
    pub(in crate::mcp) fn reconnected(&mut self) {
        let fresh = Self::new(self.limit);
        let (last_id, retry) = (self.last_id.take(), self.retry);
        *self = Self {
            id: last_id.clone(),
            last_id,
            retry,
            ..fresh
        };
    }

    /// Takes the next piece of the stream and appends what it completes to `events`.
    pub(in crate::mcp) fn push(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<SseEvent>,
    ) -> Result<(), EventTooLarge> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                rest = after;
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend_line(rest);
            };
            let (line, ending) = rest.split_at(end);
            self.extend_line(line)?;
            self.after_cr = ending.starts_with(b"\r");
            rest = ending.get(1..).unwrap_or_default();
            events.extend(self.end_line());
        }
        Ok(())
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + self.data.len() + part.len() > self.limit {
            return Err(EventTooLarge { limit: self.limit });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        let line = self.without_byte_order_mark(&line);
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(0) => return None, // a comment
            Some(at) => (line.get(..at), line.get(at + 1..).unwrap_or_default()),
            None => (Some(line), [].as_slice()),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.field(name.unwrap_or_default(), value);
        None
    }

    fn without_byte_order_mark<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        if std::mem::take(&mut self.at_start) {
            return line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        line
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.kind = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
    }

    /// An id counts once its event is complete, also when the event carries no data: that is how MCP
    /// servers prime a stream for resumption (2025-11-25, basic/transports, "Sending Messages" 6).
    fn dispatch(&mut self) -> Option<SseEvent> {
        if let Some(id) = &self.id {
            self.last_id = (!id.is_empty()).then(|| id.clone());
        }
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        data.pop();
        (!data.is_empty()).then_some(SseEvent { kind, data })
    }
}

fn milliseconds(value: &[u8]) -> Option<Duration> {
    let digits = std::str::from_utf8(value).ok()?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits
        .then(|| digits.parse().ok())
        .flatten()
        .map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\n\r\nretry: 500\nid: 1\ndata:\n\nid: 2\rdata: {\"a\":\r\
        data:1}\r\rdata: x\r\ndata: z\r\n\r\nevent: ping\ndata: y\nunknown: z\nnocolon\n\nid: 3\ndata: unfinished";

    fn feed(parser: &mut Parser, pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        events
    }

    fn event(kind: &str, data: &str) -> SseEvent {
        SseEvent {
            kind: kind.into(),
            data: data.into(),
        }
    }

    fn expected() -> Vec<SseEvent> {
        vec![
            event("", "{\"a\":\n1}"),
            event("", "x\nz"),
            event("ping", "y"),
        ]
    }

    #[test]
    fn reads_all_line_endings_comments_and_several_data_lines() {
        let mut parser = Parser::new(1000);
        assert_eq!(feed(&mut parser, &[STREAM.as_bytes()]), expected());
        assert_eq!(
            parser.last_id(),
            Some("2"),
            "an unfinished event has no id yet"
        );
        assert_eq!(parser.retry(), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_split_at_any_byte_changes_nothing() {
        for at in 0..=STREAM.len() {
            let (head, tail) = STREAM.as_bytes().split_at(at);
            let mut parser = Parser::new(1000);
            assert_eq!(
                feed(&mut parser, &[head, tail]),
                expected(),
                "split at {at}"
            );
            assert_eq!(parser.last_id(), Some("2"), "split at {at}");
        }
        let single: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        assert_eq!(feed(&mut Parser::new(1000), &single), expected());
    }

    #[test]
    fn an_event_without_data_still_moves_the_id() {
        let mut parser = Parser::new(1000);
        assert!(feed(&mut parser, &[b"id: prime\ndata\n\n"]).is_empty());
        assert_eq!(parser.last_id(), Some("prime"));
        feed(&mut parser, &[b"id\n\n"]);
        assert_eq!(parser.last_id(), None, "an empty id resets it");
    }

    #[test]
    fn a_new_connection_keeps_the_hints_and_drops_the_half_event() {
        let mut parser = Parser::new(1000);
        feed(
            &mut parser,
            &[b"id: a\nretry: 7\ndata: x\n\nid: b\ndata: lost"],
        );
        parser.reconnected();
        assert_eq!(
            (parser.last_id(), parser.retry()),
            (Some("a"), Some(Duration::from_millis(7)))
        );
        assert_eq!(feed(&mut parser, &[b"\ndata: y\n\n"]), [event("", "y")]);
        assert_eq!(parser.last_id(), Some("a"));
    }

    #[test]
    fn bad_hints_are_ignored() {
        let mut parser = Parser::new(1000);
        feed(
            &mut parser,
            &[b"id: a\nretry: 7\n\nid: b\0\nretry: soon\nretry:\n\n"],
        );
        assert_eq!(parser.last_id(), Some("a"));
        assert_eq!(parser.retry(), Some(Duration::from_millis(7)));
    }

    #[test]
    fn the_bound_counts_all_lines_of_an_event_but_not_the_stream() {
        let mut parser = Parser::new(16);
        for _ in 0..10 {
            feed(&mut parser, &[b"data: 12345678\n\n"]);
        }
        let mut events = Vec::new();
        assert!(parser.push(b"data: 1234567\n", &mut events).is_ok());
        assert_eq!(
            parser.push(b"data: 12345678", &mut events),
            Err(EventTooLarge { limit: 16 })
        );
    }
}
