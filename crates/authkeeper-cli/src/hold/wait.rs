//! The wait itself: until a person has signed in, the hold is over, or nobody wants the answer any more (the future is
//! dropped then).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, Moment, Record},
    platform::clock::Clock,
};

use crate::{
    mcp::{Waiting, WaitsFor},
    output::span,
};

/// How often it is looked after that somebody attends to the person.
const LOOK: Duration = Duration::from_secs(1);

/// What is waited at least before a call is made again, doubled each time: what looks mended and is not must not make a
/// loop of calls.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a waiting call needs of its surroundings.
#[async_trait]
pub(crate) trait Mending: Send + Sync + 'static {
    /// Sees to it that a person can sign in, and gives the link to it, if there is one.
    async fn invite(&self, connection: &ConnectionName, record: &Record) -> Option<String>;

    /// Resolves when the incident is over, or the connection is gone.
    async fn mended(&self, connection: &ConnectionName, record: &Record);
}

/// How calls wait for a person.
pub(crate) struct Hold {
    mending: Arc<dyn Mending>,
    clock: Arc<dyn Clock>,
    limit: Duration,
}

impl Hold {
    /// A call waits for so long altogether.
    pub(crate) fn new(mending: Arc<dyn Mending>, clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self {
            mending,
            clock,
            limit,
        }
    }

    /// One call's, from now on.
    pub(crate) fn patience(&self) -> Patience<'_> {
        Patience {
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
pub(crate) struct Patience<'a> {
    hold: &'a Hold,
    began: Moment,
    pause: Duration,
}

impl Patience<'_> {
    /// Waits until the call may be made again; an error, with what is to be said, once the hold is over.
    pub(crate) async fn wait(
        &mut self,
        connection: &ConnectionName,
        record: Box<Record>,
        waiting: &Waiting,
    ) -> Result<(), Box<Record>> {
        let (hold, pause) = (self.hold, self.pause);
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        let mended = async {
            let pause = hold.clock.sleep(pause);
            let _both = tokio::join!(hold.mending.mended(connection, &record), pause);
        };
        let over = hold.until(self.began, hold.limit);
        tokio::pin!(mended, over);
        let mut asked = record.clone();
        let held = waiting.begin();
        loop {
            // Whoever attended to the person may be gone.
            let asking = async {
                asked.link = hold.mending.invite(connection, &record).await;
                held.says(hold.waits_for(&asked));
                hold.clock.sleep(LOOK).await;
            };
            tokio::select! {
                biased;
                () = &mut mended => return Ok(()),
                () = &mut over => return Err(asked_in_vain(asked, hold.limit)),
                () = asking => {}
            }
        }
    }
}

impl Hold {
    fn waits_for(&self, record: &Record) -> WaitsFor {
        let sign_in = match &record.link {
            Some(link) => format!("open {link}, or run: {}", record.action),
            None => format!("run: {}", record.action),
        };
        let what = format!(
            "This call waits until a person mends {}: {sign_in}.",
            record.connection
        );
        WaitsFor {
            what: what.into(),
            limit: self.limit,
            for_a_person: true,
        }
    }
}

fn asked_in_vain(mut record: Box<Record>, limit: Duration) -> Box<Record> {
    let waited = span(limit.as_secs());
    record.detail = format!(
        "{}; the call waited {waited} for a person to mend it, and nobody did",
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
    use crate::carry::tests::{notion, record};

    #[derive(Default)]
    struct Person {
        came: Notify,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Mending for Person {
        async fn invite(&self, _connection: &ConnectionName, _record: &Record) -> Option<String> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Some("http://127.0.0.1:1/abc".to_owned())
        }

        async fn mended(&self, _connection: &ConnectionName, _record: &Record) {
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
        let (name, mut patience) = (notion(), hold.patience());
        let mut heard = waiting.watch();
        let (waited, said) = tokio::join!(patience.wait(&name, lost(), &waiting), async {
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
        let waited = hold.patience().wait(&notion(), lost(), &waiting).await;
        let record = waited.unwrap_err();
        assert_eq!(record.link.as_deref(), Some("http://127.0.0.1:1/abc"));
        assert!(record.detail.contains("nobody did"), "{}", record.detail);
        assert!(!waiting.is_held());
    }

    #[tokio::test]
    async fn what_only_looks_mended_makes_no_loop() {
        let person = Arc::new(Person::default());
        let hold = hold(&person, Duration::from_millis(600));
        let (name, waiting, mut patience) = (notion(), Waiting::default(), hold.patience());
        let mut rounds = 0;
        loop {
            person.came.notify_one();
            if patience.wait(&name, lost(), &waiting).await.is_err() {
                break;
            }
            rounds += 1;
        }
        assert_eq!(rounds, 1, "250 ms, then 500");
    }
}
