use std::{
    io::Write,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use authkeeper::model::{Event, FailedCall, Incident, IncidentId, Record};
use authkeeper_gateway::alerts::{AlertFact, IncidentFeed, Notifier};
use rustix::process::Signal;

use super::*;
use crate::{
    signals::IgnoredSignals,
    test_support::{forwarder, notion},
};

pub(super) fn incident(id: &str, event: Event, connection: &str) -> Incident {
    Incident {
        id: IncidentId::new(id),
        record: record(event, connection),
        notified: false,
    }
}

fn record(event: Event, connection: &str) -> Record {
    crate::test_support::record(event, connection)
}

#[derive(Default)]
struct Fake {
    open: Vec<Incident>,
    failed: Vec<FailedCall>,
    /// What is open may heal by itself.
    heals: bool,
    /// This many looks find the store busy.
    busy: AtomicUsize,
}

impl Fake {
    fn read<T: Clone>(&self, what: &T) -> Result<T, StoreError> {
        let left = |busy: usize| busy.checked_sub(1);
        let order = Ordering::SeqCst;
        match self.busy.fetch_update(order, order, left) {
            Ok(_) => Err(StoreError::Busy {
                place: "store.db".to_owned(),
            }),
            Err(_) => Ok(what.clone()),
        }
    }
}

#[async_trait]
impl IncidentFeed for Fake {
    async fn open(&self) -> Result<Vec<Incident>, StoreError> {
        self.read(&self.open)
    }

    async fn is_due(&self, _incident: &Incident) -> Result<bool, StoreError> {
        Ok(!self.heals)
    }

    async fn unrecovered(&self) -> Result<Vec<FailedCall>, StoreError> {
        self.read(&self.failed)
    }

    async fn facts(&self, _names: &[String]) -> Result<Vec<AlertFact>, StoreError> {
        Ok(vec![])
    }

    async fn alert_state(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn put_alert_state(
        &self,
        _seen: Option<&str>,
        _new: Option<&str>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn plan(command: &str, args: &[&str]) -> RunPlan {
    RunPlan {
        declared: vec![notion()],
        command: command.into(),
        args: args.iter().map(Into::into).collect(),
        handle: "handle-5ecret".to_owned().into(),
        task_id: "t1".to_owned(),
        without_proxy: Vec::new(),
    }
}

/// The exit code and what was said.
async fn ran_with(
    plan: RunPlan,
    incidents: Arc<Fake>,
    signals: mpsc::Receiver<Signal>,
) -> (u8, String) {
    let (code, said) = tried_with(plan, incidents, signals).await;
    (code.unwrap(), said)
}

async fn tried_with(
    plan: RunPlan,
    incidents: Arc<Fake>,
    signals: mpsc::Receiver<Signal>,
) -> (Result<u8, RunError>, String) {
    let said = Buffer::default();
    let (forwarder, _folder) = forwarder();
    let report = Report::new(said.clone());
    let lifecycle = Lifecycle::default();
    let watch = Watcher::new(&lifecycle, incidents, Notifier::default(), report.clone());
    let ended = run(
        plan,
        RunSeams {
            serving: lifecycle.clone(),
            forwarder: Arc::new(forwarder),
            watch,
            report,
            signals,
        },
    )
    .await;
    assert_eq!(lifecycle.tasks(), 0, "a task outlives the run");
    let said = said.0.lock().unwrap().clone();
    let code = ended.map(|ended| ended.code);
    (code, String::from_utf8(said).unwrap())
}

async fn ran(plan: RunPlan, incidents: Fake) -> (u8, String) {
    ran_with(plan, Arc::new(incidents), mpsc::channel(1).1).await
}

#[tokio::test]
async fn the_command_gets_the_proxy_and_the_handle_and_gives_its_code() {
    let script = r#"case "$AUTHKEEPER_URL $AUTHKEEPER_TASK" in
        "http://127.0.0.1:"*" handle-5ecret") exit 7;; esac; exit 1"#;
    assert_eq!(
        ran(plan("sh", &["-c", script]), Fake::default()).await,
        (7, String::new())
    );
    let (code, _) = ran(plan("sh", &["-c", "kill -TERM $$"]), Fake::default()).await;
    assert_eq!(code, 143);
}

#[tokio::test]
async fn a_command_that_is_not_there_is_said() {
    let (code, said) = ran(plan("no-such-command-here", &[]), Fake::default()).await;
    assert_eq!(code, 127);
    assert!(said.contains("no-such-command-here"), "{said}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let (code, _) = ran(plan(file.path().to_str().unwrap(), &[]), Fake::default()).await;
    assert_eq!(code, 126);
}

async fn exists(path: &Path) {
    for _ in 0..2000 {
        if path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the command never came that far");
}

#[tokio::test]
async fn signals_reach_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let script = "trap 'exit 9' USR1; : > \"$0\"; for _ in $(seq 400); do sleep 0.05; done";
    let plan = plan("sh", &["-c", script, ready.to_str().unwrap()]);
    let (sender, signals) = mpsc::channel(1);
    let sending = async {
        exists(&ready).await;
        sender.send(Signal::USR1).await.unwrap();
    };
    let running = ran_with(plan, Arc::default(), signals);
    let both = async { tokio::join!(running, sending) };
    let ((code, _), ()) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    assert_eq!(code, 9);
}

#[tokio::test]
async fn what_arrives_here_is_passed_on() {
    let (_forwarder, mut signals) = SignalForwarder::install(
        Lifecycle::default().scope(),
        false,
        IgnoredSignals::default(),
    )
    .unwrap();
    rustix::process::kill_process(rustix::process::getpid(), Signal::USR2).unwrap();
    let signal = tokio::time::timeout(Duration::from_secs(10), signals.recv()).await;
    assert_eq!(signal.unwrap(), Some(Signal::USR2));
}

#[tokio::test]
async fn an_incident_is_printed_once() {
    let open = vec![incident("1", Event::ReauthorizationRequired, "notion")];
    let incidents = Fake {
        open,
        ..Fake::default()
    };
    let (code, said) = ran(plan("sleep", &["2.2"]), incidents).await;
    assert_eq!(code, 75);
    let line = serde_json::to_string(&record(Event::ReauthorizationRequired, "notion")).unwrap();
    assert_eq!(said, format!("{line}\n"));
}

#[tokio::test]
async fn what_may_heal_by_itself_is_not_told() {
    let incidents = Fake {
        open: vec![incident("1", Event::Uncertain, "notion")],
        heals: true,
        ..Fake::default()
    };
    let (code, said) = ran(plan("true", &[]), incidents).await;
    assert_eq!((code, said.as_str()), (0, ""));
}

#[tokio::test]
async fn a_command_that_swallows_the_failure_does_not_return_0() {
    let failed = vec![FailedCall {
        connection: notion(),
        reason: "refresh_refused".to_owned(),
        times: 1,
        first: jiff::Timestamp::UNIX_EPOCH,
    }];
    let (code, said) = ran(
        plan("true", &[]),
        Fake {
            failed,
            ..Fake::default()
        },
    )
    .await;
    assert_eq!(code, 75);
    assert!(
        said.contains("the command returned 0, but 1 call over notion failed"),
        "{said}"
    );
}

#[tokio::test]
async fn a_look_that_fails_is_made_again() {
    let incidents = Fake {
        open: vec![incident("1", Event::ReauthorizationRequired, "notion")],
        busy: 1.into(),
        ..Fake::default()
    };
    let (code, said) = ran(plan("true", &[]), incidents).await;
    assert_eq!((code, said.lines().count()), (75, 1), "{said}");
}

#[tokio::test]
async fn a_run_that_can_not_read_its_incidents_has_no_verdict() {
    let incidents = Arc::new(Fake {
        busy: 1_000.into(),
        ..Fake::default()
    });
    let (code, _) = tried_with(plan("true", &[]), incidents, mpsc::channel(1).1).await;
    let error = code.unwrap_err();
    assert!(
        matches!(
            error,
            RunError::Unread {
                command_code: 0,
                ..
            }
        ),
        "{error:?}"
    );
}
