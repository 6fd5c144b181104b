//! One exchange over a connection, HTTP/1.1 or HTTP/2, read to its end.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::{http1, http2};
use tokio::task::JoinSet;

use crate::http::{
    body,
    message::{REPLY_LIMIT, Reply, Request, USER_AGENT},
    network::unreachable,
    transport::{ConnectError, Exchange, ExchangeError},
};

/// The connection itself, to be driven while an answer is waited for.
type Driven<C> = Pin<Box<C>>;

// ---- HTTP/1.1 ---------------------------------------------------------------------------------

/// Speaks HTTP/1.1 over a connection.
pub(super) async fn http1<I>(uri: &Uri, io: I) -> Result<Box<dyn Exchange>, ConnectError>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    // Lenient in what is read: an answer that is lost for its form costs a grant.
    let mut http1 = http1::Builder::new();
    http1
        .max_headers(1_000)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let (sender, connection) = http1
        .handshake(io)
        .await
        .map_err(|error| unreachable(uri, &error))?;
    Ok(Box::new(Http1 {
        uri: uri.clone(),
        sender,
        connection: Box::pin(connection),
    }))
}

struct Http1<C> {
    uri: Uri,
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Driven<C>,
}

#[async_trait]
impl<C> Exchange for Http1<C>
where
    C: Future<Output = hyper::Result<()>> + Send + 'static,
{
    async fn send(mut self: Box<Self>, request: Request) -> Result<Reply, ExchangeError> {
        let target = self.uri.path_and_query();
        let target = target.map_or("/", http::uri::PathAndQuery::as_str);
        let authority = self.uri.authority();
        let authority = authority.map_or("", http::uri::Authority::as_str);
        let head = http::Request::builder()
            .uri(target)
            .header(header::HOST, authority)
            .header(header::CONNECTION, "close");
        let request = outgoing(head, request)?;
        driving(
            self.connection,
            read_whole(self.sender.send_request(request)),
        )
        .await
    }
}

// ---- HTTP/2 -----------------------------------------------------------------------------------

/// Speaks HTTP/2 over a connection (RFC 9113).
pub(super) async fn http2<I>(uri: &Uri, io: I) -> Result<Box<dyn Exchange>, ConnectError>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let streams = Arc::new(Mutex::new(JoinSet::new()));
    let (sender, connection) = http2::Builder::new(Streams(Arc::downgrade(&streams)))
        .handshake(io)
        .await
        .map_err(|error| unreachable(uri, &error))?;
    Ok(Box::new(Http2 {
        uri: uri.clone(),
        sender,
        connection: Box::pin(connection),
        _streams: streams,
    }))
}

/// The tasks that hyper splits off. They end with the exchange, which alone holds them.
#[derive(Clone)]
struct Streams(Weak<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        if let Some(streams) = self.0.upgrade() {
            streams
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .spawn(task);
        }
    }
}

struct Http2<C> {
    uri: Uri,
    sender: http2::SendRequest<Full<Bytes>>,
    connection: Driven<C>,
    _streams: Arc<Mutex<JoinSet<()>>>,
}

#[async_trait]
impl<C> Exchange for Http2<C>
where
    C: Future<Output = hyper::Result<()>> + Send + 'static,
{
    async fn send(mut self: Box<Self>, request: Request) -> Result<Reply, ExchangeError> {
        let head = http::Request::builder()
            .version(http::Version::HTTP_2)
            .uri(self.uri.clone());
        let request = outgoing(head, request)?;
        driving(
            self.connection,
            read_whole(self.sender.send_request(request)),
        )
        .await
    }
}

// ---- Both -------------------------------------------------------------------------------------

fn outgoing(
    head: http::request::Builder,
    request: Request,
) -> Result<http::Request<Full<Bytes>>, ExchangeError> {
    let mut outgoing = head
        .method(request.method)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Full::new(request.body))
        .map_err(|error| ExchangeError::Broken(error.to_string()))?;
    outgoing.headers_mut().extend(request.headers);
    Ok(outgoing)
}

/// The connection is driven here, in the same task: dropping this future resets it, nothing lingers.
async fn driving<C>(
    mut connection: Driven<C>,
    reply: impl Future<Output = Result<Reply, ExchangeError>>,
) -> Result<Reply, ExchangeError>
where
    C: Future<Output = hyper::Result<()>>,
{
    tokio::pin!(reply);
    tokio::select! {
        reply = &mut reply => reply,
        driven = &mut connection => {
            // The connection may finish a moment before the reply is taken out of it.
            let why = driven.err().map_or_else(|| "closed".to_owned(), |error| error.to_string());
            match tokio::time::timeout(Duration::from_millis(100), reply).await {
                Ok(reply) => reply,
                Err(_elapsed) => Err(ExchangeError::Broken(why)),
            }
        }
    }
}

async fn read_whole(
    response: impl Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
) -> Result<Reply, ExchangeError> {
    let response = response
        .await
        .map_err(|error| ExchangeError::Broken(error.to_string()))?;
    let (head, body) = response.into_parts();
    let body = read_body(&head, body).await?;
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// How long a body whose JSON is complete is given to end as HTTP says: some servers promise more bytes than they send.
const AFTER_COMPLETE_JSON: Duration = Duration::from_millis(500);

/// A body whose JSON is complete is an answer, though the connection ended early (no TLS `close_notify`, RFC 8446 §6.1),
/// or `Content-Length` promised more.
async fn read_body(
    head: &http::response::Parts,
    body: hyper::body::Incoming,
) -> Result<Bytes, ExchangeError> {
    let mut body = Limited::new(body, REPLY_LIMIT);
    let mut read = BytesMut::new();
    loop {
        let complete = body::may_be_complete(&read) && body::is_complete_json(&head.headers, &read);
        let frame = if complete {
            tokio::time::timeout(AFTER_COMPLETE_JSON, body.frame())
                .await
                .unwrap_or_default()
        } else {
            body.frame().await
        };
        match frame {
            None => return Ok(read.freeze()),
            Some(Ok(frame)) => read.extend(frame.into_data()),
            Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(ExchangeError::TooLarge {
                    status: head.status,
                });
            }
            // What came is judged: a refusal by its status, tokens that were cut off by the names in what is left of them.
            Some(Err(_ended_early)) if !head.status.is_success() || !read.is_empty() => {
                return Ok(read.freeze());
            }
            Some(Err(error)) => return Err(ExchangeError::Broken(error.to_string())),
        }
    }
}
