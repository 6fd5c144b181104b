//! The loop between the client and everything that runs for it.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Response;
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::{
    exchange::{ExchangePurpose, MessageExchange},
    get_stream::listen,
    link::{BridgeCommand, ClientLink},
    negotiate::{foresee, settle},
    outcome::Finished,
    session_control,
    wait_progress::telling,
};
use crate::{
    body::ResponseBody,
    error::{CallError, CallErrorKind, Executed},
    mcp::{
        codec::{
            era::{Era, era},
            framing::{Line, LineReader, write_lines},
            message::{Id, IdKey, Message},
        },
        error_message::{line_too_long, malformed},
        forward_upstream::ForwardUpstream,
        http_sse::HttpSse,
        options::BridgeOptions,
        session::order::{Order, OrderTurn, QueuePlace},
        upstream::{Upstream, UpstreamRequest},
    },
    wait::Waiting,
};

/// Why a session ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// Standard input is broken.
    #[error("the client's messages cannot be read")]
    Input(#[source] io::Error),
    /// Standard output is broken.
    #[error("the client no longer takes messages")]
    Output(#[source] io::Error),
}

/// Serves one client until it closes `input`, then finishes what is under way within
/// [`BridgeOptions::drain`], ends the session and returns.
pub async fn serve<R, W>(
    upstream: ForwardUpstream,
    input: R,
    output: W,
    options: BridgeOptions,
) -> Result<(), BridgeError>
where
    R: AsyncBufRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    serve_upstream(Arc::new(upstream), input, output, options).await
}

/// Serves one client that can't be served: each of its requests is answered with `message`, which says why and what a
/// person must do.
pub async fn refuse<R, W>(message: String, input: R, output: W) -> Result<(), BridgeError>
where
    R: AsyncBufRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let refusing = Arc::new(Refusing(message));
    serve_upstream(refusing, input, output, BridgeOptions::default()).await
}

struct Refusing(String);

#[async_trait]
impl Upstream for Refusing {
    async fn send(&self, _request: UpstreamRequest) -> Result<Response<ResponseBody>, CallError> {
        Err(CallError::new(CallErrorKind::NotStarted, self.0.as_str()))
    }
}

pub(in crate::mcp) async fn serve_upstream<R, W>(
    upstream: Arc<dyn Upstream>,
    input: R,
    output: W,
    options: BridgeOptions,
) -> Result<(), BridgeError>
where
    R: AsyncBufRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut reader = LineReader::new(input, options.max_message);
    let (out, lines) = mpsc::channel(64);
    let mut writer = JoinSet::new();
    writer.spawn(write_lines(output, lines));
    let (sayer, said) = mpsc::unbounded_channel();
    let upstream = Arc::new(HttpSse::over(upstream, options.max_message));
    let mut bridge = Bridge::new(ClientLink::new(upstream, out, sayer, options), said);
    let read = tokio::select! {
        read = bridge.run(&mut reader) => read,
        written = writer.join_next() => Err(output_error(written)),
    };
    bridge
        .finish(matches!(read, Err(BridgeError::Output(_))))
        .await;
    drop(bridge); // the last sender: lets the writer finish
    let written = writer.join_next().await;
    read?;
    match written {
        Some(Ok(Ok(()))) => Ok(()),
        failed => Err(output_error(failed)),
    }
}

fn output_error(written: Option<Result<io::Result<()>, JoinError>>) -> BridgeError {
    BridgeError::Output(match written {
        Some(Ok(Err(error))) => error,
        Some(Err(panicked)) => io::Error::other(panicked),
        Some(Ok(Ok(()))) | None => io::ErrorKind::BrokenPipe.into(),
    })
}

/// A request that has no answer yet.
struct InFlight {
    number: u64,
    /// Several of a batch.
    ids: Vec<Id>,
    era: Era,
    /// Not worth waiting for when the client leaves: a subscription never ends by itself, and of a
    /// cancelled call nobody wants to know.
    expendable: bool,
    /// Whether it waits for a person: then the server has not heard of it.
    waiting: Waiting,
    /// Gives up after the time sent.
    give_up: watch::Sender<Option<Duration>>,
}

/// What a task reports when it is done.
struct Done {
    number: u64,
    key: Option<IdKey>,
}

struct Bridge {
    link: Arc<ClientLink>,
    said: mpsc::UnboundedReceiver<BridgeCommand>,
    order: Order,
    jobs: JoinSet<Done>,
    /// Messages whose time has not come.
    later: JoinSet<Message>,
    listener: JoinSet<()>,
    in_flight: BTreeMap<IdKey, InFlight>,
    number: u64,
}

