//! One stream of a server of the HTTP+SSE transport, which is its session: it ends when the stream ends.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use tokio::{sync::mpsc, task::JoinSet};

use super::routes::{About, Destination, Route, Routes};
use crate::{
    body::{ResponseBody, sent},
    mcp::{
        codec::{
            framing::one_line,
            message::{Id, Message},
        },
        event_stream::{EventStream, message_of},
        progress::progress_token,
    },
};

/// Messages that wait to be read; at this many the server's stream is not read.
const QUEUED: usize = 256;

type Events = mpsc::Sender<Bytes>;

/// A session: an endpoint for messages, and the stream that brings what the server says.
pub(super) struct SseSession {
    id: HeaderValue,
    endpoint: String,
    shared: Arc<Mutex<Shared>>,
    reader: Mutex<JoinSet<()>>,
}

struct Shared {
    is_open: bool,
    routes: Routes<Events>,
    listener: Events,
    /// What came before somebody listened.
    unheard: Option<mpsc::Receiver<Bytes>>,
}

impl SseSession {
    pub(super) fn begin(endpoint: String, stream: EventStream) -> Self {
        let (listener, unheard) = mpsc::channel(QUEUED);
        let shared = Arc::new(Mutex::new(Shared {
            is_open: true,
            routes: Routes::default(),
            listener,
            unheard: Some(unheard),
        }));
        let mut reader = JoinSet::new();
        reader.spawn(read(stream, Arc::clone(&shared)));
        Self {
            id: own_id(),
            endpoint,
            shared,
            reader: Mutex::new(reader),
        }
    }

    /// Told to the bridge in the place of the session id of Streamable HTTP.
    pub(super) fn id(&self) -> &HeaderValue {
        &self.id
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.shared).is_open
    }

    /// A stream with the answers to what `message` asks, which ends after them or with the session; `None` if it asks nothing.
    pub(super) fn expect_answers(&self, message: &Message) -> Option<Response<ResponseBody>> {
        let ids = message.awaited();
        if ids.is_empty() {
            return None;
        }
        let (to, answers) = mpsc::channel(QUEUED);
        let mut shared = lock(&self.shared);
        shared.routes.retain(|to| !to.is_closed());
        // Without a stream nobody answers: the sender is dropped, and the body ends.
        if shared.is_open {
            shared.routes.add(Route {
                ids: ids.iter().map(|id| id.key().clone()).collect(),
                progress_token: progress_token(message).map(|raw| Id::parse(&raw).key().clone()),
                to,
            });
        }
        Some(events(sent(answers)))
    }

    /// A stream with what the server says while no request is open; `None` once the session has ended.
    pub(super) fn listen(&self) -> Option<Response<ResponseBody>> {
        let mut shared = lock(&self.shared);
        if !shared.is_open {
            return None;
        }
        let heard = shared.unheard.take().unwrap_or_else(|| {
            let (listener, heard) = mpsc::channel(QUEUED);
            shared.listener = listener;
            heard
        });
        Some(events(sent(heard)))
    }

    /// Ends the stream, and with it the session.
    pub(super) fn close(&self) {
        lock(&self.reader).abort_all();
        lock(&self.shared).close();
    }
}

impl Shared {
    /// Everything that is read from it ends.
    fn close(&mut self) {
        self.is_open = false;
        self.routes.clear();
        self.unheard = None;
        self.listener = mpsc::channel(1).0;
    }

    fn destination(&mut self, about: &About) -> Option<Events> {
        self.routes.retain(|to| !to.is_closed());
        match self.routes.destination(about) {
            Destination::Request(to) => Some(to),
            Destination::Nobody => None,
            // Before somebody listens, a full queue must not keep answers from being read.
            Destination::Listener if self.unheard.is_some() && self.listener.capacity() == 0 => {
                None
            }
            Destination::Listener => Some(self.listener.clone()),
        }
    }
}

/// Hands out what comes, until the stream ends.
async fn read(mut stream: EventStream, shared: Arc<Mutex<Shared>>) {
    loop {
        match stream.next().await {
            Ok(Some(events)) => {
                for message in events.into_iter().filter_map(message_of) {
                    hand_out(&shared, message).await;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "the server's stream can't be read on");
                break;
            }
        }
    }
    lock(&shared).close();
}

async fn hand_out(shared: &Mutex<Shared>, message: Bytes) {
    let Some(about) = About::of(&message) else {
        tracing::warn!(
            bytes = message.len(),
            "dropped an event that is not a JSON-RPC message"
        );
        return;
    };
    let to = lock(shared).destination(&about);
    let event = [b"data: ", one_line(message).as_ref(), b"\n\n"].concat();
    let is_heard = match to {
        Some(to) => to.send(event.into()).await.is_ok(),
        None => false,
    };
    if !is_heard {
        tracing::debug!("dropped a message that nobody waits for");
    }
}

/// A stream of events, as a server of Streamable HTTP answers.
fn events(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn own_id() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("http-sse-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).unwrap_or_else(|_never| HeaderValue::from_static("http-sse"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
