//! What is noticed of a provider on the way. To notice is never worth a refresh: what can't be kept is logged.

use super::Tools;
use crate::{
    http::Reply,
    model::{Issuer, Notice, NoticeKind},
    oauth::odd::odd_shape,
};

impl Tools {
    /// Counts an answer that fits nothing we know.
    pub(crate) async fn notice_odd_answer(&self, issuer: &Issuer, reply: &Reply) {
        let Some(shape) = odd_shape(reply) else {
            return;
        };
        tracing::warn!(%issuer, shape, "an answer that fits nothing known");
        self.notice(issuer, NoticeKind::OddAnswer, shape).await;
    }

    pub(crate) async fn notice(&self, issuer: &Issuer, kind: NoticeKind, detail: String) {
        let notice = Notice {
            issuer: issuer.clone(),
            kind,
            detail,
        };
        let now = self.seams.clock.now().wall;
        if let Err(error) = self.store.notice(&notice, now).await {
            tracing::warn!(%error, kind = kind.as_str(), "what was noticed can't be kept");
        }
    }
}
