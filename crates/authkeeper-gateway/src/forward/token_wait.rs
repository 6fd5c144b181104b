//! A call without a token whose provider may be well again within seconds waits and asks again, instead of failing.

use std::time::Duration;

use authkeeper::model::{ConnectionName, Generation};
use tokio::time::{Instant, sleep};

use super::{
    authority::{Authority, CallToken},
    decide,
};
use crate::{
    error::CallError,
    wait::{WaitReason, Waiting},
};

/// What one call has left of its patience, whatever it asks for a token for.
pub(super) struct TokenWait<'a> {
    began: Instant,
    patience: Duration,
    waiting: &'a Waiting,
}

impl<'a> TokenWait<'a> {
    pub(super) fn new(patience: Duration, waiting: &'a Waiting) -> Self {
        Self {
            began: Instant::now(),
            patience,
            waiting,
        }
    }

    /// A token, as soon as there is one, or why there will be none in time. The call is not sent meanwhile: dropping the
    /// future cancels it.
    pub(super) async fn token(
        &self,
        authority: &dyn Authority,
        connection: &ConnectionName,
        rejected: Option<Generation>,
    ) -> Result<CallToken, CallError> {
        let mut held = None;
        loop {
            let error = match authority.token(connection, rejected).await {
                Ok(token) => return Ok(token),
                Err(error) => error,
            };
            let Some(wait) = decide::wait(&error, self.began.elapsed(), self.patience) else {
                return Err(error);
            };
            if held.is_none() {
                tracing::debug!(%connection, %error, "a call waits for a token");
                let begun = self.waiting.begin();
                begun.says(waits_for(connection, self.patience));
                held = Some(begun);
            }
            sleep(wait).await;
        }
    }
}

fn waits_for(connection: &ConnectionName, limit: Duration) -> WaitReason {
    let what = format!("This call waits until the provider of {connection} gives a token again.");
    WaitReason {
        what: what.into(),
        limit,
        for_a_person: false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;
    use crate::forward::tests::{FakeAuthority, notion};

    fn unavailable(retry_after: Duration) -> CallError {
        CallError::provider_unavailable("an answer was lost", Some(retry_after))
    }

    async fn asked(
        authority: &Arc<FakeAuthority>,
        waiting: &Waiting,
    ) -> (Result<CallToken, CallError>, u64) {
        let began = Instant::now();
        let patience = TokenWait::new(decide::PATIENCE, waiting);
        let token = patience.token(&**authority, &notion(), None).await;
        (token, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_a_token_that_comes_within_seconds() {
        let late = || unavailable(Duration::from_secs(6));
        let (authority, waiting) = (FakeAuthority::late(late, 6), Waiting::default());
        let mut heard = waiting.watch();
        let (done, said) = tokio::join!(asked(&authority, &waiting), async {
            let said = timeout(Duration::from_secs(1), heard.wait_for(Option::is_some)).await;
            said.unwrap().unwrap().clone().unwrap()
        });
        assert!(done.0.is_ok());
        assert_eq!(done.1, 6);
        assert!(
            !said.for_a_person && said.what.contains("notion"),
            "{said:?}"
        );
        assert!(!waiting.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_no_longer_than_it_may() {
        let soon = || unavailable(Duration::from_millis(250));
        let authority = FakeAuthority::refusing(soon);
        let (token, waited) = asked(&authority, &Waiting::default()).await;
        assert!(token.is_err());
        assert_eq!(waited, decide::PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_to_last_fails_at_once() {
        let authority = FakeAuthority::refusing(|| unavailable(Duration::from_mins(2)));
        let (token, waited) = asked(&authority, &Waiting::default()).await;
        assert!(token.is_err());
        assert_eq!((waited, authority.asked.lock().unwrap().len()), (0, 1));
    }
}
