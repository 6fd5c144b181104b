//! Who is woken, for what, and how often: one message for an incident, an all-clear, and the recipes of the documentation against
//! receivers that check the documented formats.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::time::Duration;

use e2e::browser::visit;
use e2e::daemon::Daemon;
use e2e::ground::Ground;
use e2e::home::Home;
use e2e::provider::Provider;
use e2e::scenario::{
    assert_no_leaks, assert_none_of, connect_api, notifications, python_job, seconds_left, token,
    until_expired,
};
use e2e::secrets::Secret;
use e2e::servers::Server;
use e2e::wait::{Stopwatch, pause, wait_until};
use serde_json::{Value, json};

/// Long enough where others are at work too.
const SOON: Duration = Duration::from_mins(1);
/// In which a second message would have come: two looks, and what is waited for between them.
const QUIET: Duration = Duration::from_secs(4);

const HOOK: &str = "on_incident = \"cat >> $HOME/hook.log\"\n";

fn words(told: &[Value]) -> Vec<(&str, &str)> {
    told.iter()
        .map(|message| {
            let status = message["status"].as_str().unwrap();
            (status, message["severity"].as_str().unwrap())
        })
        .collect()
}

fn until_told(home: &Home, number: usize) -> Vec<Value> {
    let there = wait_until(SOON, || notifications(home).len() >= number);
    assert!(there, "{number} messages: {:#?}", notifications(home));
    notifications(home)
}

// ---- The recipes ------------------------------------------------------------------------------

const PAGE: &str = include_str!("../../docs/notifications.md");
const MAIL_PASSWORD: &str = "mail-passw0rd-5ecret";
const NTFY_TOKEN: &str = "tk_5ecretntfytoken00000000000000";

/// The page's own configuration, with this machine in the place of the services.
fn recipes(home: &Home, receiver: &Server) -> String {
    let blocks = PAGE.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    let mut config = blocks.concat();
    let http = receiver.url("/");
    let smtp = format!("smtp://127.0.0.1:{}", receiver.number("smtp_port"));
    let netrc = home.secret_file(
        "mail.netrc",
        &format!("machine 127.0.0.1 login jobs password {MAIL_PASSWORD}\n"),
    );
    let ntfy = home.secret_file("ntfy.token", NTFY_TOKEN);
    for (written, here) in [
        ("smtps://mail.example.org", smtp.as_str()),
        ("~/.config/authkeeper/mail.netrc", netrc.to_str().unwrap()),
        ("https://hooks.slack.com/", http.as_str()),
        ("https://ntfy.sh/", http.as_str()),
        ("\"ntfy.token\"", &format!("\"{}\"", ntfy.display())),
    ] {
        assert!(config.contains(written), "the page has no {written}");
        config = config.replace(written, here);
    }
    config
}

/// What this receiver took, after a look that all of it was as documented.
fn taken(receiver: &Server, by: &str) -> Vec<Value> {
    let all = receiver.ctl("messages");
    let mut all = all.as_array().unwrap().clone();
    for message in &all {
        assert_eq!(message["problem"], Value::Null, "{message:#}");
    }
    all.retain(|message| message["by"] == by);
    all
}

