//! The progress of a sign-in.

use authkeeper::{model::ConnectionName, runtime::Runtime, signin::PromptAction};

/// A sign-in under way; an interruption is reported by it.
pub(crate) struct SignInProgress {
    pub(crate) name: ConnectionName,
    /// The lineage before it; a completed sign-in makes the next.
    pub(crate) before: Option<u64>,
    /// Where the person was sent; none if nobody was asked yet.
    pub(crate) sent: Option<PromptPlace>,
}

/// Where the person was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptPlace {
    /// A browser that redirects to this process; it ends with the process.
    Here,
    /// Another device or terminal, with a URL or a code that stays valid.
    Elsewhere,
}

impl SignInProgress {
    pub(crate) async fn begin(runtime: &Runtime, name: &ConnectionName) -> Self {
        Self {
            name: name.clone(),
            before: lineage(runtime, name).await,
            sent: None,
        }
    }

    pub(crate) fn sends_to(&mut self, errand: &PromptAction) {
        self.sent = Some(match errand {
            PromptAction::Open(_) => PromptPlace::Here,
            _ => PromptPlace::Elsewhere,
        });
    }
}

/// The connection's current lineage.
pub(crate) async fn lineage(runtime: &Runtime, name: &ConnectionName) -> Option<u64> {
    let status = runtime.status(name).await;
    status.ok().map(|status| status.lineage)
}
