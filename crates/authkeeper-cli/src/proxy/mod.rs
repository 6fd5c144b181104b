//! The private loopback proxy of one `run`: `$AUTHKEEPER_URL/c/NAME/…` is the connection's URL with the
//! token put in.
//!
//! Whoever holds the task handle may call the connections the task declared, and nothing else. Bodies
//! stream both ways and stay as they are; an answer of ours carries [`ERROR_HEADER`].

mod admit;
mod body;
mod refusal;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc, time::Duration};

use authkeeper::{model::ConnectionName, secret::SecretString};
use http::{Request, Response, header, request::Parts};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub(crate) use self::refusal::ERROR_HEADER;
use self::{admit::Gate, refusal::Refusal};
use crate::{
    carry::{Call, Carrier, fingerprint},
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
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    gate: Gate,
    carrier: Arc<Carrier>,
    limits: Limits,
}

impl Proxy {
    /// Takes a free port of 127.0.0.1.
    pub(crate) async fn bind(
        carrier: Arc<Carrier>,
        handle: SecretString,
        declared: Vec<ConnectionName>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let gate = Gate {
            port: listener.local_addr()?.port(),
            handle,
            declared,
        };
        Ok(Self {
            listener,
            shared: Arc::new(Shared {
                gate,
                carrier,
                limits,
            }),
        })
    }

    /// What the command gets as `AUTHKEEPER_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.shared.gate.port)
    }

    /// Serves until `stop` is done; answers on their way get a moment to finish.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { listener, shared } = self;
        let (stopping, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let room = connections.len() < shared.limits.connections;
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept(), if room => match accepted {
                    Ok((socket, _)) => {
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
        drop((listener, stopping));
        let rest = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(shared.limits.stop_grace, rest).await;
    }
}

/// One connection, until it ends or the proxy stops.
async fn connection(socket: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let limits = shared.limits;
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
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
    async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        self.pass(request).await.unwrap_or_else(|refusal| {
            tracing::debug!(?refusal, "the proxy answered by itself");
            refusal.response()
        })
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Refusal> {
        let (head, body) = request.into_parts();
        let (connection, target) = self.gate.admit(&head)?;
        let started = body::start(body, self.limits.kept_body)
            .await
            .map_err(|_broken| Refusal::Body)?;
        let Parts {
            method, headers, ..
        } = head;
        let call = Call {
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
        };
        let mut response = self
            .carrier
            .carry(&connection, call)
            .await
            .map_err(Refusal::Carry)?;
        // A cookie would be kept for 127.0.0.1 and shown to whatever else listens there.
        response.headers_mut().remove(header::SET_COOKIE);
        response.headers_mut().remove(ERROR_HEADER);
        Ok(response)
    }
}