#[test]
fn the_recipes_of_the_page_tell_a_person() {
    let home = Home::new();
    let receiver = Server::notifications(&home.outside(), MAIL_PASSWORD, NTFY_TOKEN);
    home.write_config(&recipes(&home, &receiver));
    let tried = home.run(&["notify", "test"]).expect_code(0).stdout;
    let routes = "notify.route.chat (slack; warning, critical): told\n\
        notify.route.mail (command; warning, critical): told\n\
        notify.route.phone (ntfy; critical): told\n";
    assert_eq!(tried, routes);
    for by in ["mail", "slack", "ntfy"] {
        assert_eq!(taken(&receiver, by).len(), 1, "{by}");
    }
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    connect_api(&home, &server, "api");
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    until_expired(&home, "api");
    let _ = token(&home, "api").run().expect_code(75);
    let title = "critical: api: the provider refused the refresh token (expired, revoked or used elsewhere; it does not say which)";
    let mail = taken(&receiver, "mail").remove(1);
    assert_eq!(mail["subject"], format!("[authkeeper] {title}"));
    assert_eq!(mail["login"], "jobs");
    assert_eq!(
        (&mail["from"], &mail["to"]),
        (&json!("jobs@example.org"), &json!(["me@example.org"]))
    );
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("authkeeper reauthorize api"), "{text}");
    let chat = taken(&receiver, "slack").remove(1);
    assert!(
        chat["body"]["text"]
            .as_str()
            .unwrap()
            .starts_with(&format!("*{title}*\n"))
    );
    let phone = taken(&receiver, "ntfy").remove(1);
    assert_eq!(
        (&phone["body"]["priority"], &phone["body"]["title"]),
        (&json!(5), &json!(title))
    );
    let _ = home.run(&["reauthorize", "api"]).expect_code(0);
    let mail = taken(&receiver, "mail").remove(2);
    assert!(
        mail["subject"]
            .as_str()
            .unwrap()
            .starts_with("[authkeeper] resolved: api: ")
    );
    assert_eq!(
        taken(&receiver, "ntfy")[2]["body"]["tags"],
        json!(["white_check_mark"])
    );
    let _ = token(&home, "api").run().expect_code(0);
    for by in ["mail", "slack", "ntfy"] {
        assert_eq!(taken(&receiver, by).len(), 3, "{by}");
    }
    let secrets = [("mail_password", MAIL_PASSWORD), ("ntfy_token", NTFY_TOKEN)];
    let secrets = secrets.map(|(name, value)| Secret::new(name, value));
    assert_none_of(&home, &secrets);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn a_receiver_that_is_down_is_told_later_and_nothing_in_between() {
    let home = Home::new();
    home.write_config("on_incident = \"test -e $HOME/up && cat >> $HOME/hook.log\"\n");
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "5")]);
    connect_api(&home, &server, "api");
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    until_expired(&home, "api");
    let failed = token(&home, "api").run().expect_code(75);
    let said = "on_incident was not told yet, and is tried again";
    assert!(failed.stderr.contains(said), "{}", failed.stderr);
    fs::write(home.path().join("up"), "").unwrap();
    let retried = wait_until(SOON, || {
        let _ = token(&home, "api").run().expect_code(75);
        !notifications(&home).is_empty()
    });
    assert!(retried, "it is tried again");
    assert_eq!(words(&notifications(&home)), [("firing", "critical")]);
}

// ---- One message for one incident -------------------------------------------------------------

/// The daemon refreshes three connections of a client that its provider deletes.
#[test]
fn three_connections_of_a_deleted_client_are_one_message() {
    let home = Home::new();
    home.write_config(HOOK);
    let django = Server::django(&home.outside(), &[("AT_TTL", "6")]);
    let provider = Provider::Django(django);
    let Provider::Django(server) = &provider else {
        unreachable!("it is one")
    };
    for name in ["one", "two", "three"] {
        provider.connect(&home, name);
    }
    let daemon = Daemon::start(&home, &[]);
    server.ctl("delclient?id=pub");
    let message = until_told(&home, 1).remove(0);
    assert_eq!(
        (&message["severity"], &message["count"]),
        (&json!("critical"), &json!(3))
    );
    assert_eq!(message["cause"], "client_refused");
    assert_eq!(message["whose_move"], "operator");
    let title = message["title"].as_str().unwrap();
    assert!(title.starts_with("critical: 3 connections at "), "{title}");
    for name in ["one", "two", "three"] {
        assert!(
            message["text"].as_str().unwrap().contains(name),
            "{message}"
        );
        let _ = token(&home, name).run();
    }
    pause(QUIET);
    assert_eq!(notifications(&home).len(), 1, "{:#?}", notifications(&home));
    drop(daemon);
    assert_no_leaks(&home, &[server]);
}

