//! The seam to the runtime: tokens, and the bookkeeping of carried calls.

use std::sync::Arc;

use async_trait::async_trait;
use authkeeper::{
    http::CertificateFiles,
    model::{
        ConnectionName, ExtraHeaders, Generation, Health, Lineage, Presentation, ScopeRefusal,
    },
    oauth::dpop::Binding,
    secret::SecretString,
};

use crate::error::CallError;

/// Tokens and the bookkeeping of carried calls, for one process.
#[async_trait]
pub(crate) trait Authority: Send + Sync + 'static {
    /// A token to present now. `rejected` is the generation that just got a 401. The work is detached
    /// inside: dropping the future loses nothing.
    async fn token(
        &self,
        connection: &ConnectionName,
        rejected: Option<Generation>,
    ) -> Result<CallToken, CallError>;

    /// How a connection stands; none if that can't be told.
    async fn health(&self, connection: &ConnectionName) -> Option<Health>;

    /// A call was refused for lack of a scope. Done means that it is worth one more try, with the token there is then.
    async fn step_up(
        &self,
        connection: &ConnectionName,
        refusal: &ScopeRefusal,
    ) -> Result<(), CallError>;

    /// Whether calls of this connection may have been refused for lack of a scope and not have got through since. Asked after
    /// every call that got through, so it has to be cheap.
    fn wants_scopes(&self, connection: &ConnectionName) -> bool;

    /// A call of this operation got through, while [`Authority::wants_scopes`].
    async fn scope_sufficed(&self, connection: &ConnectionName, operation: &str);

    /// A call failed for lack of authority. The fingerprint is a hex digest, never raw content.
    async fn call_failed(&self, connection: &ConnectionName, fingerprint: &str, reason: &str);

    /// The call with this fingerprint got through. Called after every such call, so it has to be cheap where
    /// none had failed before.
    async fn call_succeeded(&self, connection: &ConnectionName, fingerprint: &str);
}

/// What one call is authorized with.
pub(crate) struct CallToken {
    pub(crate) secret: SecretString,
    pub(crate) generation: Generation,
    /// Which sign-in it stems from.
    pub(crate) lineage: Lineage,
    /// The connection's URL, as it was typed. The token goes to its origin and nowhere else.
    pub(crate) url: String,
    /// How it is shown there.
    pub(crate) presentation: Presentation,
    /// What the connection's owner adds to each request there.
    pub(crate) headers: ExtraHeaders,
    /// The key that it is bound to: each request carries a proof of that (RFC 9449).
    pub(crate) binding: Option<Binding>,
    /// The client certificate that the server is shown (RFC 8705).
    pub(crate) certificate: Option<Arc<CertificateFiles>>,
}