impl Bridge {
    fn new(link: ClientLink, said: mpsc::UnboundedReceiver<BridgeCommand>) -> Self {
        Self {
            link: Arc::new(link),
            said,
            order: Order::default(),
            jobs: JoinSet::new(),
            later: JoinSet::new(),
            listener: JoinSet::new(),
            in_flight: BTreeMap::new(),
            number: 0,
        }
    }

    async fn run<R>(&mut self, reader: &mut LineReader<R>) -> Result<(), BridgeError>
    where
        R: AsyncBufRead + Unpin + Send,
    {
        let queued = self.link.options.queued;
        loop {
            tokio::select! {
                line = reader.next(), if self.jobs.len() < queued => {
                    let Some(line) = line.map_err(BridgeError::Input)? else { return Ok(()) };
                    self.accept(line).await;
                }
                Some(done) = self.jobs.join_next() => self.reap(done),
                Some(said) = self.said.recv() => self.hear(said).await,
                Some(Ok(message)) = self.later.join_next() => self.route(message),
            }
        }
    }

    async fn hear(&mut self, said: BridgeCommand) {
        match said {
            BridgeCommand::Again(message) => {
                self.link.open_requests.take(&message.awaited_keys());
                self.meet(message).await;
            }
            BridgeCommand::ToServer(message) => self.route(message),
            BridgeCommand::Later(wait, message) => {
                self.later.spawn(async move {
                    sleep(wait).await;
                    message
                });
            }
            BridgeCommand::Listen => self.listen(),
        }
    }

    /// One listens at a time, and follows from session to session.
    fn listen(&mut self) {
        while self.listener.try_join_next().is_some() {}
        if self.listener.is_empty() {
            self.listener.spawn(listen(Arc::clone(&self.link)));
        }
    }

    async fn accept(&mut self, line: Line) {
        let refused = match line {
            Line::TooLong => line_too_long(self.link.options.max_message),
            Line::Message(body) => match Message::parse(body) {
                Ok(message) => return self.meet(message).await,
                Err(problem) => malformed(problem),
            },
        };
        self.link.write(refused).await;
    }

    /// A message of the client.
    async fn meet(&mut self, message: Message) {
        if let Some(message) = self.link.interpret(message).await {
            self.route(message);
        }
    }

    /// A message for the server, in its own era.
    fn route(&mut self, message: Message) {
        if message.is_notification("notifications/cancelled") && !self.cancel(&message) {
            return;
        }
        self.link.sessions.remember(&message);
        self.start(message);
    }

    /// Acts on a cancellation; true: the server has to hear of it as well.
    fn cancel(&mut self, message: &Message) -> bool {
        let target = message.call().and_then(|call| call.cancels.clone());
        let target = target.map(|id| id.key().clone());
        let found = target.as_ref().and_then(|key| self.in_flight.get_mut(key));
        let Some(request) = found else {
            return self.link.sessions.after_handshake();
        };
        let (grace, forward) = if request.waiting.is_held() {
            (Duration::ZERO, false)
        } else {
            on_cancel(request.era, self.link.options.cancel_grace)
        };
        request.expendable = true;
        self.link.open_requests.take(target.as_slice());
        // An error means that it was done already.
        let _ = request.give_up.send(Some(grace));
        forward
    }

    fn start(&mut self, message: Message) {
        self.number += 1;
        let era = era(&message, self.link.sessions.after_handshake());
        let waiting = Waiting::default();
        let place = match era {
            Era::Handshake => self.order.place(&message, &waiting),
            Era::Stateless => QueuePlace::default(),
        };
        let (give_up, given_up) = watch::channel(None);
        let ids = message.awaited();
        let key = ids.first().map(|id| id.key().clone());
        self.link.open_requests.add(ids.clone());
        if let Some(key) = &key {
            let expendable = message.is_request("subscriptions/listen");
            let request = InFlight {
                number: self.number,
                ids,
                era,
                expendable,
                waiting: waiting.clone(),
                give_up,
            };
            self.in_flight.insert(key.clone(), request);
        }
        let link = Arc::clone(&self.link);
        let number = self.number;
        self.jobs.spawn(async move {
            job(link, (message, waiting), place, given_up).await;
            Done { number, key }
        });
    }

