//! `InMemoryTokenCache` over client credentials.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use huskarl::{
    cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache, TokenSource as _},
    core::{
        Error,
        client_auth::NoAuth,
        http::{HttpClient, HttpResponse, Idempotency},
        platform::MaybeSendBoxFuture,
    },
    grant::client_credentials::{ClientCredentialsGrant, ClientCredentialsGrantParameters},
};

use super::{Peer, ROUND_TRIP, token_text};

type Source = GrantTokenSource<ClientCredentialsGrant, InMemoryRefreshTokenStore>;

/// The cache over a provider in memory.
pub struct Huskarl {
    cache: InMemoryTokenCache<Source>,
    requests: Arc<AtomicU64>,
}

struct Provider(Arc<AtomicU64>);

impl HttpClient for Provider {
    fn execute(
        &self,
        _: http::Request<Bytes>,
        _: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        Box::pin(async {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(ROUND_TRIP).await;
            let token = token_text();
            let body =
                format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
            let json = HeaderValue::from_static("application/json");
            Ok(HttpResponse {
                status: StatusCode::OK,
                headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
                body: body.into(),
            })
        })
    }
}

impl Peer for Huskarl {
    const NAME: &'static str = "huskarl 0.11";

    async fn expired() -> Self {
        let requests = Arc::new(AtomicU64::new(0));
        let grant = ClientCredentialsGrant::builder()
            .client_id("client")
            .client_auth(NoAuth)
            .token_endpoint("https://as.example/token".parse().expect("a URL"))
            .http_client(Provider(Arc::clone(&requests)))
            .build();
        let source = GrantTokenSource::builder()
            .grant(grant)
            .grant_parameters(ClientCredentialsGrantParameters::new())
            .refresh_store(InMemoryRefreshTokenStore::default())
            .build();
        Self {
            cache: InMemoryTokenCache::builder().source(source).build(),
            requests,
        }
    }

    async fn token(&self) -> usize {
        let token = self.cache.token().await.expect("a token");
        Arc::as_ptr(&token) as usize
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