/// While the token lives nobody is woken; then once, and once more when the provider is back.
#[test]
fn an_outage_is_told_when_the_token_has_ended_and_when_it_is_over() {
    let mode = "refresh-token-503";
    let home = Home::new();
    home.write_config(&format!("{HOOK}[refresh]\nfailing_after = \"2s\"\n"));
    let ground = Ground::with_ttl(home, 12);
    ground.connect("x", mode);
    let daemon = Daemon::start(&ground.home, &[]);
    let refused = || ground.exchanges(mode) > 1;
    assert!(wait_until(SOON, refused), "it is refreshed ahead of time");
    // The look at the messages comes first: none was there while the token lived.
    let lived = || {
        let none = notifications(&ground.home).is_empty();
        let lives = seconds_left(&ground.home, "x") > 0;
        assert!(none || !lives, "{:#?}", notifications(&ground.home));
        lives
    };
    assert!(lived(), "it fails before the token ends");
    assert!(wait_until(SOON, || !lived()));
    let message = until_told(&ground.home, 1).remove(0);
    assert_eq!(seconds_left(&ground.home, "x"), 0, "not before");
    assert_eq!(
        (&message["status"], &message["severity"]),
        (&json!("firing"), &json!("warning"))
    );
    assert_eq!(message["whose_move"], "provider");
    pause(QUIET);
    assert_eq!(notifications(&ground.home).len(), 1);
    ground.server.ctl("heal");
    let all = until_told(&ground.home, 2);
    assert_eq!(
        words(&all),
        [("firing", "warning"), ("resolved", "warning")]
    );
    pause(QUIET);
    assert_eq!(notifications(&ground.home).len(), 2);
    drop(daemon);
    ground.expect_no_leak();
}

// ---- The link ---------------------------------------------------------------------------------

const CALL_UNTIL_REFUSED: &str = r#"
import os, sys, time, urllib.error, urllib.request
def call():
    request = urllib.request.Request(
        os.environ["AUTHKEEPER_URL"] + "/c/api/whoami",
        headers={"Authorization": "Bearer " + os.environ["AUTHKEEPER_TASK"]},
    )
    urllib.request.urlopen(request, timeout=20).read()
home = os.environ["HOME"]
call()
open(home + "/called", "w").close()
while not os.path.exists(home + "/go"):
    time.sleep(0.02)
try:
    call()
except urllib.error.HTTPError:
    open(home + "/refused", "w").close()
while not os.path.exists(home + "/end"):
    time.sleep(0.02)
"#;

/// Within five seconds of the first refused call there is a message with a link. It works after the run has ended; the one
/// who signs in is told that it is over, though nothing else runs.
#[test]
fn the_link_outlives_its_run_and_ends_with_an_all_clear() {
    let home = Home::new();
    home.write_config(HOOK);
    let server = Server::oidc_provider(&home.outside(), &[("AT_TTL", "60")]);
    connect_api(&home, &server, "api");
    let run = python_job(&home, CALL_UNTIL_REFUSED, &[]).spawn();
    let there = |file: &str| home.path().join(file).exists();
    assert!(wait_until(SOON, || there("called")), "{}", run.stderr());
    assert_eq!(server.ctl("revoke-grants")["revoked"], 1);
    fs::write(home.path().join("go"), "").unwrap();
    assert!(wait_until(SOON, || there("refused")), "{}", run.stderr());
    let since = Stopwatch::start();
    let message = until_told(&home, 1).remove(0);
    let took = since.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    fs::write(home.path().join("end"), "").unwrap();
    let _ = run.finish(SOON).expect_code(75);
    assert_eq!(words(&notifications(&home)), [("firing", "critical")]);
    let link = message["link"].as_str().unwrap();
    let host = message["link_host"].as_str().unwrap();
    let text = message["text"].as_str().unwrap();
    assert!(
        text.ends_with(&format!("Sign in, on {host}: {link}")),
        "{text}"
    );
    visit(link, "approve");
    let all = until_told(&home, 2);
    assert_eq!(
        words(&all),
        [("firing", "critical"), ("resolved", "critical")]
    );
    let _ = token(&home, "api").run().expect_code(0);
    assert_eq!(notifications(&home).len(), 2);
    assert_no_leaks(&home, &[&server]);
}
