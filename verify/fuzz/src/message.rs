//! Answers as text: a status, headers, an empty line, a body; a line of `=====` before the next answer.

use authkeeper::http::Reply;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const BETWEEN: &[u8] = b"\n=====\n";

/// The answers in a case. What is no header is left out, as a server that sends it has no connection with us.
pub(crate) fn replies(case: &[u8]) -> Vec<Reply> {
    let mut replies = vec![];
    let mut rest = case;
    while let Some(at) = find(rest, BETWEEN) {
        replies.push(reply(&rest[..at]));
        rest = &rest[at + BETWEEN.len()..];
    }
    replies.push(reply(rest));
    replies
}

/// The one answer in a case.
pub(crate) fn reply(case: &[u8]) -> Reply {
    let (head, body) = match find(case, b"\n\n") {
        Some(at) => (&case[..at], &case[at + 2..]),
        None => (case, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let status = status.and_then(|text| text.trim().parse().ok());
    let headers: HeaderMap = lines.filter_map(header).collect();
    Reply {
        status: status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::OK),
        headers,
        body: body.to_vec().into(),
    }
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let at = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..at]).ok()?;
    let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
