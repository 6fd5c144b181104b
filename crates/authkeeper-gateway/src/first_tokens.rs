//! The first tokens of a run. A connection that has none is waited for before anything is started: a provider that is
//! unavailable, or a person who has to sign in.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use authkeeper::{
    error::TokenError,
    model::{ConnectionName, ConnectionState, Event, Moment, Record},
    platform::clock::{Clock, Seams},
    runtime::{Runtime, TokenRequest},
};

use crate::{
    duration,
    error::CallErrorKind,
    report::Report,
    signin_link::{Hold, sign_in},
};

/// So often a provider is asked again: another process may have got a token.
const LOOK: Duration = Duration::from_secs(1);

/// And not more often than this.
const LEAST: Duration = Duration::from_millis(50);

/// Gets the first token of each connection, and waits for those that are not there yet.
pub struct FirstTokens {
    runtime: Runtime,
    wait: Duration,
    hold: Option<Arc<Hold>>,
    clock: Arc<dyn Clock>,
    report: Report,
}

/// A connection without a token.
#[derive(Debug)]
pub struct Lacking {
    /// Its name.
    pub connection: ConnectionName,
    /// Why it has none.
    pub error: TokenError,
    /// How long it was waited for.
    pub waited: Duration,
}

/// What brings a token where there is none.
#[derive(Debug, PartialEq, Eq)]
enum Remedy<'a> {
    /// The provider answers again; it, or our own backoff, may have named a time.
    Provider(Option<Duration>),
    /// A person does what the record says.
    Person(&'a Record),
    /// Waiting changes nothing.
    None,
}

fn remedy(error: &TokenError) -> Remedy<'_> {
    match (CallErrorKind::from(error), error, error.record()) {
        (CallErrorKind::ProviderUnavailable, TokenError::Unavailable { retry_after, .. }, _) => {
            Remedy::Provider(*retry_after)
        }
        (CallErrorKind::ProviderUnavailable, TokenError::Uncertain { retry_after, .. }, _) => {
            Remedy::Provider(Some(*retry_after))
        }
        (CallErrorKind::AuthorizationMissing, _, Some(record)) => Remedy::Person(record),
        _ => Remedy::None,
    }
}

/// How long to pause before the provider is asked again; none once the wait is over. It is asked once more at the very end.
fn pause(asked: Option<Duration>, waited: Duration, wait: Duration) -> Option<Duration> {
    let left = wait.saturating_sub(waited);
    let pause = asked.unwrap_or(LOOK).clamp(LEAST, LOOK);
    (!left.is_zero()).then(|| pause.min(left))
}

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Lacking, Lacking>> + Send + 'a>>;

impl FirstTokens {
    /// A provider is waited for at most `wait`, a person as long as `hold` says; neither is without it. What is waited for is
    /// said once through `report`.
    pub fn new(runtime: Runtime, wait: Duration, hold: Option<Arc<Hold>>, report: Report) -> Self {
        Self {
            runtime,
            wait,
            hold,
            clock: Seams::system().clock,
            report,
        }
    }

    /// Asks for a token of each connection, and gives those that have none and are worth waiting for.
    ///
    /// # Errors
    ///
    /// The first connection that waiting does not help, or that nobody waits for.
    pub async fn ask(&self, connections: &[ConnectionName]) -> Result<Vec<Lacking>, Lacking> {
        let mut lacking = Vec::new();
        for name in connections {
            let Err(error) = self.first(name).await else {
                continue;
            };
            let without = Lacking {
                connection: name.clone(),
                waited: Duration::ZERO,
                error,
            };
            if !self.waits_for(&without.error) {
                return Err(without);
            }
            lacking.push(without);
        }
        Ok(lacking)
    }

