use std::sync::Mutex;

use async_trait::async_trait;
use authkeeper::{
    http::NetTransport,
    model::{
        Event, FailedCall, Health, HealthCause, Incident, IncidentId, ReauthorizeReason, Record,
        Severity,
    },
};
use tempfile::TempDir;

use super::{
    super::{policy::AlertFact, route::ChannelSettings},
    *,
};
use crate::forward::tests::record;

/// A store with these causes.
#[derive(Default)]
struct Feed {
    facts: Mutex<Vec<AlertFact>>,
    state: Mutex<Option<String>>,
    /// The incidents that were marked as told.
    marked: Mutex<Vec<IncidentId>>,
    /// Another process changes the state before the next write.
    outrun: Mutex<Option<String>>,
}

#[async_trait]
impl IncidentFeed for Feed {
    async fn open(&self) -> Result<Vec<Incident>, StoreError> {
        Ok(vec![])
    }

    async fn is_due(&self, _incident: &Incident) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        Ok(vec![])
    }

    async fn facts(&self, _names: &[String]) -> Result<Vec<AlertFact>, StoreError> {
        Ok(self.facts.lock().unwrap().clone())
    }

    async fn alert_state(&self) -> Result<Option<String>, StoreError> {
        Ok(self.state.lock().unwrap().clone())
    }

    async fn put_alert_state(
        &self,
        seen: Option<&str>,
        new: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut state = self.state.lock().unwrap();
        if let Some(by) = self.outrun.lock().unwrap().take() {
            *state = Some(by);
        }
        let same = state.as_deref() == seen;
        if same {
            *state = new.map(str::to_owned);
        }
        Ok(same)
    }

    async fn mark_told(&self, id: &IncidentId) -> Result<(), StoreError> {
        self.marked.lock().unwrap().push(id.clone());
        Ok(())
    }

    async fn link(&self, _record: &Record) -> Option<String> {
        Some("http://127.0.0.1:4242/a1b2".to_owned())
    }
}

impl Feed {
    fn hold(&self, facts: Vec<AlertFact>) {
        *self.facts.lock().unwrap() = facts;
    }
}

fn dead(cause: HealthCause) -> AlertFact {
    AlertFact {
        provider: "https://as.example".to_owned(),
        client: "client".to_owned(),
        health: Health {
            state: cause.state(true),
            cause: Some(cause),
            whose_move: cause.whose_move(),
            ..Health::OK
        },
        record: record(Event::ReauthorizationRequired, "notion"),
        recorded: true,
        untold: Some(IncidentId::new("i1")),
        heals_in: Duration::ZERO,
        failed: None,
        concerns: vec!["notion".to_owned()],
    }
}

fn refused() -> AlertFact {
    let reason = ReauthorizeReason::RefreshRefused;
    dead(HealthCause::GrantOver(reason))
}

struct Scene {
    folder: TempDir,
    feed: Feed,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            feed: Feed::default(),
        }
    }

    /// Each route appends what it gets to a file of its name; one that is broken fails.
    fn notifier(&self, routes: &[(&str, Severity, bool)]) -> Notifier {
        let route = |(name, severity, works): &(&str, Severity, bool)| {
            let file = self.folder.path().join(name);
            let works = if *works { "" } else { "; exit 1" };
            RouteSettings {
                name: (*name).to_owned(),
                severity: *severity,
                channel: ChannelSettings::Command(format!(
                    "{{ cat; }} >> '{}'{works}",
                    file.display()
                )),
            }
        };
        let set = NotifierSettings {
            routes: routes.iter().map(route).collect(),
            outage_after: None,
            data: self.folder.path().to_owned(),
            host: "build-7".to_owned(),
        };
        let transport: Arc<dyn Transport> = Arc::new(NetTransport::new());
        Notifier::new(set, &transport)
    }

    fn told(&self, route: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.path().join(route)).unwrap_or_default();
        let read = |line: &str| {
            let message: Notification = serde_json::from_str(line).unwrap();
            let word = message.status.as_str().to_owned();
            (word, message.message_id())
        };
        text.lines().map(read).collect()
    }

    async fn look(&self, notifier: &Notifier) -> Vec<String> {
        notifier.look(&self.feed, true).await.unwrap();
        notifier.deliver_all().await
    }
}

fn statuses(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(word, _)| word.as_str()).collect()
}

