//! A night by the moved clock: twelve hours of what goes wrong at a provider, two runs, and exactly the messages that their
//! owner deserves.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::fs;
use std::time::Duration;

use authkeeper_sandbox::{AuthMethod, ClientSpec, Profile, Rules, SandboxSettings};
use e2e::browser::visit;
use e2e::daemon::Daemon;
use e2e::home::Home;
use e2e::moved_clock::MovedClock;
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{assert_none_of, call_script, notifications, status};
use e2e::secrets::Secret;
use e2e::servers::Server;
use e2e::wait::{Stopwatch, pause, wait_until};
use serde_json::Value;

/// Long enough where others are at work too.
const SOON: Duration = Duration::from_mins(1);
/// In which a message comes that is due: some looks at what was written, and the time in which more is counted.
const QUIET: Duration = Duration::from_secs(9);

const CLIENT: &str = "nightly";
const CLIENT_SECRET: &str = "client-secret-of-the-evening";
const WEBHOOK_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Strict rotation, tokens of an hour, a client with a secret.
fn provider() -> Sandbox {
    Sandbox::with_settings(SandboxSettings {
        rules: Rules {
            profile: Profile::Strict,
            ttl: Duration::from_hours(1),
            refresh_ttl: None,
            auto_approve: true,
            ..Rules::default()
        },
        clients: vec![ClientSpec::secret(CLIENT, AuthMethod::Basic, CLIENT_SECRET)],
        ..SandboxSettings::default()
    })
}

/// The owner is reached by a command and by a webhook.
fn owner(home: &Home) -> Server {
    let receiver = Server::webhook(&home.outside(), WEBHOOK_SECRET);
    let secret = home.secret_file("webhook", WEBHOOK_SECRET);
    home.write_config(&format!(
        "on_incident = \"cat >> $HOME/hook.log\"\n\
         [notify.webhook]\nurl = \"{}\"\nsecret_file = \"{}\"\n",
        receiver.url("/told"),
        secret.display()
    ));
    receiver
}

fn connect(home: &Home, sandbox: &Sandbox, name: &str, secret: &str) {
    let url = format!("{}/api", sandbox.url());
    let secret = home.secret_file("client.secret", secret);
    let words = ["connect", name, &url, "--issuer", sandbox.url()];
    let client = ["--client-id", CLIENT, "--client-secret-file"];
    let words = [&words[..], &client, &[secret.to_str().unwrap()]].concat();
    let _ = home.run(&words).expect_code(0);
}

struct Night<'a> {
    home: &'a Home,
    sandbox: &'a Sandbox,
    clock: MovedClock<'a>,
    /// The messages that were expected so far: status, severity, how many connections, how many runs.
    expected: Vec<(&'static str, &'static str, u64, u64)>,
}

impl Night<'_> {
    /// Moves on to this time: nobody was told anything more on the way.
    fn quiet_until(&mut self, time: &str) {
        self.clock.until(time);
        pause(QUIET);
        self.assert_told(time);
    }

    /// One message more, by now.
    fn is_told(
        &mut self,
        status: &'static str,
        severity: &'static str,
        counted: (u64, u64),
    ) -> Value {
        self.expected.push((status, severity, counted.0, counted.1));
        let number = self.expected.len();
        let _ = wait_until(SOON, || notifications(self.home).len() >= number);
        self.assert_told(status);
        notifications(self.home).pop().unwrap()
    }

    fn assert_told(&self, when: &str) {
        let told = notifications(self.home);
        let words = |message: &Value| {
            let word = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| message[name].as_u64().unwrap_or_default();
            (
                word("status"),
                word("severity"),
                number("count"),
                number("runs"),
            )
        };
        let got: Vec<_> = told.iter().map(words).collect();
        let expected = self.expected.iter();
        let expected: Vec<_> = expected
            .map(|(status, severity, count, runs)| {
                (status.to_string(), severity.to_string(), *count, *runs)
            })
            .collect();
        assert_eq!(got, expected, "{when}: {told:#?}");
    }

    /// The job of 02:00 and 05:00 waits a quarter of an hour for its provider.
    fn run_in_vain(&mut self, until: &str) {
        let script = format!("test \"$({})\" = 200", call_script("api/me"));
        let run = [
            "run", "--with", "api", "--wait", "15m", "--", "sh", "-c", &script,
        ];
        let run = self.home.authkeeper(&run).env("BROWSER", "false").spawn();
        assert!(
            wait_until(SOON, || run.stderr().contains("waiting up to 15 min,")),
            "{}",
            run.stderr()
        );
        self.clock.until(until);
        let _ = run.finish(SOON).expect_code(69);
    }

    fn counted(&self, what: &str) -> u64 {
        let counted = &self.sandbox.state()["counters"][what];
        counted.as_u64().unwrap()
    }
}

