//! What is on its way between the processes and the provider.

use std::{collections::BTreeMap, task::Waker, time::Duration};

use authkeeper::http::{ExchangeError, Reply};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    fault::{Checkpoint, Fault},
    provider::SimToken,
    shape::Shape,
    store,
    truth::{GrantSnapshot, ReceivedReply, Violation},
    world::{ProcessId, SimEvent, SimWorld},
};

/// How long after its sender's death a request may still be acted on.
const LONGEST_QUEUE: Duration = Duration::from_secs(85);

/// How much of an access token's life is kept for a resend, and a little.
const RESERVE: Duration = Duration::from_secs(35);

const JSON: &str = "application/json";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    Refresh(SimToken),
    Revoke(Option<SimToken>),
}

/// What becomes of the provider's own answer.
enum Own {
    /// It arrives this long after the act.
    Arrives(Duration),
    /// The connection breaks instead.
    Breaks(Duration),
    /// Nobody hears of it.
    Silent,
    /// Something else is answered in its place.
    Replaced,
}

pub struct InFlightRequest {
    pub process: ProcessId,
    pub asks: Asks,
    /// Whether it was acted on, or never will be.
    settled: bool,
    acts_at: Duration,
    own: Own,
    reply: Option<Reply>,
    /// The refresh token in the provider's own answer, if it can be read.
    granted: Option<SimToken>,
    /// How the provider writes its answer.
    shape: Shape,
    /// Whether somebody still reads.
    reader: bool,
    slot: Option<Result<Reply, ExchangeError>>,
    waker: Option<Waker>,
}

#[derive(Default)]
pub struct Air {
    messages: BTreeMap<u64, InFlightRequest>,
    count: u64,
}

impl Air {
    /// Whether a request for this token is on its way, or its answer can still be read.
    pub fn is_unsettled(&self, token: SimToken) -> bool {
        let mut same = self
            .messages
            .values()
            .filter(|message| message.asks == Asks::Refresh(token));
        same.any(|message| {
            let readable = message.granted.is_some() && message.is_readable();
            !message.settled || readable
        })
    }

    /// Whether an answer that brings this token can still be read.
    pub fn brings(&self, token: SimToken) -> bool {
        let mut bringing = self.messages.values();
        bringing.any(|message| message.granted == Some(token) && message.is_readable())
    }

