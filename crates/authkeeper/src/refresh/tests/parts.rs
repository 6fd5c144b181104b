//! The small parts beside the transaction.

use super::{server::Fault, *};
use crate::{
    http::Reach,
    model::{Presentation, ProviderHabits, ReplayRule, UnknownKind},
    oauth::classify::Refused,
    platform::clock::ManualClock,
    refresh::{
        OnBehalfOf, decide::MAX_JITTER, decision_log::PastDecision, grant_view, jitter_of,
        outcome::RefreshOutcome,
    },
    store::StoreError,
};

#[test]
fn a_grants_jitter_is_its_own_and_always_the_same() {
    let jitter = |id: &str| jitter_of(&GrantId::new(id));
    assert_eq!(jitter("one").to_bits(), jitter("one").to_bits());
    assert_ne!(jitter("one").to_bits(), jitter("other").to_bits());
    // The first four bytes of SHA-256("one"), 0x7692c3ad read backwards, as a share of all there are.
    let share = f64::from(0xadc3_9276_u32) / f64::from(u32::MAX);
    assert!((jitter("one") - share * MAX_JITTER).abs() < 1e-12);
    for number in 0..1_000 {
        let jitter = jitter(&number.to_string());
        assert!((0.0..=MAX_JITTER).contains(&jitter), "{jitter}");
    }
}

#[tokio::test]
async fn a_standing_tells_what_the_grant_holds() {
    let (bench, runtime) = Bench::new().await;
    let mut grant = grant(&runtime).await;
    let issued = grant.access.as_ref().unwrap().issued.wall;
    assert!(grant_view(&grant).refreshable);
    assert_eq!(grant_view(&grant).refresh_lifetime, None);
    let ends = issued.saturating_add(secs(900)).unwrap();
    grant.refresh.as_mut().unwrap().expires_at = Some(ends);
    assert_eq!(grant_view(&grant).refresh_lifetime, Some(secs(900)));
    assert!(grant_view(&grant).key.is_none());
    grant.grant_type = GrantType::ApiKey;
    assert!(grant_view(&grant).key.is_some());
    assert_eq!(bench.server.requests(), 0);
}

#[tokio::test]
async fn whose_it_is_comes_from_the_connection() {
    let (_bench, runtime) = Bench::new().await;
    let mut connection = status(&runtime).await.connection;
    let on_behalf_of = OnBehalfOf::of(&connection);
    assert_eq!(on_behalf_of.connection, connection.name);
    assert_eq!(on_behalf_of.resource, connection.resource);
    assert_eq!(on_behalf_of.reach, Reach::of(true));
    connection.internal = false;
    assert_eq!(OnBehalfOf::of(&connection).reach, Reach::of(false));
}

#[test]
fn each_end_has_its_word() {
    let refused = || Refused {
        code: "no".to_owned(),
        description: None,
    };
    let uncertain = RefreshOutcome::Uncertain {
        kind: UnknownKind::Reset,
        resend_in: secs(1),
    };
    let later = RefreshOutcome::Later {
        why: String::new(),
        retry_after: None,
    };
    let store = StoreError::Full {
        place: String::new(),
    };
    for (end, word) in [
        (RefreshOutcome::Fresh, "fresh"),
        (RefreshOutcome::Refused, "refused"),
        (RefreshOutcome::Withdrawn, "withdrawn"),
        (uncertain, "uncertain"),
        (later, "later"),
        (RefreshOutcome::Client(refused()), "client_refused"),
        (RefreshOutcome::Request(refused()), "request_refused"),
        (RefreshOutcome::Store(Arc::new(store)), "store"),
    ] {
        assert_eq!(end.as_str(), word);
    }
}

