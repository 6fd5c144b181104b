//! The loopback proxy: a connection's URL with the token put in. Bodies stream both ways and stay as they are; an answer
//! of ours carries [`ERROR_HEADER`].
//!
//! | whose | what is reached | by whom |
//! |---|---|---|
//! | one `run`'s, on a port of its own | `$AUTHKEEPER_URL/c/NAME/…` | who holds the task handle, and what the task declared |
//! | the daemon's (`serve`) | `/mcp/NAME`, an MCP server's endpoint ([`endpoint`]); `/healthz` | who holds the daemon's handle |

mod admit;
mod body;
mod endpoint;
#[cfg(test)]
mod endpoint_tests;
mod held;
#[cfg(test)]
mod held_tests;
mod listen;
mod refusal;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use authkeeper::{model::ConnectionName, secret::SecretString};
use http::{Request, Response, StatusCode, header, request::Parts};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch, task::JoinSet};

use self::{
    admit::{Admitted, Door, Gate},
    listen::Listeners,
    refusal::Refusal,
};
pub(crate) use self::{listen::is_taken, refusal::ERROR_HEADER};
use crate::{
    carry::{Call, Carrier, Target, fingerprint, whole},
    mcp::ResponseBody,
};

/// What one connection to the proxy may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For a request's head to arrive whole; also how long an idle connection is kept.
    pub(crate) head_time: Duration,
    pub(crate) head_size: usize,
    /// A larger request body streams and can't be sent again.
    pub(crate) kept_body: usize,
    pub(crate) connections: usize,
    /// For answers on their way when the proxy is stopped.
    pub(crate) stop_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(30),
            head_size: 64 * 1024,
            kept_body: 1024 * 1024,
            connections: 512,
            stop_grace: Duration::from_secs(2),
        }
    }
}

/// A proxy that listens but does not serve yet.
pub(crate) struct Proxy {
    listeners: Listeners,
    shared: Arc<Shared>,
}

struct Shared {
    gate: Gate,
    carrier: Arc<Carrier>,
    limits: Limits,
    /// What `/healthz` says.
    well: Arc<AtomicBool>,
}

impl Proxy {
    /// A run's: takes a free port of 127.0.0.1.
    pub(crate) async fn bind(
        carrier: Arc<Carrier>,
        handle: SecretString,
        declared: Vec<ConnectionName>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listeners = Listeners::ipv4().await?;
        let well = Arc::new(AtomicBool::new(true));
        let door = Door::Run { declared };
        Ok(Self::over(listeners, (door, handle), carrier, limits, well))
    }

    /// The daemon's: this port of 127.0.0.1 and `::1`; 0 is a free one.
    pub(crate) async fn bind_daemon(
        carrier: Arc<Carrier>,
        handle: SecretString,
        port: u16,
        limits: Limits,
        well: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let listeners = Listeners::loopback(port).await?;
        Ok(Self::over(
            listeners,
            (Door::Serve, handle),
            carrier,
            limits,
            well,
        ))
    }

    fn over(
        listeners: Listeners,
        (door, handle): (Door, SecretString),
        carrier: Arc<Carrier>,
        limits: Limits,
        well: Arc<AtomicBool>,
    ) -> Self {
        let gate = Gate {
            port: listeners.port(),
            handle,
            door,
        };
        let shared = Arc::new(Shared {
            gate,
            carrier,
            limits,
            well,
        });
        Self { listeners, shared }
    }

    /// What the command gets as `AUTHKEEPER_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.shared.gate.port)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.shared.gate.port
    }

    /// Serves until `stop` is done; answers on their way get a moment to finish.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { listeners, shared } = self;
        let (stopping, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let room = connections.len() < shared.limits.connections;
            tokio::select! {
                () = &mut stop => break,
                accepted = listeners.accept(), if room => match accepted {
                    Ok(socket) => {
                        connections.spawn(connection(socket, Arc::clone(&shared), stopped.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "can't accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop((listeners, stopping));
        let rest = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(shared.limits.stop_grace, rest).await;
    }
}

/// One connection, until it ends or the proxy stops.
async fn connection(socket: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let limits = shared.limits;
    let until = stopped.clone();
    let service = service_fn(move |request| {
        let (shared, until) = (Arc::clone(&shared), until.clone());
        async move { Ok::<_, Infallible>(shared.answer(request, until).await) }
    });
    // An event of a stream is a small write that nothing follows at once.
    let _ = socket.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_size)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the proxy broke");
    }
}

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        stopped: watch::Receiver<()>,
    ) -> Response<ResponseBody> {
        self.pass(request, stopped).await.unwrap_or_else(|refusal| {
            tracing::debug!(?refusal, "the proxy answered by itself");
            refusal.response(&self.gate.door)
        })
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        stopped: watch::Receiver<()>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let (head, body) = request.into_parts();
        let (connection, target) = match self.gate.admit(&head)? {
            Admitted::Call(connection, target) => (connection, target),
            Admitted::Health => return Ok(health(self.well.load(Ordering::Relaxed))),
        };
        let started = body::start(body, self.limits.kept_body)
            .await
            .map_err(|_broken| Refusal::Body)?;
        let mut response = match &self.gate.door {
            Door::Run { .. } => {
                let call = plain_call(head, target, started);
                let carried = self.carrier.carry(&connection, call).await;
                carried.map_err(Refusal::Carry)?
            }
            Door::Serve => {
                let call = endpoint::Message::new(head, target, started);
                endpoint::carry(&self.carrier, &connection, call, stopped).await?
            }
        };
        // A cookie would be kept for 127.0.0.1 and shown to whatever else listens there.
        response.headers_mut().remove(header::SET_COOKIE);
        Ok(response)
    }
}

fn plain_call(head: Parts, target: Target, started: body::Started) -> Call {
    let Parts {
        method, headers, ..
    } = head;
    Call {
        fingerprint: fingerprint(&[
            b"http",
            method.as_str().as_bytes(),
            target.spelled().as_bytes(),
            &started.seen,
        ]),
        // RFC 9110 §9.2.2 leaves it to the caller to repeat what broke.
        idempotent: false,
        method,
        target,
        headers,
        body: started.body,
    }
}

fn health(well: bool) -> Response<ResponseBody> {
    let (status, word) = if well {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store can't be read\n")
    };
    let mut response = Response::new(whole(word.into()));
    *response.status_mut() = status;
    response
}
