//! The proof at the end of a sign-in: one harmless call over the new connection.

use authkeeper::model::ConnectionName;
use serde_json::Value;

use crate::{
    app::App,
    commands::check::{FailedCheck, SuccessfulCheck, json_of, prove},
    exit::Exit,
    failure::Failure,
};

/// What the first call over a connection showed.
pub(super) enum Proof {
    /// Nobody wanted it.
    Skipped,
    /// Its server answered.
    Proven(Box<SuccessfulCheck>),
    /// The call showed nothing of the credential: its server is away, or answers nothing at that URL.
    Unproven(Failure),
    /// The credential does not work.
    Refused(Failure),
}

impl Proof {
    /// One call, unless it is to be left out.
    pub(super) async fn of(app: &App, name: &ConnectionName, no_check: bool) -> Self {
        if no_check {
            return Self::Skipped;
        }
        match prove(app, name).await {
            Ok(checked) => Self::Proven(Box::new(checked)),
            Err(failed) => Self::from(failed),
        }
    }

    /// As `check --json` has it; null if there was no call.
    pub(super) fn json(&self, name: &ConnectionName) -> Value {
        match self {
            Self::Skipped => Value::Null,
            Self::Proven(checked) => json_of(name, Ok(checked)),
            Self::Unproven(failure) | Self::Refused(failure) => json_of(name, Err(failure)),
        }
    }

    /// A credential that does not work is no success. It is kept, so that it can be replaced.
    pub(super) fn verdict(self, name: &ConnectionName) -> Result<(), Failure> {
        let Self::Refused(failure) = self else {
            return Ok(());
        };
        let what = format!(
            "{name} is stored, but the first call over it failed: {}",
            failure.what
        );
        Err(Failure { what, ..failure })
    }
}

impl From<FailedCheck> for Proof {
    /// A guessed call that is forbidden says nothing of the calls that the connection is for.
    fn from(failed: FailedCheck) -> Self {
        let FailedCheck {
            failure,
            is_own_call,
            ..
        } = failed;
        let health = failure.health.as_ref();
        let is_judged = health.is_some_and(|health| health.needs_attention());
        match failure.exit {
            Exit::Unavailable | Exit::Data => Self::Unproven(failure),
            Exit::Permission if !is_own_call && !is_judged => Self::Unproven(failure),
            _ => Self::Refused(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{Health, HealthState};

    use super::*;

    fn proof(exit: Exit, is_own_call: bool, state: Option<HealthState>) -> &'static str {
        let mut failure = Failure::new(exit, "no", "next");
        failure.health = state.map(|state| {
            Box::new(Health {
                state,
                ..Health::OK
            })
        });
        match Proof::from(FailedCheck::new(failure, is_own_call)) {
            Proof::Skipped => "skipped",
            Proof::Proven(_) => "proven",
            Proof::Unproven(_) => "unproven",
            Proof::Refused(_) => "refused",
        }
    }

    #[test]
    fn a_refused_credential_is_told_from_a_call_that_shows_nothing() {
        for (exit, is_own_call, state, expected) in [
            (Exit::Person, false, None, "refused"),
            (Exit::Config, false, None, "refused"),
            (Exit::Unavailable, true, None, "unproven"),
            (Exit::Data, true, None, "unproven"),
            (Exit::Permission, true, None, "refused"),
            (Exit::Permission, false, None, "unproven"),
            (
                Exit::Permission,
                false,
                Some(HealthState::Notice),
                "unproven",
            ),
            (Exit::Permission, false, Some(HealthState::Down), "refused"),
        ] {
            assert_eq!(
                proof(exit, is_own_call, state),
                expected,
                "{exit:?} {is_own_call} {state:?}"
            );
        }
    }
}
