//! The identity cache of the AWS SDK: `IdentityCache::lazy`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::{
    identity::{
        Identity, IdentityFuture, ResolveCachedIdentity as _, ResolveIdentity, SharedIdentityCache,
        SharedIdentityResolver, http::Token,
    },
    runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
};
use aws_smithy_types::config_bag::ConfigBag;

use super::{LIFETIME, Peer, ROUND_TRIP, token_text};

/// The cache, and what each of its callers passes.
pub struct AwsSmithy {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
    requests: Arc<AtomicU64>,
}

struct Provider(Arc<AtomicU64>);

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl ResolveIdentity for Provider {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(ROUND_TRIP).await;
            let ends = SystemTime::now() + LIFETIME;
            Ok(Identity::new(
                Token::new(token_text(), Some(ends)),
                Some(ends),
            ))
        })
    }
}

impl Peer for AwsSmithy {
    const NAME: &'static str = "aws-smithy-runtime 1.16";

    async fn expired() -> Self {
        let components = RuntimeComponentsBuilder::for_tests()
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .build()
            .expect("all that is needed");
        let requests = Arc::new(AtomicU64::new(0));
        Self {
            cache: IdentityCache::lazy().build(),
            resolver: SharedIdentityResolver::new(Provider(Arc::clone(&requests))),
            components,
            config: ConfigBag::base(),
            requests,
        }
    }

    async fn token(&self) -> usize {
        let resolver = self.resolver.clone();
        let asked = self
            .cache
            .resolve_cached_identity(resolver, &self.components, &self.config);
        let identity = asked.await.expect("a token");
        identity
            .data::<Token>()
            .map_or(0, |token| token.token().len())
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
