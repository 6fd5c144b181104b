//! The control endpoint, the log and the pages: what may be done from where, and what is never shown.

use std::time::Duration;

use authkeeper_sandbox::{Profile, Sandbox, SandboxSettings, ScenarioFile};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::bench::{Bench, settings};

#[tokio::test]
async fn a_page_elsewhere_drives_nothing() {
    let bench = Bench::with(Profile::Strict).await;
    let own = bench.sandbox.url().to_owned();
    let authority = own.trim_start_matches("http://").to_owned();
    let cases: [(&str, &str, u16); 6] = [
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1:1", 403),
        ("Host", "evil.example", 403),
        ("Origin", &own, 200),
        ("Host", &authority, 200),
    ];
    for (name, value, expected) in cases {
        let got = bench
            .send("POST", "/control/users/bob/disable", &[(name, value)], "")
            .await;
        assert_eq!(got.status, expected, "{name}: {value}");
        bench.say("enable bob");
        let got = bench.get("/control/state", &[(name, value)]).await;
        assert_eq!(got.status, expected, "{name}: {value}");
    }
    assert_eq!(bench.get("/control/state", &[]).await.status, 200);
}

#[tokio::test]
async fn everything_is_reachable_by_http() {
    let bench = Bench::with(Profile::Strict).await;
    let ok = async |path: &str, body| {
        let got = bench.control(path, &body).await;
        assert_eq!(
            (got.status, &got.json()["ok"]),
            (200, &json!(true)),
            "{path} {got:?}"
        );
        got.json()
    };
    let fault = ok("faults", json!({"fault": "cut,at=device"})).await;
    ok("faults/clear", json!({"fault": fault["fault"]})).await;
    ok(
        "set",
        json!({"profile": "grace", "ttl": "20s", "idle": null, "skew": 5, "auto_approve": true}),
    )
    .await;
    ok("advance", json!({"by": "30s"})).await;
    ok("users/alice/disable", json!({})).await;
    ok("users/alice/enable", json!({})).await;
    ok("users/mallory/delete", json!({})).await;
    ok("clients", json!({"client_id": "made", "secret": "s"})).await;
    let secret = ok("clients/made/secret", json!({"overlap": "30s"})).await;
    assert!(secret["client_secret"].is_string());
    ok("grants/revoke", json!({"user": "alice"})).await;
    ok("grants/revoke-access", json!({})).await;
    let key = ok("keys", json!({"name": "old"})).await;
    ok(&format!("keys/{}/retire", key["number"]), json!({})).await;
    ok("sessions/drop", json!({})).await;
    ok("do", json!({"do": "advance 1s"})).await;
    let state = bench.get("/control/state", &[]).await.json();
    assert_eq!(
        (&state["profile"], &state["rules"]["ttl"]),
        (&json!("grace"), &json!(20.0))
    );
    assert_eq!(state["clients"].as_array().map(Vec::len), Some(3));
    ok("clients/made/delete", json!({})).await;
    ok("restart", json!({})).await;
    ok("reset", json!({})).await;
    let state = bench.get("/control/state", &[]).await.json();
    assert_eq!(
        (&state["profile"], &state["faults"]),
        (&json!("strict"), &json!([]))
    );
}

#[tokio::test]
async fn the_control_endpoint_lists_what_it_has() {
    let bench = Bench::with(Profile::Strict).await;
    for path in ["/control", "/control/"] {
        let got = bench.get(path, &[]).await;
        assert_eq!(got.status, 200, "{path}");
        let list = got.json()["requests"].clone();
        for row in list.as_array().unwrap() {
            let request = row["request"].as_str().unwrap();
            let Some(read) = request.strip_prefix("GET ") else {
                continue;
            };
            assert_eq!(bench.get(read, &[]).await.status, 200, "{request}");
        }
        assert!(list.to_string().contains("POST /control/keys"));
    }
    assert_eq!(bench.get("/controls", &[]).await.status, 404);
    let elsewhere = [("Origin", "https://evil.example")];
    assert_eq!(bench.get("/control", &elsewhere).await.status, 403);
}

/// What the page's buttons do.
#[tokio::test]
async fn a_client_made_without_a_secret_gets_one() {
    let bench = Bench::with(Profile::Strict).await;
    let body = json!({"client_id": "job", "auth": "client_secret_basic"});
    assert_eq!(bench.control("clients", &body).await.status, 200);
    let made = bench.control("clients/job/secret", &json!({})).await;
    let secret = made.text("client_secret");
    let basic = format!("Basic {}", STANDARD.encode(format!("job:{secret}")));
    let headers = [("Authorization", basic.as_str())];
    let fields = [("grant_type", "client_credentials")];
    let got = bench.form("/token", &headers, &fields).await;
    assert_eq!(got.status, 200, "{got:?}");
}

