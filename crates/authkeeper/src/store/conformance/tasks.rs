//! Runs, failed calls and the change counter.

use std::time::Duration;

use crate::{
    model::TaskId,
    store::{
        CarriedCall, Store,
        conformance::fixture::{Pair, incident, name, now},
    },
};

/// An epoch is raised by this process's commits before they are answered, and by those of others at the next look.
pub(super) async fn changes_are_seen((one, two): Pair) {
    one.look().unwrap();
    let before = one.epoch().get();
    one.look().unwrap();
    assert_eq!(one.epoch().get(), before, "nothing was written");
    let mut last = before;
    for number in 0..20 {
        let id = format!("t{number}");
        let writer = if number % 2 == 0 { &two } else { &one };
        let kept = writer.keep_incident(incident(&id, number, "silence"));
        kept.await.unwrap();
        if number % 2 == 0 {
            one.look().unwrap();
        }
        assert!(one.epoch().get() > last, "{id} went unseen");
        last = one.epoch().get();
        // Its own commits are seen once more by the reader's number: that costs one reading and no more.
        one.look().unwrap();
        last = last.max(one.epoch().get());
    }
    let (used, reads) = (one.used(), one.used().reads());
    assert_eq!(used.commits(), 10);
    one.incidents().await.unwrap();
    assert_eq!(used.reads(), reads + 1);
}

/// Runs, who leads them, and the calls that failed in them.
pub(super) async fn tasks_and_calls(store: &dyn Store) {
    let (one, two) = (TaskId::new("one"), TaskId::new("two"));
    store.begin_task(&one, "10:1", now()).await.unwrap();
    store.begin_task(&two, "20:1", now()).await.unwrap();
    let led = async |processes: &[&str]| {
        let processes: Vec<String> = processes.iter().map(ToString::to_string).collect();
        store.task_led_by(&processes).await.unwrap()
    };
    assert_eq!(
        led(&["99:1", "20:1", "10:1"]).await,
        Some(two.clone()),
        "the nearest first"
    );
    assert_eq!(led(&["99:1"]).await, None);
    store.end_task(&two, 0, now()).await.unwrap();
    assert_eq!(
        led(&["20:1", "10:1"]).await,
        Some(one.clone()),
        "an ended run leads nothing"
    );
    let call = |text: &str| CarriedCall {
        task: one.clone(),
        connection: name(),
        fingerprint: text.to_owned(),
    };
    store
        .call_failed(&call("x"), "rejected", now())
        .await
        .unwrap();
    store
        .call_failed(&call("x"), "rejected", now())
        .await
        .unwrap();
    store
        .call_failed(&call("y"), "rejected", now())
        .await
        .unwrap();
    let failed = store.unrecovered(&one).await.unwrap();
    assert_eq!(
        (failed.len(), failed[0].times, failed[0].first),
        (1, 3, now())
    );
    store.call_recovered(&call("x"), now()).await.unwrap();
    assert_eq!(store.unrecovered(&one).await.unwrap()[0].times, 1);
    store.call_recovered(&call("y"), now()).await.unwrap();
    assert!(store.unrecovered(&one).await.unwrap().is_empty());
    store
        .call_failed(&call("x"), "rejected", now())
        .await
        .unwrap();
    assert_eq!(
        store.unrecovered(&one).await.unwrap().len(),
        1,
        "failed again"
    );
    assert!(store.unrecovered(&two).await.unwrap().is_empty());
    // Which reason counts most is for the run to judge.
    store
        .call_failed(&call("z"), "client_refused", now())
        .await
        .unwrap();
    let failed = store.unrecovered(&one).await.unwrap();
    let reasons: Vec<&str> = failed.iter().map(|call| call.reason.as_str()).collect();
    assert_eq!(reasons, ["client_refused", "rejected"]);
}

/// Thirty-two writers at once: every write is there afterwards.
pub(super) async fn runs(store: &dyn Store) {
    assert_eq!(store.longest_run().await.unwrap(), None);
    for (id, seconds) in [("a", 5), ("b", 9), ("c", 2)] {
        let task = TaskId::new(id);
        store.begin_task(&task, id, now()).await.unwrap();
        let ended = now().saturating_add(Duration::from_secs(seconds)).unwrap();
        store.end_task(&task, 0, ended).await.unwrap();
    }
    store
        .begin_task(&TaskId::new("d"), "d", now())
        .await
        .unwrap();
    let longest = store.longest_run().await.unwrap();
    assert_eq!(longest, Some(Duration::from_secs(9)));
}