#[tokio::test]
async fn many_processes_tell_once_and_once_that_it_is_over() {
    let scene = Scene::new();
    let all: Vec<Notifier> = (0..5)
        .map(|_| scene.notifier(&[("mail", Severity::Info, true)]))
        .collect();
    scene.feed.hold(vec![refused()]);
    for notifier in &all {
        assert_eq!(scene.look(notifier).await, Vec::<String>::new());
    }
    assert_eq!(statuses(&scene.told("mail")), ["firing"]);
    assert!(
        scene
            .feed
            .marked
            .lock()
            .unwrap()
            .contains(&IncidentId::new("i1"))
    );
    scene.feed.hold(vec![]);
    for notifier in &all {
        assert_eq!(scene.look(notifier).await, Vec::<String>::new());
    }
    let told = scene.told("mail");
    assert_eq!(statuses(&told), ["firing", "resolved"]);
    assert_ne!(told[0].1, told[1].1);
    assert_eq!(*scene.feed.state.lock().unwrap(), None);
}

#[tokio::test]
async fn the_message_says_where_its_link_opens() {
    let scene = Scene::new();
    scene.feed.hold(vec![refused()]);
    scene
        .look(&scene.notifier(&[("mail", Severity::Info, true)]))
        .await;
    let text = std::fs::read_to_string(scene.folder.path().join("mail")).unwrap();
    let message: Notification = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(message.link_host.as_deref(), Some("build-7"));
    assert!(
        message
            .text
            .contains("Sign in, on build-7: http://127.0.0.1:4242/a1b2")
    );
}

#[tokio::test]
async fn a_route_gets_what_is_urgent_enough_for_it_and_its_end() {
    let scene = Scene::new();
    let notifier = scene.notifier(&[
        ("all", Severity::Info, true),
        ("urgent", Severity::Critical, true),
    ]);
    scene.feed.hold(vec![dead(HealthCause::RotationDue)]);
    scene.look(&notifier).await;
    scene.feed.hold(vec![refused()]);
    scene.look(&notifier).await;
    scene.feed.hold(vec![]);
    scene.look(&notifier).await;
    assert_eq!(statuses(&scene.told("urgent")), ["firing", "resolved"]);
    assert_eq!(
        statuses(&scene.told("all")),
        ["firing", "firing", "resolved"]
    );
}

#[tokio::test]
async fn what_fails_is_tried_again_and_an_all_clear_follows_no_silence() {
    let scene = Scene::new();
    let broken = scene.notifier(&[("mail", Severity::Info, false)]);
    scene.feed.hold(vec![refused()]);
    let said = scene.look(&broken).await;
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("mail was not told yet, and is tried again"),
        "{said:?}"
    );
    assert!(scene.look(&broken).await.is_empty(), "not at once");
    scene.feed.hold(vec![]);
    let works = scene.notifier(&[("mail", Severity::Info, true)]);
    assert!(scene.look(&works).await.is_empty());
    let told = scene.told("mail");
    assert_eq!(statuses(&told), ["firing"], "the failed attempt alone");
}

#[tokio::test]
async fn a_decision_that_another_process_outran_is_made_again() {
    let scene = Scene::new();
    let notifier = scene.notifier(&[("mail", Severity::Info, true)]);
    scene.feed.hold(vec![refused()]);
    scene.look(&notifier).await;
    let told = scene.feed.state.lock().unwrap().clone();
    assert!(told.is_some());
    // Another process has told it between the look at the state and its change.
    *scene.feed.state.lock().unwrap() = None;
    scene.feed.outrun.lock().unwrap().clone_from(&told);
    scene.look(&notifier).await;
    assert_eq!(*scene.feed.state.lock().unwrap(), told);
    assert_eq!(statuses(&scene.told("mail")), ["firing"]);
}

/// Killed after the decision was kept and before anything was queued.
#[tokio::test]
async fn a_crash_between_decision_and_outbox_loses_nothing() {
    let scene = Scene::new();
    scene.feed.hold(vec![refused()]);
    let context = AlertContext {
        now: now(),
        outage_after: None,
        last: true,
        run: RunPhase::None,
    };
    let decided = decide(&AlertState::default(), &[refused()], &context, &mut || {
        "a1".to_owned()
    });
    *scene.feed.state.lock().unwrap() = decided.state.text();
    let next = scene.notifier(&[("mail", Severity::Info, true)]);
    scene.look(&next).await;
    let expected = ("firing".to_owned(), "a1.1".to_owned());
    assert_eq!(scene.told("mail"), [expected]);
}

#[tokio::test]
async fn without_routes_nothing_is_decided() {
    let scene = Scene::new();
    scene.feed.hold(vec![refused()]);
    assert!(!Notifier::default().is_set());
    scene.look(&Notifier::default()).await;
    assert_eq!(
        *scene.feed.state.lock().unwrap(),
        None,
        "left to the others"
    );
}