#[tokio::test]
async fn what_means_nothing_is_refused_and_changes_nothing() {
    let bench = Bench::with(Profile::Strict).await;
    for (path, body, expected) in [
        ("nothing", json!({}), 400),
        ("faults", json!({"fault": "flood"}), 400),
        ("set", json!({"ttl": "5s", "profile": "kind"}), 400),
        ("users/nobody/disable", json!({}), 404),
        ("keys/7/retire", json!({}), 404),
        ("clients/nobody/secret", json!({}), 404),
    ] {
        let got = bench.control(path, &body).await;
        assert_eq!(got.status, expected, "{path}");
        assert!(got.json()["error"].is_string());
    }
    let state = bench.get("/control/state", &[]).await.json();
    assert_eq!(state["rules"]["ttl"], 60.0);
}

#[tokio::test]
async fn no_secret_is_in_the_log_the_state_or_the_page() {
    let bench = Bench::with(Profile::Strict).await;
    let mut events = bench.sandbox.events();
    bench
        .control(
            "clients",
            &json!({"client_id": "svc", "secret": "first-secret"}),
        )
        .await;
    bench.say("rotate-secret svc 10s");
    bench.say("create-key ci");
    let tokens = bench.sign_in(&[]).await;
    bench.api(&tokens.access).await;
    let next = bench.refreshed(&tokens.refresh).await;
    bench.refresh(&tokens.refresh, &[]).await;
    bench.api(&next.access).await;
    let fields = [("token", next.access.as_str()), ("client_id", "public")];
    bench.form("/revoke", &[], &fields).await;
    let device = bench
        .form("/device_authorization", &[], &[("client_id", "public")])
        .await;
    assert_eq!(device.status, 200);
    let mut shown = bench.get("/control/log", &[]).await.body;
    shown += &bench.get("/control/state", &[]).await.body;
    shown += &bench.get("/", &[]).await.body;
    while let Ok(event) = events.try_recv() {
        shown += &event.text;
    }
    assert!(
        shown.contains("refresh: rt#1 of grant 1 accepted"),
        "{shown}"
    );
    assert!(shown.contains("grant 1 is dead"));
    let later = bench.get("/control/log?after=3", &[]).await.json();
    assert_eq!(later["events"][0]["number"], 4);
    let issued = bench.sandbox.control().issued();
    assert!(issued.len() >= 8, "{}", issued.len());
    for secret in issued {
        assert!(!shown.contains(&secret), "a secret is shown");
        let start: String = secret.chars().take(8).collect();
        assert!(!shown.contains(&start), "the start of a secret is shown");
    }
}

#[tokio::test]
async fn api_keys_overlap_while_they_are_rotated() {
    let bench = Bench::with(Profile::Strict).await;
    let old = bench.say("create-key ci")["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let new = bench.say("create-key ci")["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let by_header = async |key: &str| bench.get("/api/items", &[("X-API-Key", key)]).await.status;
    assert_eq!((by_header(&old).await, by_header(&new).await), (200, 200));
    bench.say("retire-key 1");
    assert_eq!((by_header(&old).await, by_header(&new).await), (401, 200));
    assert_eq!(bench.api(&new).await.status, 200, "as a bearer token too");
}

#[tokio::test]
async fn work_is_counted_once_a_key() {
    let bench = Bench::with(Profile::Strict).await;
    let tokens = bench.sign_in(&[]).await;
    let bearer = format!("Bearer {}", tokens.access);
    let work = async |key: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key)];
        bench.send("POST", "/api/work", &headers, "{}").await.json()
    };
    assert_eq!(work("a").await, json!({"piece": 1, "duplicate": false}));
    assert_eq!(work("b").await, json!({"piece": 2, "duplicate": false}));
    assert_eq!(work("a").await, json!({"piece": 1, "duplicate": true}));
    let counters = bench.sandbox.counters();
    assert_eq!((counters.work_done, counters.work_duplicates), (2, 1));
}

