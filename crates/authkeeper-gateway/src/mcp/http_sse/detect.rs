//! Which servers speak the HTTP+SSE transport.

use std::time::Duration;

use http::{Response, StatusCode};
use tokio::time::timeout;

use crate::{
    body::ResponseBody,
    mcp::{
        answer::{Shape, shape},
        codec::message::FromServer,
        event_stream::EventStream,
    },
};

/// The endpoint is the first thing that a server says on its stream.
const ENDPOINT_TIME: Duration = Duration::from_secs(10);

/// Whether an `initialize` was refused as a server refuses it that takes no POSTs at this URL. An MCP message is a verdict on
/// the message, and some statuses have reasons of their own.
pub(super) fn refuses_streamable_http(status: StatusCode, body: &[u8]) -> bool {
    let is_refused = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::GONE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::NOT_IMPLEMENTED
    );
    is_refused && FromServer::parse(body).is_none()
}

/// Where messages go, and the stream that brings what the server says.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) stream: EventStream,
}

/// Reads the answer to a GET up to its endpoint, if its first event names one.
pub(super) async fn endpoint(
    response: Response<ResponseBody>,
    max_message: usize,
) -> Option<Endpoint> {
    if shape(&response) != Shape::Events {
        return None;
    }
    let mut stream = EventStream::new(max_message);
    stream.attach(response.into_body());
    let first = timeout(ENDPOINT_TIME, stream.first());
    let event = first.await.ok().flatten()?;
    if event.kind != "endpoint" {
        return None;
    }
    let url = String::from_utf8(event.data).ok()?.trim().to_owned();
    Some(Endpoint { url, stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_is_no_mcp_message_may_be_about_the_transport() {
        let refuses = |status: u16, body: &str| {
            refuses_streamable_http(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        for status in [400, 404, 405, 406, 410, 415, 422, 501] {
            assert!(refuses(status, "Method Not Allowed"), "{status}");
        }
        for status in [401, 403, 407, 408, 409, 429, 500, 502, 503, 504] {
            assert!(!refuses(status, ""), "{status}");
        }
        let verdict = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}"#;
        assert!(!refuses(400, verdict) && !refuses(404, verdict));
        assert!(refuses(405, r#"{"error":"method_not_allowed"}"#));
    }
}
