//! A token endpoint that is not where it was. The issuer's own metadata may name another one; no redirect is followed.

use std::time::Duration;

use http::StatusCode;

use crate::refresh::{
    context::{Context, OnBehalfOf},
    plan::RefreshPlan,
    provider_incidents::has_fixed_endpoints,
    provider_state,
};
use crate::{
    http::HttpUrl,
    model::{Grant, Provider, Said, ServerMetadata},
    oauth::{discovery, moved},
    platform::clock::within,
    store::Result,
};

/// How long a refresh waits for the issuer's metadata.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of looking where the endpoint is now.
pub(super) enum Moved {
    /// The issuer names another one. It is in the store.
    Elsewhere,
    /// It may be back in a moment: nothing answered there for the first time.
    NotYet(String),
    /// It is gone, and the issuer names no other.
    Gone(String),
}

/// The answer that says so.
pub(super) struct MovedReply {
    pub(super) status: StatusCode,
    pub(super) target: Option<String>,
}

/// What the issuer's metadata says of its token endpoint today.
enum Published {
    /// Another one.
    Another(Box<Provider>),
    /// The same as before.
    Same,
    /// None any more.
    None,
    /// It can't be told.
    Unknown,
}

pub(super) async fn look(
    (context, on_behalf_of, grant): (&Context, &OnBehalfOf, &Grant),
    plan: &RefreshPlan,
    answer: &MovedReply,
) -> Result<Moved> {
    let target = answer.target.as_deref();
    let target = target.map(|target| absolute(&plan.endpoint, target));
    let said = moved::said(answer.status, target.as_deref());
    let said = format!("{} {said}", grant.issuer);
    let published = if on_behalf_of
        .provider
        .as_deref()
        .is_some_and(has_fixed_endpoints)
    {
        Published::Unknown
    } else {
        published(context, (on_behalf_of, grant), plan).await
    };
    match published {
        Published::Another(provider) => {
            let to = &provider.metadata.token_endpoint;
            tracing::warn!(
                connection = %on_behalf_of.connection, from = plan.endpoint.as_str(), ?to,
                "the issuer's metadata names another token endpoint, which is used from now on"
            );
            let client = &grant.client_id;
            context.store.keep_provider(&provider, client).await?;
            Ok(Moved::Elsewhere)
        }
        Published::None => Ok(Moved::Gone(said)),
        _ if is_sure(answer) || was_gone(context, grant).await => Ok(Moved::Gone(said)),
        Published::Same | Published::Unknown => Ok(Moved::NotYet(said)),
    }
}

/// A redirect and 410 are meant; 404 and 405 may be a proxy's for a moment.
fn is_sure(answer: &MovedReply) -> bool {
    answer.status.is_redirection() || answer.status == StatusCode::GONE
}

async fn was_gone(context: &Context, grant: &Grant) -> bool {
    let of = provider_state::client_of(grant);
    let failing = provider_state::read(context, &of).await;
    failing.is_some_and(|failing| matches!(failing.said, Said::Gone(_) | Said::Moved(_)))
}

async fn published(
    context: &Context,
    (on_behalf_of, grant): (&OnBehalfOf, &Grant),
    plan: &RefreshPlan,
) -> Published {
    let (clock, transport) = (&*context.seams.clock, &*context.transport_of(grant));
    let asked = discovery::provider(transport, &plan.provider.issuer, on_behalf_of.reach);
    let found = match within(clock, PATIENCE, asked).await {
        Some(Ok(found)) => found,
        Some(Err(error)) => {
            tracing::debug!(%error, "the issuer does not say where its token endpoint is");
            return Published::Unknown;
        }
        None => return Published::Unknown,
    };
    let certificate = grant.grant_material.certificate.is_some();
    let endpoint = found.metadata.for_client(certificate);
    let endpoint = endpoint.token_endpoint.as_deref().map(HttpUrl::parse);
    match endpoint {
        Some(Ok(endpoint)) if endpoint == plan.endpoint => Published::Same,
        Some(Ok(_)) => Published::Another(Box::new(Provider {
            issuer: plan.provider.issuer.clone(),
            metadata: ServerMetadata {
                quirks: plan.provider.metadata.quirks.clone(),
                ..found.metadata
            },
        })),
        Some(Err(_)) | None => Published::None,
    }
}

/// A redirect may name a path only.
fn absolute(endpoint: &HttpUrl, target: &str) -> String {
    if target.starts_with('/') && !target.starts_with("//") {
        return format!("{}{target}", endpoint.origin());
    }
    target.to_owned()
}