#[tokio::test]
async fn access_tokens_outlived_are_those_that_were_used_and_followed() {
    let bench = Bench::with(Profile::Strict).await;
    let mut tokens = bench.sign_in(&[]).await;
    for _ in 0..3 {
        assert_eq!(bench.api(&tokens.access).await.status, 200);
        bench.advance(61);
        tokens = bench.refreshed(&tokens.refresh).await;
    }
    assert_eq!(bench.sandbox.counters().access_tokens_outlived, 3);
}

#[tokio::test]
async fn a_scenario_plays_and_is_judged() {
    let text = "[set]\nttl = '20s'\n[[at]]\nafter = '30s'\ndo = 'fault status=503,at=api'\n\
        [[at]]\nafter_refreshes = 2\ndo = 'disable alice'\n[expect]\nsign_ins = 1\nrefreshes_accepted = '>=3'";
    let file = ScenarioFile::parse(text).unwrap();
    let sandbox = Sandbox::start_file(settings(Profile::Strict), file).await;
    let bench = Bench {
        sandbox: sandbox.unwrap(),
    };
    let tokens = bench.sign_in(&[]).await;
    assert_eq!(bench.sandbox.control().state()["rules"]["ttl"], 20.0);
    assert_eq!(bench.api(&tokens.access).await.status, 200);
    bench.advance(30);
    // The fault comes between two requests; the ticks of the server need real time, a request does not.
    bench.get("/control/state", &[]).await;
    assert_eq!(bench.api(&tokens.access).await.status, 503);
    let tokens = bench.refreshed(&tokens.refresh).await;
    let tokens = bench.refreshed(&tokens.refresh).await;
    assert_eq!(bench.refresh(&tokens.refresh, &[]).await.status, 400);
    let verdict = bench.sandbox.verdict();
    let met: Vec<bool> = verdict.iter().map(|finding| finding.met).collect();
    assert_eq!(met, [false, true], "{verdict:?}");
}

#[tokio::test]
async fn a_stopped_sandbox_frees_its_port() {
    let bench = Bench::with(Profile::Strict).await;
    let url = bench.sandbox.url().to_owned();
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let again = SandboxSettings {
        port,
        ..SandboxSettings::default()
    };
    assert!(Sandbox::start(again.clone()).await.is_err());
    tokio::time::timeout(Duration::from_secs(5), bench.sandbox.stop())
        .await
        .unwrap();
    Sandbox::start(again).await.unwrap().stop().await;
}

/// What means nothing changes nothing, and says what would.
#[tokio::test]
async fn what_means_nothing_is_refused() {
    let bench = Bench::with(Profile::Strict).await;
    for (path, body, words) in [
        ("faults", json!({"fault": "status=banana"}), "status=banana"),
        ("faults", json!({"fault": "cut,times=0"}), "times=0"),
        (
            "advance",
            json!({"by": "10 parsecs"}),
            "write 250ms, 90s, 10m",
        ),
        (
            "do",
            json!({"do": "advance soon"}),
            "\"soon\" is no duration",
        ),
        (
            "clients/public/secret",
            json!({"overlap": "soon"}),
            "\"soon\" is no duration",
        ),
        ("set", json!({"skew": "late"}), "a skew -90s"),
    ] {
        let got = bench.control(path, &body).await;
        assert_eq!(got.status, 400, "{path} {got:?}");
        assert!(got.text("error").contains(words), "{path} {got:?}");
    }
    let torn = bench
        .send("POST", "/control/advance", &[], "{by: 10m}")
        .await;
    assert!(
        torn.status == 400 && torn.text("error").contains("no JSON"),
        "{torn:?}"
    );
    let state = bench.get("/control/state", &[]).await.json();
    assert_eq!(
        (&state["faults"], &state["rules"]["skew"]),
        (&json!([]), &json!(0))
    );
}

#[tokio::test]
async fn lifetimes_are_shown_with_their_units() {
    let bench = Bench::with(Profile::Strict).await;
    let done = bench
        .control(
            "set",
            &json!({"ttl": "90s", "refresh_ttl": "2h", "grace": 1, "skew": "-2m"}),
        )
        .await;
    assert_eq!(done.status, 200, "{done:?}");
    let state = bench.get("/control/state", &[]).await.json();
    let lifetimes =
        json!({"ttl": "90s", "refresh_ttl": "2h", "idle": null, "absolute": null, "grace": "1s"});
    assert_eq!(
        (&state["lifetimes"], &state["rules"]["skew"]),
        (&lifetimes, &json!(-120))
    );
    bench.say("advance 600s");
    let log = bench.get("/control/log", &[]).await.body;
    assert!(log.contains("the clock moved on by 10m"), "{log}");
}
