//! The step-up of a grant that needs no person: the client asks for the missing scope itself.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    error::TokenError,
    model::{Connection, Grant, Scope, ScopeRefusal, StepUps},
    oauth::authorize::RedirectError,
    refresh::incident,
    runtime::{Runtime, step_up::error_of},
    secret::SecretString,
    signin::{Again, ConnectError, Prompter, SignInPrompt},
};

/// How long an authorization server may take over a client's own sign-in.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client signs in for itself.
struct NoPerson;

#[async_trait]
impl Prompter for NoPerson {
    fn invite(&self, _: &SignInPrompt) {}

    async fn paste(&self) -> Option<SecretString> {
        None
    }

    fn paste_again(&self, _: &RedirectError) {}
}

impl Runtime {
    /// The same sign-in again, asking for more, for a client that needs nobody for it.
    pub(crate) async fn ask_for_itself(
        &self,
        (connection, grant): (&Connection, &Grant),
        refusal: &ScopeRefusal,
        all: &StepUps,
    ) -> Result<(), TokenError> {
        let name = &connection.name;
        let asked = connection.requested_scope(grant);
        let scope_request = all.scope_request().unwrap_or_default();
        let covered = |more: &Scope| asked.as_ref().is_some_and(|asked| asked.covers(more));
        let more = scope_request.scope.is_some_and(|more| !covered(&more));
        let worth_it = more || (scope_request.unnamed && all.in_vain(&refusal.operation) == 0);
        // The same question has the same answer.
        let asked_again = if worth_it {
            Some(Box::pin(self.reauthorize(name, Again::new(PATIENCE), &NoPerson)).await)
        } else {
            None
        };
        match asked_again {
            Some(Ok(_)) => return Ok(()),
            Some(Err(ConnectError::Store(error))) => return Err(error.into()),
            Some(Err(error)) if !error.is_about_scope() => {
                return Err(TokenError::Unavailable {
                    why: error.to_string(),
                    retry_after: None,
                });
            }
            Some(Err(_)) | None => {}
        }
        let given_up = self.change_step_ups(name, |all| (all.give_up(&refusal.operation), None));
        let (all, _) = given_up.await?;
        let mut records = self.tell_of_scopes((connection, grant), &all).await?;
        records.retain(|record| record.reason == incident::SCOPE_REFUSED);
        Err(error_of(records.pop(), name))
    }
}