#[test]
fn a_night_wakes_its_owner_four_times_and_never_in_vain() {
    let home = Home::new();
    let receiver = owner(&home);
    let sandbox = provider();
    let clock = MovedClock::start(&home, &sandbox, "21:30");
    connect(&home, &sandbox, "api", CLIENT_SECRET);
    let mut night = Night {
        home: &home,
        sandbox: &sandbox,
        clock,
        expected: vec![],
    };
    let daemon = Daemon::start(&home, &[]);

    night.what_heals_wakes_nobody();
    night.an_outage_outlasts_the_token_and_two_runs();
    night.the_secret_of_the_client_is_changed();
    night.the_clock_jumps();
    night.the_user_revokes_the_grant();
    night.the_client_is_deleted();

    // The webhook was told the same, and each of it once.
    let told = notifications(&home);
    let messages = receiver.ctl("messages");
    let messages = messages.as_array().unwrap();
    let records: Vec<&Value> = messages.iter().map(|message| &message["record"]).collect();
    assert_eq!(records, told.iter().collect::<Vec<_>>());
    drop(daemon);
    let webhook = Secret::new("webhook_secret", WEBHOOK_SECRET);
    assert_none_of(&home, &[sandbox.secrets(), vec![webhook]].concat());
}

impl Night<'_> {
    fn what_heals_wakes_nobody(&mut self) {
        // The keeper asks at about 22:15 for what comes after 22:30.
        self.clock.until("22:10");
        self.sandbox.fault("status=503,times=3,at=refresh");
        self.clock.until("22:30");
        assert_eq!(self.counted("faults_struck"), 3);
        assert_eq!(self.counted("refreshes_accepted"), 1, "healed");
        self.clock.until("23:00");
        self.sandbox.go_away();
        self.clock.until("23:05");
        self.a_long_job_gets_what_there_is();
        self.clock.until("23:10");
        self.sandbox.come_back();
        self.clock.until("00:30");
        self.sandbox.fault("proxy-page");
        self.clock.until("00:31");
        self.a_long_job_gets_what_there_is();
        assert!(self.counted("faults_struck") > 3, "the page was asked for");
        self.clock.until("00:34");
        self.sandbox.say("clear");
        self.quiet_until("00:50");
    }

    /// It wants a token that lives for an hour, which only a refresh could bring, and is told what it gets.
    fn a_long_job_gets_what_there_is(&self) {
        let long = ["token", "api", "--min-ttl", "59m"];
        let asked = self.home.authkeeper(&long).env("BROWSER", "false").run();
        let told = asked.expect_code(0).stderr;
        assert!(told.contains("it could not be refreshed"), "{told}");
    }

    fn an_outage_outlasts_the_token_and_two_runs(&mut self) {
        self.sandbox.go_away();
        let left = status(self.home, "api")["seconds_left"].as_u64().unwrap();
        assert!(
            (2_400..3_600).contains(&left),
            "it ends before 01:50: {left}"
        );
        self.quiet_until("01:30");
        self.clock.until("02:00");
        let told = self.is_told("firing", "warning", (1, 0));
        assert_eq!(told["cause"], "provider_unavailable");
        self.run_in_vain("02:15");
        self.quiet_until("05:00");
        self.run_in_vain("05:15");
        let told = self.is_told("changed", "warning", (1, 2));
        let text = told["text"].as_str().unwrap();
        assert!(text.contains("2 runs ended 69 because of it."), "{text}");
        self.quiet_until("05:20");
        self.sandbox.come_back();
        // The keeper leaves a provider alone for five minutes at most.
        self.clock.until("05:26");
        let _ = self.is_told("resolved", "warning", (1, 2));
    }

    fn the_secret_of_the_client_is_changed(&mut self) {
        self.quiet_until("06:00");
        let new = self.sandbox.ask(&format!("rotate-secret {CLIENT}"));
        let new = new["client_secret"].as_str().unwrap();
        self.clock.until("06:10");
        let told = self.is_told("firing", "critical", (1, 0));
        assert_eq!(told["cause"], "client_refused");
        let action = told["action"].as_str().unwrap();
        let repair = "authkeeper rotate api --client-secret-file FILE";
        assert!(action.ends_with(repair), "{action}");
        assert_eq!(told.get("link"), None, "a sign-in shows the same secret");
        let _ = self.home.run(&["status", "--check"]).expect_code(78);
        self.clock.until("06:50");
        let file = self.home.secret_file("new.secret", new);
        let rotate = repair.replace("FILE", file.to_str().unwrap());
        let words: Vec<&str> = rotate.split(' ').skip(1).collect();
        let _ = self.home.run(&words).expect_code(0);
        let _ = self.is_told("resolved", "critical", (1, 0));
    }

    fn the_clock_jumps(&mut self) {
        self.clock.until("07:00");
        self.clock.set_wall_off(2 * 3_600);
        self.clock.until("07:05");
        self.clock.set_wall_off(0);
        self.quiet_until("07:50");
    }

    fn the_user_revokes_the_grant(&mut self) {
        let there = |file: &str| self.home.path().join(file).exists();
        let script = format!(
            "while test \"$({})\" = 200; do touch called; sleep 0.2; done; touch refused; \
             while ! test -e end; do sleep 0.05; done",
            call_script("api/me")
        );
        let run = ["run", "--with", "api", "--", "sh", "-c", &script];
        let run = self.home.authkeeper(&run).env("BROWSER", "false").spawn();
        assert!(wait_until(SOON, || there("called")), "{}", run.stderr());
        self.clock.until("08:00");
        self.sandbox.say("revoke");
        assert!(wait_until(SOON, || there("refused")), "{}", run.stderr());
        let since = Stopwatch::start();
        let told = self.is_told("firing", "critical", (1, 0));
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{:?}",
            since.elapsed()
        );
        fs::write(self.home.path().join("end"), "").unwrap();
        let _ = run.finish(SOON).expect_code(75);
        self.clock.until("08:30");
        visit(told["link"].as_str().unwrap(), "approve");
        let _ = self.is_told("resolved", "critical", (1, 0));
    }

    fn the_client_is_deleted(&mut self) {
        self.clock.until("08:40");
        let secrets = self.sandbox.ask(&format!("rotate-secret {CLIENT} 1h"));
        for name in ["mail", "wiki"] {
            let secret = secrets["client_secret"].as_str().unwrap();
            connect(self.home, self.sandbox, name, secret);
        }
        self.quiet_until("09:00");
        self.sandbox.say(&format!("delete-client {CLIENT}"));
        self.clock.until("09:30");
        let told = self.is_told("firing", "critical", (3, 0));
        let all = serde_json::json!(["api", "mail", "wiki"]);
        assert_eq!(told["connections"], all);
        self.quiet_until("09:35");
    }
}
