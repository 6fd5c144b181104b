//! The event stream of a call that waits for a person. If the client accepts events, its answer begins as a stream: comments
//! keep it alive, progress is sent if the client asked for it, and the server's answer is the last event.
//!
//! The status and the headers of that answer come too late then, so its JSON-RPC message is sent alone. Requests whose
//! headers matter never get such a stream: a handshake (the session's id is a header), a GET, a DELETE, a notification, and
//! a subscription.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{
    body::{BoxError, ResponseBody},
    error::CallError,
    mcp::HttpMessage,
    wait::{WaitReason, Waiting},
};

/// How often something is heard. Shorter than the patience of any proxy in between.
const EVERY: Duration = Duration::from_secs(5);
/// Every second time it is progress, where that was asked for.
const PROGRESS: u32 = 2;
const COMMENT: &[u8] = b": waiting to be authorized\n\n";
/// As the bridge's: a larger answer is dropped.
const LARGEST: usize = 64 << 20;
/// A proxy that collects events before it passes them on would make them useless (nginx).
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The outcome of forwarding a call.
pub(super) type Forwarded = Result<Response<ResponseBody>, CallError>;

type Piece = Result<Bytes, BoxError>;

/// A call that is being forwarded.
pub(super) type Forwarding = Pin<Box<dyn Future<Output = Forwarded> + Send>>;

/// Whether the client takes events in the place of its answer.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let mut kinds = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

pub(super) fn is_stream(response: &Response<ResponseBody>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// What became of a call first.
pub(super) enum FirstOutcome {
    Done(Forwarded),
    /// It waits for a person.
    Waits(Forwarding),
}

pub(super) async fn begun(
    forwarding: impl Future<Output = Forwarded> + Send + 'static,
    waiting: &Waiting,
) -> FirstOutcome {
    let mut forwarding: Forwarding = Box::pin(forwarding);
    let mut waits = waiting.watch();
    tokio::select! {
        biased;
        forwarded = &mut forwarding => FirstOutcome::Done(forwarded),
        // For a provider it waits for seconds only: its status and headers are worth them.
        _ = waits.wait_for(|waits| waits.as_ref().is_some_and(for_a_person)) => FirstOutcome::Waits(forwarding),
    }
}

fn for_a_person(waits: &WaitReason) -> bool {
    waits.for_a_person
}

/// The answer to a call that waits, begun before there is one. Who goes away ends the call.
pub(super) fn stream(
    forwarding: Forwarding,
    waiting: &Waiting,
    peeked: HttpMessage,
) -> Response<ResponseBody> {
    let (out, pieces) = mpsc::channel(1);
    let waiting = waiting.watch();
    let work = async move {
        let forwarded = tokio::select! {
            forwarded = forwarding => forwarded,
            never = tell(&out, &peeked, waiting) => match never {},
        };
        finish(&out, forwarded, &peeked).await;
    };
    let work = Some(Box::pin(work) as Pin<Box<dyn Future<Output = ()> + Send>>);
    let mut response = Response::new(ResponseBody::new(WaitBody { work, pieces }));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (BUFFERING, "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn tell(
    out: &mpsc::Sender<Piece>,
    peeked: &HttpMessage,
    mut waiting: watch::Receiver<Option<WaitReason>>,
) -> std::convert::Infallible {
    let mut told = 0;
    while waiting.wait_for(Option::is_some).await.is_ok() {
        let mut times = 0;
        loop {
            let Some(waits_for) = waiting.borrow_and_update().clone() else {
                break;
            };
            let progress = if times % PROGRESS == 0 {
                told += 1;
                peeked.progress(told, &waits_for, EVERY * times)
            } else {
                None
            };
            let piece = progress.map_or(Bytes::from_static(COMMENT), |message| event(&message));
            // An error means that nobody reads any more, which ends this too.
            let _ = out.send(Ok(piece)).await;
            times += 1;
            tokio::select! {
                () = sleep(EVERY) => {}
                _ = waiting.wait_for(Option::is_none) => break,
            }
        }
    }
    std::future::pending().await
}

/// The server's last word, or ours.
async fn finish(out: &mpsc::Sender<Piece>, forwarded: Forwarded, peeked: &HttpMessage) {
    let last = match forwarded {
        Ok(response) if response.status().is_success() && is_stream(&response) => {
            return pass(out, response.into_body()).await;
        }
        Ok(response) => peeked.answered(response, LARGEST).await,
        Err(error) => peeked.refused(&error),
    };
    let _ = out.send(Ok(event(&last))).await;
}

/// The server's own events, as they come.
async fn pass(out: &mpsc::Sender<Piece>, mut events: ResponseBody) {
    while let Some(frame) = events.frame().await {
        let piece = match frame.map(Frame::into_data) {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(_trailers)) => continue,
            Err(broken) => Err(broken),
        };
        if out.send(piece).await.is_err() {
            return;
        }
    }
}

fn event(message: &[u8]) -> Bytes {
    [b"data: ", message, b"\n\n"].concat().into()
}

/// The events and the work that produces them, in one body: the work ends when the client stops reading.
struct WaitBody {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pieces: mpsc::Receiver<Piece>,
}

impl Body for WaitBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let worked = self.work.as_mut().map(|work| work.as_mut().poll(context));
        if worked.is_some_and(|worked| worked.is_ready()) {
            self.work = None;
        }
        let piece = self.pieces.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(call: &'static str, seconds: u64) -> Vec<String> {
        let peeked = HttpMessage::at(&Bytes::from_static(call.as_bytes())).unwrap();
        let (waiting, (out, mut pieces)) = (Waiting::default(), mpsc::channel(64));
        let held = waiting.begin();
        held.says(WaitReason {
            what: "Open the link.".into(),
            limit: Duration::from_mins(5),
            for_a_person: true,
        });
        let telling = tell(&out, &peeked, waiting.watch());
        let _ = tokio::time::timeout(Duration::from_secs(seconds), telling).await;
        let mut all = Vec::new();
        while let Ok(piece) = pieces.try_recv() {
            all.push(String::from_utf8(piece.unwrap().to_vec()).unwrap());
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn something_is_heard_every_five_seconds_and_progress_every_ten() {
        let silent = told(r#"{"id":1,"method":"tools/call"}"#, 12).await;
        assert_eq!(silent, [": waiting to be authorized\n\n"; 3]);
        let asks = r#"{"id":1,"method":"tools/call","params":{"_meta":{"progressToken":"p"}}}"#;
        let heard = told(asks, 12).await;
        assert_eq!(heard.len(), 3);
        assert_eq!(heard[1], ": waiting to be authorized\n\n");
        for (event, waited) in [(&heard[0], "Waited 0 s"), (&heard[2], "Waited 10 s")] {
            assert!(event.starts_with("data: {") && event.ends_with("}\n\n"));
            assert!(event.contains(waited), "{event}");
        }
    }

    #[test]
    fn events_are_taken_where_they_are_named() {
        let takes = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            takes_events(&headers)
        };
        assert!(takes("application/json, text/event-stream"));
        assert!(takes("TEXT/EVENT-STREAM;q=0.5"));
        assert!(!takes("*/*") && !takes("text/event-streams") && !takes("application/json"));
        assert!(!takes_events(&HeaderMap::new()));
    }
}
