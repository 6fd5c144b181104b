//! Newline-delimited JSON on both sides of the client (transports, stdio).

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

#[derive(Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Line {
    Message(Bytes),
    /// Longer than allowed; skipped up to its end.
    TooLong,
}

/// Reads lines no longer than `limit`. Its state survives a dropped [`LineReader::next`], so it may
/// be one arm of a `select!`.
pub(in crate::mcp) struct LineReader<R> {
    input: R,
    limit: usize,
    line: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    pub(in crate::mcp) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            limit,
            line: Vec::new(),
            too_long: false,
        }
    }

    /// The next line that is not blank; `None` at the end of input.
    pub(in crate::mcp) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                return Ok(self.take());
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let part = available
                .get(..newline.unwrap_or(available.len()))
                .unwrap_or_default();
            let used = part.len() + usize::from(newline.is_some());
            if self.line.len() + part.len() > self.limit {
                self.too_long = true;
                self.line = Vec::new();
            }
            if !self.too_long {
                self.line.extend_from_slice(part);
            }
            self.input.consume(used);
            if newline.is_some()
                && let Some(line) = self.take()
            {
                return Ok(Some(line));
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            return Some(Line::TooLong);
        }
        let line = Bytes::from(line);
        let message = line.trim_ascii();
        (!message.is_empty()).then(|| Line::Message(line.slice_ref(message)))
    }
}

/// Makes a JSON text one line. A raw line break can only stand between tokens (RFC 8259 §2, §7), so a
/// space says the same; anything else stays as it is.
pub(in crate::mcp) fn one_line(json: Bytes) -> Bytes {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(is_break) {
        return json;
    }
    let flat = json
        .iter()
        .map(|byte| if is_break(byte) { b' ' } else { *byte });
    flat.collect::<Vec<u8>>().into()
}

/// The only place that writes to the client: whole lines, one after the other.
pub(in crate::mcp) async fn write_lines<W>(
    output: W,
    mut lines: mpsc::Receiver<Bytes>,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin + Send,
{
    // A line and its end leave together.
    let mut output = BufWriter::new(output);
    while let Some(line) = lines.recv().await {
        output.write_all(&line).await?;
        output.write_all(b"\n").await?;
        if lines.is_empty() {
            output.flush().await?;
        }
    }
    output.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], limit: usize) -> Vec<Line> {
        // A tiny buffer makes every line arrive in pieces.
        let mut reader = LineReader::new(tokio::io::BufReader::with_capacity(3, input), limit);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(line);
        }
        lines
    }

    fn message(text: &'static str) -> Line {
        Line::Message(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn splits_lines_and_takes_the_last_one_unterminated() {
        let read = lines(b"{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}", 100).await;
        assert_eq!(
            read,
            [
                message("{\"a\":1}"),
                message("{\"b\":2}"),
                message("{\"c\":3}")
            ]
        );
    }

    #[tokio::test]
    async fn an_oversized_line_is_skipped_to_its_end() {
        let read = lines(b"12345678\n123456789\n1\n", 8).await;
        assert_eq!(read, [message("12345678"), Line::TooLong, message("1")]);
    }

    #[test]
    fn flattening_changes_line_breaks_only() {
        let pretty = Bytes::from_static(b"{\r\n  \"a\": \"x\\ny\"\n}");
        assert_eq!(one_line(pretty), "{    \"a\": \"x\\ny\" }");
        let flat = Bytes::from_static(b"{ \"a\" : 1.0 }");
        assert_eq!(one_line(flat.clone()).as_ptr(), flat.as_ptr());
    }
}
