//! The life of an upstream session: connect → negotiate → pump.
//!
//! - **Connect** ([`serve_upstream`]): the client's lines on one end, HTTP on the other.
//! - **Negotiate** ([`Phase`]): messages cross as they are until the server refuses one as a server of the other era would, or an
//!   earlier process found that it speaks only the other era. Then the server is asked in the other era's way, once for all
//!   messages that depend on it. If it answers, a translator stands between from then on.
//! - **Pump** ([`UpstreamSession::run`]): one task carries each message, one listens to the server; the loop alone decides what
//!   follows from how they end.
//!
//! A client that opens a session of its own in the server's era ends the translation: its next session is negotiated like
//! the first.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufRead, AsyncWrite},
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{
    get_stream::listen,
    in_flight::{InFlightRequests, Ticket},
    job::{JobEnd, carry, settle},
    link::{ClientEnd, Link, ServerEnd, ServerMessage},
    negotiate::{Negotiated, NegotiationResult, contradicts_memory, message_era},
    outcome::{BridgeError, Undecided},
};
use crate::{
    error::{CallError, Executed},
    mcp::{
        codec::{
            era::Era,
            framing::{Line, LineReader, write_lines},
            message::{Id, Message},
        },
        error_message::{self, line_too_long, malformed},
        http_sse::HttpSse,
        options::BridgeOptions,
        session::{
            order::{Order, QueuePlace},
            sessions::Session,
        },
        upstream::Upstream,
        version::{server_eras::RememberedEra, step::TranslatorStep, translator::Translator},
    },
};

/// Messages for the client and for the translator that wait to be taken.
const QUEUED: usize = 64;

/// Connects the client with the server, and serves it to its end.
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
    let (out, lines) = mpsc::channel(QUEUED);
    let mut writer = JoinSet::new();
    writer.spawn(write_lines(output, lines));
    let upstream = Arc::new(HttpSse::over(upstream, options.max_message));
    let mut session = UpstreamSession::new(Link {
        server: Arc::new(ServerEnd::new(upstream, options)),
        client: ClientEnd::new(out),
    });
    let read = tokio::select! {
        read = session.run(&mut reader) => read,
        written = writer.join_next() => Err(BridgeError::of_writer(written)),
    };
    session
        .finish(matches!(read, Err(BridgeError::Output(_))))
        .await;
    drop(session); // the last sender: lets the writer finish
    let written = writer.join_next().await;
    read?;
    match written {
        Some(Ok(Ok(()))) => Ok(()),
        failed => Err(BridgeError::of_writer(failed)),
    }
}

/// How far it is known which era the server speaks.
enum Phase {
    /// Messages cross as they are: nothing says that the server does not know the client's era.
    Direct,
    /// The server is asked in the other era's way. Messages that depend on it wait for what is found.
    Negotiating(VecDeque<(Box<Undecided>, Ticket)>),
    /// The server speaks only the other era: the translator was chosen for as long as the session lasts.
    Translated {
        translator: Box<Translator>,
        /// Leads to the client through the translator.
        link: Link,
    },
}

struct UpstreamSession {
    phase: Phase,
    /// Leads to the client as it is.
    link: Link,
    /// What the server says, for the translator.
    heard: mpsc::Receiver<ServerMessage>,
    translator: mpsc::Sender<ServerMessage>,
    /// Changes when a session was opened.
    opened: watch::Receiver<Session>,
    remembered: RememberedEra,
    order: Order,
    in_flight: InFlightRequests,
    jobs: JoinSet<(Ticket, JobEnd)>,
    /// Messages whose time has not come.
    later: JoinSet<Message>,
    listener: JoinSet<()>,
}

/// What happens beside the client's messages.
enum SessionEvent {
    Ended(Result<(Ticket, JobEnd), JoinError>),
    Heard(ServerMessage),
    Opened,
    Due(Message),
}

impl UpstreamSession {
    fn new(link: Link) -> Self {
        let (translator, heard) = mpsc::channel(QUEUED);
        Self {
            phase: Phase::Direct,
            heard,
            translator,
            opened: link.server.sessions.watch(),
            remembered: RememberedEra::load(link.server.options.memory.clone()),
            link,
            order: Order::default(),
            in_flight: InFlightRequests::default(),
            jobs: JoinSet::new(),
            later: JoinSet::new(),
            listener: JoinSet::new(),
        }
    }