    fn reap(&mut self, done: Result<Done, JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => return tracing::error!(%error, "a message was lost to a bug"),
        };
        if let Some(key) = &done.key
            && self
                .in_flight
                .get(key)
                .is_some_and(|request| request.number == done.number)
        {
            self.in_flight.remove(key);
        }
    }

    /// Ends in order: nobody listens, calls finish in time or are given up, the session is closed.
    async fn finish(&mut self, client_gone: bool) {
        self.listener.shutdown().await;
        self.later.shutdown().await;
        // A client that reads nothing any more may keep others from being told anything.
        let goodbye = self.link.options.goodbye;
        let _ = timeout(goodbye, self.take_leave()).await;
        self.give_up_waits().await;
        if !client_gone {
            let drain = self.link.options.drain;
            if timeout(drain, self.drain()).await.is_err() {
                tracing::warn!(
                    calls = self.jobs.len(),
                    "gave up calls still without an answer"
                );
            }
        }
        self.jobs.shutdown().await;
        let goodbye = self.link.options.goodbye;
        if !client_gone && timeout(goodbye, self.refuse_the_rest()).await.is_err() {
            tracing::warn!("the client does not read what became of its calls");
        }
        if timeout(self.link.options.goodbye, self.link.end_session())
            .await
            .is_err()
        {
            tracing::warn!("the server did not answer the end of the session in time");
        }
    }

    /// Ends what is not worth waiting for when the client leaves.
    async fn give_up_waits(&mut self) {
        let failure = CallError::client_left(Executed::No);
        for (key, request) in std::mem::take(&mut self.in_flight) {
            if request.expendable {
                self.link.open_requests.take(&[key]);
            } else if request.waiting.is_for_a_person() {
                for id in &request.ids {
                    self.link.refuse(id, &failure).await;
                }
            } else {
                continue;
            }
            let _ = request.give_up.send(Some(Duration::ZERO));
        }
    }

    /// A call without an answer would count as lost: its client may read on after it closed its own end.
    async fn refuse_the_rest(&self) {
        let failure = CallError::client_left(Executed::Unknown);
        for id in self.link.open_requests.ids() {
            self.link.refuse(&id, &failure).await;
        }
    }

    /// Lets everything under way come to its end, and what follows from it.
    async fn drain(&mut self) {
        loop {
            tokio::select! {
                Some(said) = self.said.recv() => self.hear(said).await,
                done = self.jobs.join_next() => match done {
                    Some(done) => self.reap(done),
                    None if self.said.is_empty() => return,
                    None => {}
                },
            }
        }
    }

    async fn take_leave(&mut self) {
        self.link.leave().await;
        while let Ok(said) = self.said.try_recv() {
            self.hear(said).await;
        }
    }
}

/// 2026-07-28, basic/patterns/cancellation: closing the stream is the signal, at once, and the server
/// hears nothing else. 2025-11-25: the notification is the signal, a disconnect is none.
fn on_cancel(era: Era, grace: Duration) -> (Duration, bool) {
    match era {
        Era::Stateless => (Duration::ZERO, false),
        Era::Handshake => (grace, true),
    }
}

/// One message, from waiting for its turn to its end.
async fn job(
    link: Arc<ClientLink>,
    (message, waiting): (Message, Waiting),
    place: QueuePlace,
    mut given_up: watch::Receiver<Option<Duration>>,
) {
    let completes = message.is_notification("notifications/initialized");
    let asks = !message.awaited().is_empty();
    let turn = its_turn(&link, place.after, asks, &waiting);
    let _permit = tokio::select! {
        permit = telling(&link, &message, &waiting, turn) => permit,
        _ = told_to(&mut given_up) => return,
    };
    let carried = async {
        if foresee(&link, &message, &waiting).await {
            return;
        }
        let exchange = MessageExchange::new(&link, message, ExchangePurpose::Client)
            .holding(place.holds)
            .telling(waiting);
        match session_control::run(&link, exchange).await {
            Finished::Taken if completes => link.sessions.complete(),
            Finished::Taken | Finished::Failed => {}
            Finished::Mismatch(suspected) => settle(&link, *suspected).await,
        }
    };
    tokio::select! {
        () = carried => {}
        () = given_up_late(given_up) => {}
    }
}

/// Waits for what must come first, for a person too, if that waits for one; then, for a request, for a free place.
async fn its_turn(
    link: &ClientLink,
    after: Vec<OrderTurn>,
    needs_permit: bool,
    waiting: &Waiting,
) -> Option<OwnedSemaphorePermit> {
    for turn in after {
        turn.passed_telling(waiting).await;
    }
    if !needs_permit {
        return None;
    }
    Arc::clone(&link.permits).acquire_owned().await.ok()
}

/// Lets the time pass that a request still has; the end of input may shorten it.
async fn given_up_late(mut given_up: watch::Receiver<Option<Duration>>) {
    loop {
        let grace = told_to(&mut given_up).await;
        let elapsed = tokio::select! {
            () = sleep(grace) => true,
            Ok(()) = given_up.changed() => false,
        };
        if elapsed {
            return;
        }
    }
}

/// Resolves when the request is to be given up, and never when nobody is left to say so.
async fn told_to(given_up: &mut watch::Receiver<Option<Duration>>) -> Duration {
    let told = given_up
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|grace| *grace);
    match told {
        Some(grace) => grace,
        None => pending().await,
    }
}