#[test]
fn whom_an_assertion_is_for_is_kept_with_the_habits() {
    let habits = ProviderHabits::new(ReplayRule::Strict, Some(secs(60)));
    assert_eq!(habits.assertion_audience, None);
    let habits = habits.assertion_audience(Some("https://as.example/token".to_owned()));
    assert_eq!(
        habits.assertion_audience.as_deref(),
        Some("https://as.example/token")
    );
    assert_eq!(habits.replay, ReplayRule::Strict);
}

#[test]
fn a_line_of_the_log_is_of_a_connection_since_that_was_made() {
    let connection = signed_in("r", ManualClock::new().now(), secs(60)).connection;
    let is_own = |name: &str, seconds: i64| {
        let ts = connection.created + jiff::SignedDuration::from_secs(seconds);
        let line = serde_json::json!({
            "ts": ts, "connection": name, "lineage": 1, "generation": 1, "decision": "refresh",
        });
        let line: PastDecision = serde_json::from_value(line).unwrap();
        line.is_of(&connection)
    };
    assert!(is_own("c", 0) && is_own("c", 60));
    assert!(!is_own("c", -1), "of one that had its name before");
    assert!(!is_own("d", 60));
}

#[test]
fn that_a_provider_kills_access_tokens_is_set_or_known() {
    let mut rules = RefreshRules::default();
    let kills =
        |rules: &RefreshRules, provider| rules.habits("https://a.example", provider).kills_access;
    assert!(!kills(&rules, None));
    assert!(kills(&rules, Some("gitlab")));
    let habits = ProviderHabits::default().kills_access(true);
    rules
        .providers
        .insert("https://a.example".to_owned(), habits);
    assert!(kills(&rules, None));
}

/// A harmless call is made only where the token belongs, and only where it is shown as usual.
#[test]
fn a_token_is_checked_at_its_own_place_only() {
    let checks = |url: &str, shown: &str| {
        let mut connection = signed_in("r", ManualClock::new().now(), secs(60)).connection;
        connection.url = "https://api.example/v1".to_owned();
        connection.check_url = Some(url.to_owned());
        connection.presentation = Presentation::parse(shown).unwrap();
        OnBehalfOf::of(&connection).check.is_some()
    };
    let usual = Presentation::default().to_string();
    assert!(checks("https://api.example/me", &usual));
    assert!(!checks("https://other.example/me", &usual));
    assert!(!checks("https://api.example/me", "x-api-key"));
    assert!(!checks("https://other.example/me", "x-api-key"));
}

/// The catalogue's idle limits are days: they matter to a token that lives longer than a day, and to no other.
#[tokio::test]
async fn an_idle_limit_of_the_catalogue_matters_to_long_lived_tokens() {
    let (_bench, runtime) = Bench::new().await;
    let mut held = grant(&runtime).await;
    let mut idle = |lifetime: Duration| {
        held.access.as_mut().unwrap().lifetime = lifetime;
        runtime
            .context
            .grant_view(Some("google"), &held)
            .refresh_idle
    };
    let day = Duration::from_hours(24);
    assert_eq!(idle(Duration::from_hours(23)), None);
    assert_eq!(idle(day), Some(day * 180));
    assert_eq!(idle(day * 2), Some(day * 180));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refresh_is_a_line_of_the_log() {
    let (bench, runtime) = Bench::new().await;
    bench.server.script([Fault::Unavailable]);
    bench.clock.advance(secs(3600));
    ask(&runtime).await.unwrap_err();
    bench.clock.advance(secs(60));
    ask(&runtime).await.unwrap();
    let lines = runtime.decisions().into_iter();
    let refreshes: Vec<_> = lines.filter(|line| line.decision == "refresh").collect();
    let told = |line: &PastDecision| (line.generation, line.outcome.clone().unwrap_or_default());
    let told: Vec<_> = refreshes.iter().map(told).collect();
    assert_eq!(told, [(1, "later".to_owned()), (1, "fresh".to_owned())]);
    assert!(
        refreshes
            .iter()
            .all(|line| line.latency_ms.is_some() && line.trace_id.is_some())
    );
}
