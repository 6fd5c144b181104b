//! Another key for everything, whatever is under way.

use super::{
    crash::{good_answer, keep_reply, left, stored},
    *,
};
use crate::{
    http::Reach,
    model::AttemptId,
    refresh::decide::JournalState,
    runtime::rotate_key::KeyChange,
    vault::seal::{PREFIX, Sealer},
};

/// Every file beside the store that holds something sealed, and at which place.
fn prefixes(bench: &Bench) -> Vec<Vec<u8>> {
    let folder = |name: &str| std::fs::read_dir(bench.folder.path().join(name)).unwrap();
    let content =
        |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.unwrap().path()).unwrap();
    let answers = folder("answers").map(content);
    let journals = folder("spill").map(content).map(|all| all[528..].to_vec());
    let all = answers.chain(journals);
    all.map(|sealed| sealed[..PREFIX].to_vec()).collect()
}

fn key_of(bench: &Bench) -> Sealer {
    let key = bench.folder.path().join("key");
    Sealer::load(&key, &key, false, &Seams::system()).unwrap()
}

async fn change(runtime: &Runtime) -> KeyChange {
    runtime.change_seal_key(Duration::ZERO).await.unwrap()
}

/// A dead process's journal with an answer, a kept answer and a late one.
async fn with_everything() -> (Bench, Runtime) {
    let (bench, runtime) = Bench::new().await;
    let (spend, claim) = left(&bench, &runtime, "dead", 1).await;
    runtime.context.store.claim(&spend, &claim).await.unwrap();
    let journal = Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    let body = good_answer(&bench);
    keep_reply(&journal, &bench, &runtime, (200, body));
    let reply_archive = &runtime.context.reply_archive;
    let at = (spend.lineage, spend.generation);
    let answer = stored(&bench, (200, "{}".to_owned()));
    reply_archive.keep(&spend.grant, at, &answer);
    reply_archive
        .set_aside(&spend.grant, at, (&AttemptId::new("lost"), &answer))
        .unwrap();
    (bench, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_resealed_and_an_answer_in_a_journal_is_adopted_after() {
    let (bench, runtime) = with_everything().await;
    // A process that looked into the journal before.
    let reading = open_journal(&bench, &runtime, "dead-attempt")
        .await
        .unwrap();
    let done = change(&runtime).await;
    assert!(done.retired && !done.resumed && !done.held, "{done:?}");
    let resealed = [done.rows, done.answers, done.journals].map(|one| one.resealed);
    assert_eq!(
        resealed,
        [4, 2, 1],
        "check, key for marks, two tokens; kept and late"
    );
    assert_eq!(reading.state(&runtime.context.sealer), JournalState::Reply);
    let prefix = key_of(&bench).prefix().to_vec();
    assert_eq!(prefixes(&bench), vec![prefix; 3]);
    assert!(!bench.folder.path().join("resealing").exists());
    drop(runtime);
    let restarted = bench.process();
    assert!(!restarted.seal_key_is_changing());
    let token = after_401(&restarted, 1).await.unwrap();
    assert_eq!(token.generation, Generation(2));
    assert_eq!(bench.server.requests(), 0, "the answer was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_key_stays_while_a_process_may_seal_with_it() {
    let (bench, runtime) = with_everything().await;
    let stopped = bench.process();
    let before = stopped.context.sealer.seal(HERE, b"on its way");
    let done = change(&runtime).await;
    assert!(done.held && !done.retired, "{done:?}");
    assert!(runtime.seal_key_is_changing());
    assert_eq!(prefixes(&bench), vec![key_of(&bench).prefix().to_vec(); 3]);
    assert!(key_of(&bench).open(HERE, &before).is_ok());

    // It goes on, and seals with the new key from then on.
    assert!(stopped.context.sealer.open(HERE, &before).is_ok());
    let after = stopped.context.sealer.seal(HERE, b"later");
    assert!(
        change(&runtime).await.held,
        "what it sealed before is not kept yet"
    );
    let kept = before.to_vec();
    drop(before);
    let done = change(&runtime).await;
    assert!(done.retired && done.resumed, "{done:?}");
    assert!(key_of(&bench).open(HERE, &after).is_ok());
    assert!(key_of(&bench).open(HERE, &kept).is_err());
}

const HERE: crate::vault::seal::AssociatedData<'_> = crate::vault::seal::AssociatedData {
    record: "r",
    field: "reply",
    generation: 0,
};

/// The sender reads, marks and removes its journal until it is done with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_of_a_living_sender_is_left_to_it() {
    let (bench, runtime) = Bench::new().await;
    let sender = bench.process();
    let me = sender.context.liveness.mine(&bench.seams()).unwrap();
    let (spend, claim) = left(&bench, &sender, me.as_str(), 1).await;
    let journal = Journal::prepare(
        &bench.folder_of_journals(),
        (&spend, &claim),
        Reach::Anywhere,
    )
    .unwrap();
    let body = good_answer(&bench);
    keep_reply(&journal, &bench, &sender, (200, body));
    let _ = sender.context.sealer.prefix();
    let done = change(&runtime).await;
    assert!(done.held);
    let _ = sender.context.sealer.prefix();
    let done = change(&runtime).await;
    assert_eq!(
        (done.held, done.retired, done.journals.in_use),
        (false, false, 1)
    );
    journal.remove();
    assert!(change(&runtime).await.retired);
}