    /// What was not acted on will not be.
    pub fn settle(&mut self) {
        for message in self.messages.values_mut() {
            message.settled = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl InFlightRequest {
    fn is_readable(&self) -> bool {
        self.reader && matches!(self.own, Own::Arrives(_))
    }
}

/// How one request goes: when it is acted on, if it is, and what else its sender is answered, and when.
struct Delivery {
    acts: Option<Duration>,
    own: Own,
    other: Option<(Duration, Option<Reply>)>,
}

impl SimWorld {
    /// A process writes a request.
    pub fn write_request(&mut self, process: ProcessId, asks: Asks) -> u64 {
        if let Asks::Refresh(token) = asks {
            self.tell(|| format!("p{process} sends {token}"));
            self.check_sent(token);
        }
        let fault = self.processes.get_mut(process).and_then(|known| {
            let of_a_request = known.wire_fault.filter(|fault| fault.is_of_a_request());
            of_a_request.and_then(|_| known.wire_fault.take())
        });
        let fate = self.fate(fault);
        self.air.count += 1;
        let id = self.air.count;
        let acts_at = self.now + fate.acts.unwrap_or_default();
        if fate.acts.is_some() {
            self.at(acts_at, SimEvent::Act(id));
        }
        let mut reply = None;
        if let Some((when, other)) = fate.other {
            let event = if other.is_some() {
                SimEvent::Arrive(id)
            } else {
                SimEvent::Break(id)
            };
            reply = other;
            self.after(when, event);
        }
        let message = InFlightRequest {
            process,
            asks,
            settled: fate.acts.is_none(),
            acts_at,
            own: fate.own,
            reply,
            granted: None,
            shape: self.shape(fault),
            reader: true,
            slot: None,
            waker: None,
        };
        self.air.messages.insert(id, message);
        id
    }

    fn shape(&mut self, fault: Option<Fault>) -> Shape {
        match fault {
            Some(Fault::OddTokens) => self.dice.pick(&Shape::READABLE).unwrap_or(Shape::Plain),
            Some(Fault::UnreadTokens) => Shape::Twice,
            Some(Fault::RefreshAlone) => Shape::RefreshAlone,
            _ => Shape::Plain,
        }
    }

    fn fate(&mut self, fault: Option<Fault>) -> Delivery {
        let dice = &mut self.dice;
        let there = if dice.percent(5) {
            dice.millis(300, 5_000)
        } else {
            dice.millis(2, 200)
        };
        let back = dice.millis(2, 200);
        let late = dice.millis(10_000, 110_000);
        let soon = dice.millis(0, 2_500);
        let chance = dice.below(3);
        let plain = Delivery {
            acts: Some(there),
            own: Own::Arrives(back),
            other: None,
        };
        let Some(fault) = fault else {
            return plain;
        };
        let never = Delivery {
            acts: None,
            own: Own::Silent,
            other: None,
        };
        // Answered by something before the provider, which acts before that, soon after, or never.
        let instead = |acts_after: Duration, reply| Delivery {
            acts: match chance {
                0 => Some(there),
                1 => Some(there + back + acts_after),
                _ => None,
            },
            own: Own::Replaced,
            other: Some((there + back, reply)),
        };
        match fault {
            Fault::RequestLostAndReset => Delivery {
                other: Some((there, None)),
                ..never
            },
            Fault::RequestLost => never,
            Fault::ReplyLostAndReset if chance == 0 => instead(soon, None),
            Fault::ReplyLostAndReset => Delivery {
                own: Own::Breaks(back),
                ..plain
            },
            Fault::ReplyLost => Delivery {
                own: Own::Silent,
                ..plain
            },
            Fault::RequestLate => Delivery {
                acts: Some(late),
                ..plain
            },
            Fault::ReplyLate => Delivery {
                own: Own::Arrives(late),
                ..plain
            },
            Fault::Error500 => instead(soon, Some(page(500))),
            Fault::Error502 => instead(soon, Some(page(502))),
            Fault::Error503 => instead(soon, Some(page(503))),
            Fault::Error504 => instead(late.min(Duration::from_secs(12)), Some(page(504))),
            Fault::TryLater => {
                let body = r#"{"error":"temporarily_unavailable"}"#;
                Delivery {
                    other: Some((there + back, Some(reply(503, "application/json", body)))),
                    ..never
                }
            }
            Fault::Page => Delivery {
                other: Some((there + back, Some(page(403)))),
                ..never
            },
            Fault::Garbage => instead(
                soon,
                Some(reply(200, "application/json", r#"{"access_token":"a-"#)),
            ),
            _ => plain,
        }
    }

    /// The provider acts on a request.
    pub fn act(&mut self, id: u64) {
        let now = self.now;
        let Some(message) = self.air.messages.get_mut(&id) else {
            return;
        };
        if message.settled || message.acts_at != now {
            return;
        }
        message.settled = true;
        let (process, asks, shape) = (message.process, message.asks, message.shape);
        let (answer, granted, shape) = self.answer(process, asks, shape);
        let mut next = None;
        if let Some(message) = self.air.messages.get_mut(&id) {
            message.granted = granted;
            message.shape = shape;
            match message.own {
                Own::Arrives(wait) => {
                    message.reply = Some(answer);
                    next = Some((wait, SimEvent::Arrive(id)));
                }
                Own::Breaks(wait) => next = Some((wait, SimEvent::Break(id))),
                Own::Silent | Own::Replaced => {}
            }
        }
        if let Some((wait, event)) = next {
            self.after(wait, event);
        }
        if matches!(asks, Asks::Refresh(_)) {
            self.pass(process, Checkpoint::Acted);
        }
        self.sweep(id);
    }

    /// What the provider answers, the refresh token in it if that can be read, and its shape.
    fn answer(
        &mut self,
        process: ProcessId,
        asks: Asks,
        shape: Shape,
    ) -> (Reply, Option<SimToken>, Shape) {
        let now = self.now;
        let token = match asks {
            Asks::Refresh(token) => token,
            Asks::Revoke(token) => {
                if let Some(token) = token {
                    self.tell(|| format!("the provider revokes {token}"));
                    self.provider.revoke(token, now);
                }
                return (reply(200, JSON, ""), None, Shape::Plain);
            }
        };
        let answer = self.provider.act(token, now);
        let said = match answer.tokens {
            Some(_) => format!("tokens, {shape:?}"),
            None => "refused".to_owned(),
        };
        self.tell(|| format!("the provider acts on {token} of p{process}: {said}"));
        if let Some(family) = answer.killed {
            self.check_killed(family);
        }
        let Some(tokens) = answer.tokens else {
            let refused = reply(400, JSON, r#"{"error":"invalid_grant"}"#);
            return (refused, None, Shape::Plain);
        };
        let granted = answer.granted.filter(|_| shape.is_readable());
        (shape.of(&tokens, token), granted, shape)
    }

    /// What was sent back is there to be read.
    pub fn arrive(&mut self, id: u64, broken: bool) {
        let Some(message) = self.air.messages.get_mut(&id) else {
            return;
        };
        let lost = || ExchangeError::Broken("connection reset".to_owned());
        let what = message.reply.take().filter(|_| !broken).ok_or_else(lost);
        if message.reader && message.slot.is_none() {
            message.slot = Some(what);
            if let Some(waker) = message.waker.take() {
                waker.wake();
            }
        }
    }

    /// What has come, if anything has.
    pub fn read(&mut self, id: u64, waker: &Waker) -> Option<Result<Reply, ExchangeError>> {
        let message = self.air.messages.get_mut(&id)?;
        let Some(come) = message.slot.take() else {
            message.waker = Some(waker.clone());
            return None;
        };
        message.reader = false;
        let own = matches!(message.own, Own::Arrives(_));
        let (process, asks, granted) = (message.process, message.asks, message.granted);
        let shape = message.shape;
        if let Asks::Refresh(spent) = asks
            && come.is_ok()
            && own
        {
            if let Some(granted) = granted {
                self.truth.received.push(ReceivedReply {
                    process,
                    spent,
                    granted,
                });
            }
            if !shape.is_readable() {
                self.truth.unread.push((process, spent));
            }
            self.pass(process, Checkpoint::ReceivedReply);
            if self.controls.tokens_are_overlooked && shape != Shape::Plain {
                self.sweep(id);
                let body = r#"{"error":"temporarily_unavailable"}"#;
                return Some(Ok(reply(200, JSON, body)));
            }
        }
        self.sweep(id);
        Some(come)
    }

    /// Nobody reads any more. A request whose sender has died may lie in a queue for a while; one whose sender gave up
    /// waiting was settled long ago.
    pub fn hang_up(&mut self, id: u64) {
        let now = self.now;
        let Some(message) = self.air.messages.get_mut(&id) else {
            return;
        };
        message.reader = false;
        let (process, settled) = (message.process, message.settled);
        if !settled {
            let died = !self.is_alive(process);
            let acts = died && self.dice.percent(70);
            let at = now + self.dice.between(Duration::ZERO, LONGEST_QUEUE);
            if let Some(message) = self.air.messages.get_mut(&id) {
                message.settled = !acts;
                message.acts_at = at;
            }
            if acts {
                self.at(at, SimEvent::Act(id));
            }
        }
        self.sweep(id);
    }

    fn sweep(&mut self, id: u64) {
        let over = |message: &InFlightRequest| message.settled && !message.reader;
        if self.air.messages.get(&id).is_some_and(over) {
            self.air.messages.remove(&id);
        }
    }

    /// Nothing is sent again before it is settled, and nothing that is spent while its successor is held.
    pub(crate) fn check_sent(&mut self, token: SimToken) {
        let received = |world: &Self| {
            let mut received = world.truth.received.iter();
            received.any(|received| received.spent == token && world.is_alive(received.process))
        };
        let patient = self.provider.class.is_patient();
        if !patient && (self.air.is_unsettled(token) || received(self)) {
            self.broke(Violation::SentBeforeSettled(token));
        }
        let spent = !self.provider.is_good(token, self.now);
        let newer = |held: &SimToken| held.family == token.family && held.index > token.index;
        if spent && self.durable().iter().any(newer) {
            self.broke(Violation::SpentTokenSent(token));
        }
        if self.truth.kept_unread.contains(&token) && self.is_better_spared() {
            self.broke(Violation::AnsweredTokenSent(token));
        }
    }

    /// Whether a replay may do harm, and the access token that it may cost lives on for a while.
    fn is_better_spared(&self) -> bool {
        let row = self
            .stores
            .first()
            .map(|rows| GrantSnapshot::current(&store::lock(rows)));
        let access = row.flatten().and_then(|row| row.access);
        let at = self.now + RESERVE;
        let lives = access.is_some_and(|access| self.provider.serves(&access, at));
        // By a wall clock that leapt it may have ended.
        lives && !self.provider.class.is_patient() && !self.wall_was_stepped()
    }

    /// A family that a request killed just now: its newest token must not be one that we hold.
    fn check_killed(&mut self, family: u32) {
        let Some(newest) = self.provider.last(family) else {
            return;
        };
        let ours = family == self.truth.family && !self.truth.disconnected;
        self.tell(|| format!("the provider kills family {family}, its newest token was {newest}"));
        if ours && self.holds(newest) {
            self.broke(Violation::HeldFamilyKilled(newest));
        }
    }

    /// Whether a token is in a store, in a file, in the memory of a living process, or can still be read.
    fn holds(&mut self, token: SimToken) -> bool {
        let mut received = self.truth.received.iter();
        let in_memory =
            received.any(|received| received.granted == token && self.is_alive(received.process));
        in_memory || self.air.brings(token) || self.durable().contains(&token)
    }
}

/// What a proxy answers.
fn page(status: u16) -> Reply {
    reply(status, "text/html", "<html>something is wrong")
}

pub(crate) fn reply(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Reply {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers,
        body: body.into().into(),
    }
}