    /// Serves the client until it closes its end.
    async fn run<R>(&mut self, reader: &mut LineReader<R>) -> Result<(), BridgeError>
    where
        R: AsyncBufRead + Unpin + Send,
    {
        let queued = self.link.server.options.queued;
        loop {
            tokio::select! {
                line = reader.next(), if self.under_way() < queued => {
                    let Some(line) = line.map_err(BridgeError::Input)? else { return Ok(()) };
                    self.accept(line).await;
                }
                event = self.event() => self.handle(event).await,
            }
        }
    }

    fn under_way(&self) -> usize {
        match &self.phase {
            Phase::Negotiating(waiting) => self.jobs.len() + waiting.len(),
            Phase::Direct | Phase::Translated { .. } => self.jobs.len(),
        }
    }

    async fn event(&mut self) -> SessionEvent {
        tokio::select! {
            Some(ended) = self.jobs.join_next() => SessionEvent::Ended(ended),
            Some(message) = self.heard.recv() => SessionEvent::Heard(message),
            Ok(()) = self.opened.changed() => SessionEvent::Opened,
            Some(Ok(message)) = self.later.join_next() => SessionEvent::Due(message),
        }
    }

    async fn handle(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Ended(Ok((ticket, end))) => self.follow_up(ticket, end).await,
            SessionEvent::Ended(Err(error)) => {
                tracing::error!(%error, "a message was lost to a bug");
            }
            SessionEvent::Heard(message) => self.hear(message).await,
            SessionEvent::Opened => self.listen(),
            SessionEvent::Due(message) => self.route(message),
        }
    }

    async fn accept(&mut self, line: Line) {
        let refused = match line {
            Line::TooLong => line_too_long(self.link.server.options.max_message),
            Line::Message(body) => match Message::parse(body) {
                Ok(message) => return self.meet(message).await,
                Err(problem) => malformed(problem),
            },
        };
        self.link.client.write(refused).await;
    }

    /// A message of the client, in its own words.
    async fn meet(&mut self, message: Message) {
        let Phase::Translated { translator, .. } = &mut self.phase else {
            return self.route(message);
        };
        match translator.hear_client(message) {
            Ok(steps) => self.take(steps).await,
            Err(in_the_servers_words) => {
                self.phase = Phase::Direct;
                self.link.server.set_translated(false);
                self.route(*in_the_servers_words);
            }
        }
    }

    /// A message of the server, for the client.
    async fn hear(&mut self, ServerMessage { about, message }: ServerMessage) {
        match &mut self.phase {
            Phase::Translated { translator, .. } => {
                let steps = translator.hear_server(about.as_ref(), message);
                self.take(steps).await;
            }
            Phase::Direct | Phase::Negotiating(_) => self.link.client.write(message).await,
        }
    }

    async fn take(&mut self, steps: Vec<TranslatorStep>) {
        for step in steps {
            match step {
                TranslatorStep::ToClient(message) => self.link.client.write(message).await,
                TranslatorStep::ToServer(message) => self.route(message),
                TranslatorStep::Later(wait, message) => {
                    self.later.spawn(async move {
                        sleep(wait).await;
                        message
                    });
                }
            }
        }
    }

    /// A message for the server, in its own words.
    fn route(&mut self, message: Message) {
        if message.is_notification("notifications/cancelled") && !self.cancel(&message) {
            return;
        }
        self.link.server.sessions.remember(&message);
        let era = message_era(&self.link, &message);
        let ticket = self.in_flight.begin(&message, era);
        let place = match era {
            Era::Handshake => self.order.place(&message, &ticket.waiting),
            Era::Stateless => QueuePlace::default(),
        };
        self.link.client.open_requests.add(message.awaited());
        let is_foreseen = !matches!(self.phase, Phase::Translated { .. })
            && self.remembered.contradicts(&message, era);
        self.start(message, (place, is_foreseen), ticket);
    }

    /// Acts on a cancellation; true: the server has to hear of it as well.
    fn cancel(&mut self, message: &Message) -> bool {
        let Link { server, client } = &self.link;
        let target = message.call().and_then(|call| call.cancels.as_ref());
        let cancelled = target.and_then(|id| {
            let forward = self
                .in_flight
                .cancel(id.key(), server.options.cancel_grace)?;
            client.open_requests.take(std::slice::from_ref(id.key()));
            Some(forward)
        });
        cancelled.unwrap_or_else(|| server.sessions.after_handshake())
    }

    fn start(&mut self, message: Message, place: (QueuePlace, bool), ticket: Ticket) {
        let job = carry(self.link(), message, place, ticket.clone());
        self.jobs.spawn(async move { (ticket, job.await) });
    }

    /// For a task that begins now.
    fn link(&self) -> Link {
        match &self.phase {
            Phase::Translated { link, .. } => link.clone(),
            Phase::Direct | Phase::Negotiating(_) => self.link.clone(),
        }
    }

    async fn follow_up(&mut self, ticket: Ticket, end: JobEnd) {
        match end {
            JobEnd::Over => self.in_flight.end(&ticket),
            JobEnd::Again(message) => self.again(*message, &ticket).await,
            JobEnd::Undecided(undecided) => self.settle(undecided, ticket).await,
            JobEnd::Negotiated(undecided, found) => self.negotiated(undecided, ticket, found).await,
        }
    }

    /// Takes a message of the client's once more.
    async fn again(&mut self, message: Message, ticket: &Ticket) {
        self.in_flight.end(ticket);
        let keys = message.awaited_keys();
        self.link.client.open_requests.take(&keys);
        self.meet(message).await;
    }

    /// Goes on with a message that may be of the wrong era. One negotiation serves all of them.
    async fn settle(&mut self, undecided: Box<Undecided>, ticket: Ticket) {
        if ticket.is_given_up() {
            return self.in_flight.end(&ticket);
        }
        match &mut self.phase {
            Phase::Translated { .. } => self.again(undecided.message, &ticket).await,
            Phase::Negotiating(waiting) => waiting.push_back((undecided, ticket)),
            Phase::Direct => {
                if !self.is_negotiable(&undecided) {
                    return self.as_it_is(*undecided, ticket).await;
                }
                if undecided.refusal.is_some() {
                    self.link.server.eras.probe();
                }
                self.phase = Phase::Negotiating(VecDeque::new());
                let job = settle(self.link.clone(), undecided, ticket.clone());
                self.jobs.spawn(async move { (ticket, job.await) });
            }
        }
    }

    fn is_negotiable(&self, undecided: &Undecided) -> bool {
        let server = &self.link.server;
        let era = message_era(&self.link, &undecided.message);
        match undecided.refusal {
            None => self.remembered.contradicts(&undecided.message, era),
            Some(_) => server.options.translate && server.eras.may_probe(era),
        }
    }

    async fn negotiated(
        &mut self,
        undecided: Box<Undecided>,
        ticket: Ticket,
        found: Option<Box<NegotiationResult>>,
    ) {
        let waiting = match mem::replace(&mut self.phase, Phase::Direct) {
            Phase::Negotiating(waiting) => waiting,
            Phase::Direct | Phase::Translated { .. } => VecDeque::new(),
        };
        match found.map(|found| *found) {
            Some(Ok(Some(found))) => {
                self.translate(found);
                self.again(undecided.message, &ticket).await;
            }
            found => {
                let is_foreseen = undecided.refusal.is_none();
                if is_foreseen && found.is_some_and(|answered| contradicts_memory(&answered)) {
                    self.remembered.forget();
                }
                self.as_it_is(*undecided, ticket).await;
            }
        }
        for (undecided, ticket) in waiting {
            self.settle(undecided, ticket).await;
        }
    }

    /// The message is of the right era, as far as anybody knows: it is sent, or its refusal is the answer.
    async fn as_it_is(&mut self, undecided: Undecided, ticket: Ticket) {
        if ticket.is_given_up() {
            return self.in_flight.end(&ticket);
        }
        let Some(refusal) = undecided.refusal else {
            let place = QueuePlace {
                holds: undecided.gate,
                ..QueuePlace::default()
            };
            return self.start(undecided.message, (place, false), ticket);
        };
        self.in_flight.end(&ticket);
        if let Some(answer) = refusal.answer {
            let keys = undecided.message.awaited_keys();
            self.link.client.pass_on(None, answer, &keys).await;
        }
    }

    /// The server speaks only the other era: from now on a translator stands between.
    fn translate(&mut self, found: Negotiated) {
        let server = Arc::clone(&self.link.server);
        let era = found.translator.servers_era();
        tracing::info!(server = ?era, "client and server speak different eras; translating");
        if found.surely {
            self.remembered.store(era);
        }
        server.eras.speaks(era);
        server.set_translated(true);
        self.phase = Phase::Translated {
            translator: found.translator,
            link: Link {
                client: self.link.client.behind(self.translator.clone()),
                server: Arc::clone(&server),
            },
        };
        match found.session {
            None => server.sessions.forget(),
            Some((initialize, opened)) => {
                self.listener = JoinSet::new();
                server.sessions.remember(&initialize);
                server.sessions.begin(&opened);
                server.sessions.complete();
            }
        }
    }

    /// One listens at a time, and follows from session to session.
    fn listen(&mut self) {
        while self.listener.try_join_next().is_some() {}
        if self.listener.is_empty() && self.link.server.sessions.may_be_heard() {
            self.listener.spawn(listen(self.link()));
        }
    }

    /// Ends in order: nobody listens, calls finish in time or are given up, the session is closed.
    async fn finish(&mut self, client_gone: bool) {
        self.listener.shutdown().await;
        self.later.shutdown().await;
        let BridgeOptions { drain, goodbye, .. } = self.link.server.options;
        // A client that reads nothing any more may keep others from being told anything.
        let _ = timeout(goodbye, self.take_leave()).await;
        self.give_up_waits().await;
        if !client_gone && timeout(drain, self.drain()).await.is_err() {
            let calls = self.jobs.len();
            tracing::warn!(calls, "gave up calls still without an answer");
        }
        self.jobs.shutdown().await;
        if !client_gone && timeout(goodbye, self.refuse_the_rest()).await.is_err() {
            tracing::warn!("the client does not read what became of its calls");
        }
        let ended = timeout(goodbye, self.link.server.end_session());
        if ended.await.is_err() {
            tracing::warn!("the server did not answer the end of the session in time");
        }
    }

    /// Ends what is not worth waiting for when the client leaves.
    async fn give_up_waits(&mut self) {
        let failure = CallError::client_left(Executed::No);
        for (key, request) in self.in_flight.take() {
            if request.expendable {
                self.link.client.open_requests.take(&[key]);
            } else if request.waiting.is_for_a_person() {
                for id in &request.ids {
                    self.refuse(id, &failure).await;
                }
            } else {
                continue;
            }
            request.give_up(Duration::ZERO);
        }
    }

    /// A call without an answer would count as lost: its client may read on after it closed its own end.
    async fn refuse_the_rest(&mut self) {
        while let Ok(message) = self.heard.try_recv() {
            self.hear(message).await;
        }
        let failure = CallError::client_left(Executed::Unknown);
        for id in self.link.client.open_requests.ids() {
            self.refuse(&id, &failure).await;
        }
    }

    /// The error in the place of an answer that no job gives any more.
    async fn refuse(&mut self, id: &Id, failure: &CallError) {
        let about = id.key().clone();
        let open = &self.link.client.open_requests;
        if open.take(std::slice::from_ref(&about)) {
            let message = error_message::answer(failure, id);
            let about = Some(about);
            self.hear(ServerMessage { about, message }).await;
        }
    }

    /// Lets everything under way come to its end, and what follows from it.
    async fn drain(&mut self) {
        while !(self.jobs.is_empty() && self.heard.is_empty()) {
            let event = self.event().await;
            self.handle(event).await;
        }
    }

    /// What the server should hear before the client is gone.
    async fn take_leave(&mut self) {
        if let Phase::Translated { translator, .. } = &mut self.phase {
            let steps = translator.leave();
            self.take(steps).await;
        }
    }
}