    /// Waits until each of these has a token, and gives them with the time that it took.
    ///
    /// # Errors
    ///
    /// The first that was waited for in vain.
    pub async fn wait(&self, lacking: Vec<Lacking>) -> Result<Vec<Lacking>, Lacking> {
        let mut there = Vec::new();
        let mut waits: Vec<Wait<'_>> = Vec::new();
        for one in lacking {
            waits.push(Box::pin(self.until_there(one)));
        }
        poll_fn(|context| {
            let mut in_vain = None;
            waits.retain_mut(|wait| match wait.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(one)) => {
                    there.push(one);
                    false
                }
                Poll::Ready(Err(one)) => {
                    in_vain.get_or_insert(one);
                    false
                }
            });
            match in_vain {
                Some(one) => Poll::Ready(Err(one)),
                None if waits.is_empty() => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        })
        .await?;
        Ok(there)
    }

    fn waits_for(&self, error: &TokenError) -> bool {
        match remedy(error) {
            Remedy::Provider(_) => !self.wait.is_zero(),
            Remedy::Person(_) => self.hold.is_some(),
            Remedy::None => false,
        }
    }

    async fn until_there(&self, mut lacking: Lacking) -> Result<Lacking, Lacking> {
        let name = lacking.connection.clone();
        let began = self.clock.now();
        let (mut away, mut held, mut said) = (None, None, Said::default());
        loop {
            lacking.waited = self.since(began);
            match (remedy(&lacking.error), &self.hold) {
                (Remedy::Provider(asked), _) => {
                    let since = *away.get_or_insert_with(|| self.clock.now());
                    let Some(pause) = pause(asked, self.since(since), self.wait) else {
                        return Err(lacking);
                    };
                    self.say_provider(&mut said, &lacking);
                    self.clock.sleep(pause).await;
                }
                (Remedy::Person(record), Some(hold)) => {
                    away = None;
                    let asks = |asked: &Record| self.say_person(&mut said, &name, (asked, hold));
                    let held = held.get_or_insert_with(|| hold.begin());
                    let over = held.until_over(&name, Box::new(record.clone()), asks).await;
                    if over.is_err() {
                        lacking.waited = self.since(began);
                        return Err(lacking);
                    }
                }
                _ => return Err(lacking),
            }
            match self.first(&name).await {
                Ok(()) => {
                    lacking.waited = self.since(began);
                    return Ok(lacking);
                }
                Err(error) => lacking.error = error,
            }
        }
    }

    /// A token that is there now. A grant that is over has none, although its last token may still live: nothing could keep
    /// that fresh, and the run would end in the same code whatever its command did.
    async fn first(&self, name: &ConnectionName) -> Result<(), TokenError> {
        let request = TokenRequest::new(name.clone());
        self.runtime.access_token(&request).await?;
        let status = self.runtime.status(name).await?;
        if !matches!(
            status.state,
            ConnectionState::ReauthorizationRequired { .. }
        ) {
            return Ok(());
        }
        let mut records = status.incidents.into_iter().map(|incident| incident.record);
        match records.find(|record| record.event == Event::ReauthorizationRequired) {
            Some(record) => Err(TokenError::ReauthorizationRequired {
                record: Box::new(record),
            }),
            None => Ok(()),
        }
    }

    fn since(&self, began: Moment) -> Duration {
        self.clock.now().boot_since(began).unwrap_or_default()
    }

    fn say_provider(&self, said: &mut Said, lacking: &Lacking) {
        if !std::mem::replace(&mut said.provider, true) {
            let why = match &lacking.error {
                TokenError::Uncertain { record, .. } => record.detail.clone(),
                error => error.to_string(),
            };
            let for_what = format!("its provider ({why})");
            self.say(&lacking.connection, &for_what, self.wait);
        }
    }

    fn say_person(&self, said: &mut Said, name: &ConnectionName, (asked, hold): (&Record, &Hold)) {
        if !std::mem::replace(&mut said.person, true) {
            let for_what = format!("a person: {}", sign_in(asked));
            self.say(name, &for_what, hold.limit());
        }
    }

    fn say(&self, name: &ConnectionName, for_what: &str, limit: Duration) {
        let until = jiff::SignedDuration::try_from(limit)
            .ok()
            .and_then(|limit| self.clock.now().wall.checked_add(limit).ok())
            .map(|until| format!(", until {},", until.strftime("%H:%M:%S UTC")));
        self.report.line(&format!(
            "authkeeper: {name}: the command is not started yet; waiting up to {}{} for {for_what}",
            duration::in_words(limit.as_secs()),
            until.unwrap_or_default()
        ));
    }
}

/// What was said of one connection.
#[derive(Default)]
struct Said {
    provider: bool,
    person: bool,
}

#[cfg(test)]
mod tests {
    use authkeeper::model::SuspendReason;

    use super::*;
    use crate::forward::tests::record;

    #[test]
    fn a_provider_is_asked_each_second_and_once_more_at_the_end() {
        let wait = Duration::from_secs(10);
        let millis = |asked: Option<u64>, waited| {
            let asked = asked.map(Duration::from_millis);
            let pause = pause(asked, Duration::from_millis(waited), wait)?;
            Some(pause.as_millis())
        };
        assert_eq!(millis(None, 0), Some(1_000));
        assert_eq!(millis(Some(0), 0), Some(50));
        assert_eq!(millis(Some(300), 0), Some(300));
        // Longer than there is left: another process or a sign-in may bring a token before.
        assert_eq!(millis(Some(3_600_000), 0), Some(1_000));
        assert_eq!(millis(None, 9_400), Some(600));
        assert_eq!(millis(Some(0), 10_000), None);
    }

    #[test]
    fn what_waiting_does_not_help_is_not_waited_for() {
        let lost = record(Event::ReauthorizationRequired, "notion");
        let person = TokenError::ReauthorizationRequired {
            record: Box::new(lost.clone()),
        };
        assert_eq!(remedy(&person), Remedy::Person(&lost));
        let manual = TokenError::Suspended {
            record: Box::new(lost.clone()),
            reason: SuspendReason::Manual,
        };
        assert_eq!(remedy(&manual), Remedy::Person(&lost));
        let away = TokenError::Unavailable {
            why: "503".to_owned(),
            retry_after: Some(LOOK),
        };
        assert_eq!(remedy(&away), Remedy::Provider(Some(LOOK)));
        let uncertain = TokenError::Uncertain {
            record: Box::new(lost.clone()),
            retry_after: LEAST,
        };
        assert_eq!(remedy(&uncertain), Remedy::Provider(Some(LEAST)));
        let name = crate::forward::tests::notion();
        for error in [
            TokenError::NoSuchConnection { name },
            TokenError::Rejected {
                record: Box::new(lost),
            },
            TokenError::NetworkSetting {
                why: String::new(),
                action: String::new(),
            },
        ] {
            assert_eq!(remedy(&error), Remedy::None, "{error}");
        }
    }
}
