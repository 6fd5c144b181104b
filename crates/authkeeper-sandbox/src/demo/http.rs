//! Plain HTTP to this machine, for the demo's person and its job.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// No answer here is longer.
const LONGEST: usize = 1024 * 1024;

/// A client that keeps its connections.
#[derive(Clone, Debug)]
pub(super) struct LoopbackClient(Client<HttpConnector, Full<Bytes>>);

/// An answer as a whole.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl LoopbackClient {
    pub(super) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    pub(super) async fn get(&self, url: &str) -> Result<HttpAnswer, String> {
        self.send(Request::get(url).body(Full::default())).await
    }

    /// Posts a form, as a browser does.
    pub(super) async fn post_form(
        &self,
        url: &str,
        form: &'static str,
    ) -> Result<HttpAnswer, String> {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form));
        self.send(request).await
    }

    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<HttpAnswer, String> {
        let mut request = Request::builder().method(Method::POST).uri(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.send(request.body(Full::default())).await
    }

    /// Errors name no URL and no header: those hold secrets.
    async fn send(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
    ) -> Result<HttpAnswer, String> {
        let request = request.map_err(|error| error.to_string())?;
        let response: Response<_> = self.0.request(request).await.map_err(|error| {
            let what = if error.is_connect() {
                "can't connect"
            } else {
                "the connection broke"
            };
            what.to_owned()
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST).collect().await;
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            body: body.map_err(|error| error.to_string())?.to_bytes(),
        })
    }
}
