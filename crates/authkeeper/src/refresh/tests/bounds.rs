//! What is promised of the time between a claim and its commit: what is durable when, and what waits for what.

use super::{server::Fault, *};
use crate::{
    model::{ClaimPhase, ProviderHabits, ReplayRule},
    platform::clock::LONGEST_SLEEP,
    refresh::decide::{BREAKER_AFTER, JournalState},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claim_and_journal_are_there_before_the_first_byte() {
    let (bench, runtime) = Bench::new().await;
    bench.server.hold_before(true);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    bench.server.saw(1).await;
    let claim = grant(&runtime).await.claim.unwrap();
    assert_eq!(claim.phase, ClaimPhase::Spending);
    let journal = open_journal(&bench, &runtime, claim.attempt.as_str())
        .await
        .unwrap();
    let state = journal.state(&runtime.context.sealer);
    assert_eq!(state, JournalState::Sending);
    bench.server.hold_before(false);
    assert_in_step(&bench, &runtime).await;
}

/// As after a stop between the claim and the request: somebody may have looked into the claim meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_would_leave_too_late_is_not_sent() {
    let (mut bench, _) = Bench::new().await;
    bench.rules.send_deadline = Duration::ZERO;
    let runtime = bench.process();
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error:?}");
    assert_eq!(bench.server.requests(), 0);
    assert_eq!(grant(&runtime).await.claim, None);
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_committed_waits_in_its_journal() {
    let (bench, runtime) = Bench::new().await;
    let jam =
        "CREATE TRIGGER jam BEFORE UPDATE ON grant_family WHEN NEW.generation <> OLD.generation
        BEGIN SELECT RAISE(ABORT, 'jammed'); END";
    let store = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    store.execute(jam, []).unwrap();
    bench.clock.advance(secs(3600));
    let error = ask(&runtime).await.unwrap_err();
    assert!(matches!(error, TokenError::Store(_)), "{error:?}");
    assert_eq!((bench.server.requests(), bench.journals().len()), (1, 1));
    store.execute("DROP TRIGGER jam", []).unwrap();
    bench.clock.advance(secs(600));
    assert_eq!(ask(&runtime).await.unwrap().generation, Generation(2));
    assert_eq!(bench.server.requests(), 1, "it is not asked for again");
    assert_in_step(&bench, &runtime).await;
    assert_eq!(bench.journals(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_what_is_in_the_air_and_no_longer_than_its_patience() {
    let (bench, runtime) = Bench::new().await;
    bench.server.hold_before(true);
    bench.clock.advance(secs(2800));
    ask(&runtime).await.unwrap();
    bench.server.saw(1).await;
    assert!(!runtime.drain(Duration::from_millis(20)).await);
    bench.server.hold_before(false);
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(grant(&runtime).await.generation, Generation(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_fails_costs_nobody_a_token_that_is_good() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Unavailable]);
    bench.clock.advance(secs(600));
    let wanting = TokenRequest::new(name()).min_ttl(Some(secs(3200)));
    let token = runtime.access_token(&wanting).await.unwrap();
    assert_eq!(
        (token.generation, token.min_ttl_met()),
        (Generation(1), false)
    );
    let why = token.shortfall.as_ref().unwrap();
    assert_eq!(why.as_str(), "refresh_failed");
    assert!(why.to_string().contains("503"), "{why}");
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_though_the_breaker_is_open() {
    let (bench, runtime) = Bench::new().await;
    let other = ConnectionName::parse("other").unwrap();
    let mut new = signed_in("other", bench.clock.now(), secs(3600));
    new.connection.name = other.clone();
    runtime.context.store.adopt_sign_in(new).await.unwrap();
    let other = TokenRequest::new(other);
    bench.clock.advance(secs(2800));
    bench.server.script([Fault::CutBeforeCommit]);
    runtime.access_token(&other).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    for _ in 0..BREAKER_AFTER {
        bench.clock.advance(secs(61));
        bench.server.script([Fault::AskAgainInAMinute]);
        ask(&runtime).await.unwrap();
        assert!(runtime.drain(secs(20)).await);
    }
    assert_eq!(bench.server.requests(), 1 + BREAKER_AFTER);
    runtime.access_token(&other).await.unwrap();
    assert!(runtime.drain(secs(20)).await);
    assert_eq!(bench.server.requests(), 2 + BREAKER_AFTER);
}

#[test]
fn what_is_set_of_a_provider_wins_over_the_catalogue() {
    let google = "https://accounts.google.com";
    let mut rules = RefreshRules::default();
    let replay = |rules: &RefreshRules| rules.habits(google, Some("google")).replay;
    assert_eq!(replay(&rules), ReplayRule::Harmless);
    let mut set = |replay| {
        let habits = ProviderHabits::new(replay, Some(secs(60)));
        rules.providers.insert(google.to_owned(), habits);
        rules.habits(google, Some("google"))
    };
    let strict = set(ReplayRule::Strict);
    assert_eq!(strict.replay, ReplayRule::Strict);
    assert!(
        strict.refresh_idle.is_some(),
        "what nobody set is known still"
    );
    let filled = set(ReplayRule::Unknown);
    assert_eq!(filled.replay, ReplayRule::Harmless);
    assert_eq!(filled.default_lifetime, Some(secs(60)));
}

#[test]
fn a_setting_finds_its_provider_by_issuer_with_or_without_a_slash_and_by_name() {
    let replay = |key: &str, issuer: &str, provider| {
        let mut rules = RefreshRules::default();
        let habits = ProviderHabits::new(ReplayRule::Harmless, None);
        rules.providers.insert(key.to_owned(), habits);
        rules.habits(issuer, provider).replay
    };
    let (bare, slash) = ("https://as.example", "https://as.example/");
    assert_eq!(replay(slash, bare, None), ReplayRule::Harmless);
    assert_eq!(replay(bare, slash, None), ReplayRule::Harmless);
    let gitlab = Some("gitlab");
    assert_eq!(replay("gitlab", bare, gitlab), ReplayRule::Harmless);
    for other in ["https://as.example/x", "https://as.example.evil", "okta"] {
        assert_eq!(replay(other, bare, gitlab), ReplayRule::Refused, "{other}");
    }
    let mut both = RefreshRules::default();
    for (key, rule) in [(slash, ReplayRule::Strict), (bare, ReplayRule::Harmless)] {
        let habits = ProviderHabits::new(rule, None);
        both.providers.insert(key.to_owned(), habits);
    }
    assert_eq!(both.habits(slash, None).replay, ReplayRule::Strict, "exact");
    assert_eq!(both.habits(bare, None).replay, ReplayRule::Harmless);
}

/// The real clock; it notes how long each sleep was to be, and sleeps a moment.
#[derive(Debug)]
struct Noting {
    real: SystemClock,
    sleeps: Mutex<Vec<Duration>>,
}

#[async_trait]
impl Clock for Noting {
    fn now(&self) -> Moment {
        self.real.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.sleeps.lock().unwrap().push(duration);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A suspend, or a clock that is set, makes a long sleep lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_never_sleeps_longer_than_half_a_minute() {
    let (bench, _) = Bench::new().await;
    let clock = Arc::new(Noting {
        real: SystemClock::new(),
        sleeps: Mutex::default(),
    });
    let runtime = Runtime::builder(bench.folder.path())
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .transport(Arc::new(Wire(Arc::clone(&bench.server))))
        .open()
        .unwrap();
    let _scheduler = runtime.keep_fresh(vec![name()]);
    let sleeps = || clock.sleeps.lock().unwrap().clone();
    // Before the first look, and between clean-ups, the sleep has exactly the longest length. Of a pause that follows a
    // look some time has passed when the sleep begins.
    let follows_a_look =
        |sleep: &Duration| *sleep + secs(1) > LONGEST_SLEEP && *sleep != LONGEST_SLEEP;
    let slept = async || sleeps().iter().any(follows_a_look);
    until("a sleep after a look", slept).await;
    let longest = sleeps().into_iter().max().unwrap_or_default();
    assert!(longest <= LONGEST_SLEEP, "{longest:?}");
}
