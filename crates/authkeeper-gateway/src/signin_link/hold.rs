//! The wait itself: until a person has signed in, the hold is over, or the caller is gone (it drops the future).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, Moment, Record},
    platform::clock::Clock,
};

use crate::{
    duration,
    wait::{WaitReason, Waiting},
};

/// How often it is checked that some process serves the link.
const LOOK: Duration = Duration::from_secs(1);

/// The least pause before a call is made again, doubled each time: an incident that only looks over must not make a loop of
/// calls.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Serves sign-in links and knows when an incident is over.
#[async_trait]
pub(crate) trait SignInHost: Send + Sync + 'static {
    /// Makes sure that a person can sign in, and gives the link, if there is one.
    async fn invite(&self, connection: &ConnectionName, record: &Record) -> Option<String>;

    /// Resolves when the incident is over, or the connection is gone.
    async fn resolved(&self, connection: &ConnectionName, record: &Record);
}

/// How calls wait for a person.
pub struct Hold {
    host: Arc<dyn SignInHost>,
    clock: Arc<dyn Clock>,
    limit: Duration,
}

impl Hold {
    /// A call waits for at most `limit` altogether, while `host` serves the links.
    pub(crate) fn new(host: Arc<dyn SignInHost>, clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self { host, clock, limit }
    }

    /// How long a person has.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// One call's, from now on.
    pub(crate) fn begin(&self) -> HoldWait<'_> {
        HoldWait {
            began: self.clock.now(),
            pause: PAUSE,
            hold: self,
        }
    }

    /// Waits for so long by the clock that runs on while the machine sleeps.
    async fn until(&self, began: Moment, limit: Duration) {
        loop {
            let gone = self.clock.now().boot_since(began).unwrap_or_default();
            if gone >= limit {
                return;
            }
            self.clock.sleep(limit.saturating_sub(gone)).await;
        }
    }
}

/// What one call has left of its hold.
pub(crate) struct HoldWait<'a> {
    hold: &'a Hold,
    began: Moment,
    pause: Duration,
}

impl HoldWait<'_> {
    /// Waits until the call may be made again; an error, with what is to be said, once the hold is over.
    pub(crate) async fn until_resolved(
        &mut self,
        connection: &ConnectionName,
        record: Box<Record>,
        waiting: &Waiting,
    ) -> Result<(), Box<Record>> {
        let (hold, held) = (self.hold, waiting.begin());
        let asks = |asked: &Record| held.says(hold.waits_for(asked));
        match self.until_over(connection, record, asks).await {
            Ok(()) => Ok(()),
            Err(asked) => Err(asked_in_vain(asked, hold.limit)),
        }
    }

    /// The same for a caller that says by itself what it waits for: `asks` hears of the record with its link, about once a
    /// second.
    pub(crate) async fn until_over(
        &mut self,
        connection: &ConnectionName,
        record: Box<Record>,
        mut asks: impl FnMut(&Record) + Send,
    ) -> Result<(), Box<Record>> {
        let (hold, pause) = (self.hold, self.pause);
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        let resolved = async {
            let pause = hold.clock.sleep(pause);
            let _both = tokio::join!(hold.host.resolved(connection, &record), pause);
        };
        let over = hold.until(self.began, hold.limit);
        tokio::pin!(resolved, over);
        let mut asked = record.clone();
        loop {
            // The process that served the link may be gone.
            let asking = async {
                asked.link = hold.host.invite(connection, &record).await;
                asks(&asked);
                hold.clock.sleep(LOOK).await;
            };
            tokio::select! {
                biased;
                () = &mut resolved => return Ok(()),
                () = &mut over => return Err(asked),
                () = asking => {}
            }
        }
    }
}

/// What a person does about an incident.
pub(crate) fn sign_in(record: &Record) -> String {
    match &record.link {
        Some(link) => format!("open {link}, or run: {}", record.action),
        None => format!("run: {}", record.action),
    }
}

impl Hold {
    fn waits_for(&self, record: &Record) -> WaitReason {
        let what = format!(
            "This call waits for a person to authorize {}: {}.",
            record.connection,
            sign_in(record)
        );
        WaitReason {
            what: what.into(),
            limit: self.limit,
            for_a_person: true,
        }
    }
}

fn asked_in_vain(mut record: Box<Record>, limit: Duration) -> Box<Record> {
    let waited = duration::in_words(limit.as_secs());
    record.detail = format!(
        "{}; the call waited {waited} for a person to sign in, and nobody did",
        record.detail
    );
    record
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use authkeeper::{model::Event, platform::clock::SystemClock};
    use tokio::sync::Notify;

    use super::*;
    use crate::forward::tests::{notion, record};

    #[derive(Default)]
    struct Person {
        came: Notify,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl SignInHost for Person {
        async fn invite(&self, _connection: &ConnectionName, _record: &Record) -> Option<String> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Some("http://127.0.0.1:1/abc".to_owned())
        }

        async fn resolved(&self, _connection: &ConnectionName, _record: &Record) {
            self.came.notified().await;
        }
    }

    fn hold(person: &Arc<Person>, limit: Duration) -> Hold {
        Hold::new(person.clone(), Arc::new(SystemClock::new()), limit)
    }

    fn lost() -> Box<Record> {
        Box::new(record(Event::ReauthorizationRequired, "notion"))
    }

    #[tokio::test]
    async fn a_call_waits_until_somebody_came_and_says_so_meanwhile() {
        let person = Arc::new(Person::default());
        let (hold, waiting) = (hold(&person, Duration::from_mins(1)), Waiting::default());
        let (name, mut patience) = (notion(), hold.begin());
        let mut heard = waiting.watch();
        let (waited, said) =
            tokio::join!(patience.until_resolved(&name, lost(), &waiting), async {
                let said = heard.wait_for(Option::is_some).await.unwrap().clone();
                person.came.notify_one();
                said.unwrap().what
            });
        assert!(waited.is_ok() && !waiting.is_held());
        for part in ["http://127.0.0.1:1/abc", "authkeeper reauthorize notion"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[tokio::test]
    async fn the_end_of_the_hold_is_said_with_the_link() {
        let person = Arc::new(Person::default());
        let (hold, waiting) = (hold(&person, Duration::from_millis(20)), Waiting::default());
        let waited = hold
            .begin()
            .until_resolved(&notion(), lost(), &waiting)
            .await;
        let record = waited.unwrap_err();
        assert_eq!(record.link.as_deref(), Some("http://127.0.0.1:1/abc"));
        assert!(record.detail.contains("nobody did"), "{}", record.detail);
        assert!(!waiting.is_held());
    }

    #[tokio::test]
    async fn what_only_looks_resolved_makes_no_loop() {
        let person = Arc::new(Person::default());
        let hold = hold(&person, Duration::from_millis(600));
        let (name, waiting, mut patience) = (notion(), Waiting::default(), hold.begin());
        let mut rounds = 0;
        loop {
            person.came.notify_one();
            if patience
                .until_resolved(&name, lost(), &waiting)
                .await
                .is_err()
            {
                break;
            }
            rounds += 1;
        }
        assert_eq!(rounds, 1, "250 ms, then 500");
    }
}
