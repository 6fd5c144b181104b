//! A transport that adds a connection's extra headers to requests to the resource's origin, and to no others.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    http::{ConnectError, Exchange, ExchangeError, HttpUrl, Reach, Reply, Request, Transport},
    model::ExtraHeaders,
};

/// Adds headers to requests to one origin.
pub(crate) struct WithHeaders {
    transport: Arc<dyn Transport>,
    resource: HttpUrl,
    headers: ExtraHeaders,
}

impl WithHeaders {
    /// The headers that a person set for the resource at this URL.
    pub(crate) fn new(
        transport: &Arc<dyn Transport>,
        resource: &HttpUrl,
        headers: &ExtraHeaders,
    ) -> Self {
        Self {
            transport: Arc::clone(transport),
            resource: resource.clone(),
            headers: headers.clone(),
        }
    }
}

#[async_trait]
impl Transport for WithHeaders {
    async fn connect(
        &self,
        url: &HttpUrl,
        reach: Reach,
    ) -> Result<Box<dyn Exchange>, ConnectError> {
        let exchange = self.transport.connect(url, reach).await?;
        if self.headers.is_empty() || !url.same_origin(&self.resource) {
            return Ok(exchange);
        }
        let headers = self.headers.clone();
        Ok(Box::new(ExchangeWithHeaders { exchange, headers }))
    }

    async fn reach(&self, typed: &HttpUrl) -> Reach {
        self.transport.reach(typed).await
    }
}

struct ExchangeWithHeaders {
    exchange: Box<dyn Exchange>,
    headers: ExtraHeaders,
}

#[async_trait]
impl Exchange for ExchangeWithHeaders {
    async fn send(self: Box<Self>, mut request: Request) -> Result<Reply, ExchangeError> {
        self.headers.put_into(&mut request.headers);
        self.exchange.send(request).await
    }
}
