//! What a person sees: completion of names, hints for a slip, and text that fits the terminal.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, time::Duration};

use authkeeper_sandbox::Profile;
use e2e::ground::{EARLIER, Ground};
use e2e::home::Home;
use e2e::http;
use e2e::sandbox::Running as Sandbox;
use e2e::scenario::{token, until_expired};
use e2e::terminal::{expect_narrow, seen};
use rustix::process::{Pid, Signal, kill_process};

/// The candidates that a shell shows after these words; the last is being typed.
fn candidates(home: &Home, shell: &str, words: &[&str]) -> String {
    let arguments = [&["--", "authkeeper"], words].concat();
    let asked = home
        .authkeeper(&arguments)
        .env("AUTHKEEPER_COMPLETE", shell);
    let asked = asked.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    asked.run().expect_code(0).stdout
}

#[test]
fn shells_complete_the_names_of_connections() {
    let ground = Ground::new();
    for shell in ["bash", "zsh", "fish"] {
        for words in [&["token", "ea"][..], &["run", "--with", "ea"], &["why", ""]] {
            let shown = candidates(&ground.home, shell, words);
            assert!(shown.contains(EARLIER), "{shell} {words:?}: {shown}");
        }
        let new = candidates(&ground.home, shell, &["connect", "ea"]);
        assert!(!new.contains(EARLIER), "{shell}: {new}");
    }
    ground.expect_unharmed();
}

/// The whole way: the script, read by a shell, and a word that is completed by it.
#[test]
fn bash_completes_with_the_printed_script() {
    let ground = Ground::new();
    let script = "source <(authkeeper completions bash); COMP_WORDS=(authkeeper token ea); COMP_CWORD=2; COMP_TYPE=9
        _clap_complete_authkeeper authkeeper ea token 2>&1; printf '%s' \"${COMPREPLY[@]}\"";
    let bash = ground.home.program("bash", &["-c", script]).run();
    assert_eq!(bash.expect_code(0).stdout, EARLIER);
}

#[test]
fn where_nothing_is_connected_no_store_is_made_by_completing() {
    let home = Home::new();
    let shown = candidates(&home, "bash", &["token", ""]);
    assert!(!home.store_dir().exists(), "{shown}");
    home.write_config("on_truble = 1\n");
    let _ = candidates(&home, "fish", &["token", ""]);
}

#[test]
fn a_word_of_another_program_leads_to_the_right_command() {
    let home = Home::new();
    for (word, command) in [
        ("list", "authkeeper status"),
        ("login", "authkeeper connect NAME URL"),
        ("logout", "authkeeper disconnect NAME"),
        ("version", "authkeeper --version"),
    ] {
        let said = home.run(&[word]).expect_code(64).stderr;
        assert!(said.contains(&format!("tip: {command}")), "{word}: {said}");
    }
    let run = home
        .run(&["run", "--with", "x", "true"])
        .expect_code(64)
        .stderr;
    assert!(run.contains("authkeeper run --with x -- true"), "{run}");
}

/// A program that stands in for the `man` of the machine, and says what it was given.
#[test]
fn man_is_shown_in_a_pager_on_a_terminal_and_printed_in_a_pipe() {
    let home = Home::new();
    let programs = home.path().join("bin");
    fs::create_dir_all(&programs).unwrap();
    let man = programs.join("man");
    fs::write(
        &man,
        "#!/bin/sh\nhead -c 200 \"$1\" | grep -o 'TH authkeeper' && echo \"paged $1\"\n",
    )
    .unwrap();
    fs::set_permissions(&man, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let shown = home.on_terminal(80, &["man"]).env("PATH", &path).run();
    let shown = seen(&shown.expect_code(0).stdout).join("\n");
    assert!(
        shown.contains("TH authkeeper") && shown.contains("paged /"),
        "{shown}"
    );
    let piped = home
        .authkeeper(&["man"])
        .env("PATH", &path)
        .run()
        .expect_code(0)
        .stdout;
    assert!(
        piped.contains(".TH authkeeper 1") && !piped.contains("paged"),
        "{piped}"
    );
    fs::write(&man, "#!/bin/sh\nexit 16\n").unwrap();
    let without = home.on_terminal(80, &["man"]).env("PATH", &path).run();
    let without = seen(&without.expect_code(0).stdout).join("\n");
    assert!(
        without.contains("Usage: authkeeper") && !without.contains(".TH"),
        "{without}"
    );
}

#[test]
fn https_where_plain_http_is_spoken_is_called_that() {
    let ground = Ground::new();
    let url = ground.url("good");
    let secure = url.replacen("http://", "https://", 1);
    let place = url.trim_end_matches("/good/mcp");
    let next = format!("write {place} in the URL");
    ground
        .home
        .run(&["connect", "x", &secure])
        .expect_failure(78, &["does not speak TLS", &next]);
    ground.expect_unharmed();
}

/// A connection whose grant the provider has ended, found out by a call that failed.
fn refused(home: &Home) -> Sandbox {
    let ttl = Duration::from_secs(4);
    let sandbox = Sandbox::with_ttl(Profile::Strict, Duration::ZERO, ttl);
    let _ = home
        .run(&["connect", "x", &format!("{}/mcp", sandbox.url())])
        .expect_code(0);
    sandbox.say("revoke");
    until_expired(home, "x");
    let failed = token(home, "x").run().expect_code(75);
    assert_eq!(
        failed.records().len(),
        1,
        "in a pipe it is JSON: {}",
        failed.stderr
    );
    sandbox
}

/// What `doctor` gives to be copied where nobody is told.
const ON_INCIDENT: &str = "on_incident = \"mail -s 'authkeeper needs you' you@example.org\"";

#[test]
fn text_breaks_at_words_and_fits_the_terminal() {
    let home = Home::new();
    let _sandbox = refused(&home);
    for columns in [40_u16, 120] {
        for arguments in [
            &["why", "x"][..],
            &["doctor", "--offline"],
            &["advise"],
            &["token", "x"],
            &["status"],
        ] {
            let shown = home
                .on_terminal(columns, arguments)
                .env("BROWSER", "false")
                .run()
                .stdout;
            let mut lines = seen(&shown);
            assert!(lines.len() > 1, "{columns} {arguments:?}: {shown}");
            if arguments[0] == "doctor" {
                // A line break would make it another line of the settings.
                let to_copy = lines.iter().position(|line| line == ON_INCIDENT);
                let _ = lines.remove(to_copy.expect(&shown));
            }
            expect_narrow(&lines, columns.into());
        }
    }
    let piped = home.run(&["doctor", "--offline"]).stdout;
    assert!(
        piped.lines().any(|line| line.chars().count() > 120),
        "in a pipe nothing is broken: {piped}"
    );
}

#[test]
fn a_person_reads_a_text_where_a_program_reads_a_record() {
    let home = Home::new();
    let _sandbox = refused(&home);
    let why = home.run(&["why", "x"]).expect_code(0).stdout;
    let labels: Vec<&str> = why
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(labels, ["cause", "since", "effect", "next"], "{why}");
    let on_terminal = home
        .on_terminal(100, &["token", "x"])
        .env("BROWSER", "false")
        .run();
    let shown = seen(&on_terminal.expect_code(75).stdout).join("\n");
    assert!(
        shown.contains("next: authkeeper reauthorize x") && !shown.contains('{'),
        "{shown}"
    );
    let json = home
        .on_terminal(100, &["--json", "token", "x"])
        .env("BROWSER", "false")
        .run()
        .stdout;
    assert!(
        json.contains("{\"event\":\"reauthorization_required\""),
        "{json}"
    );
}

#[test]
fn nobody_is_asked_for_the_key_of_a_connection_without_one() {
    let home = Home::new();
    let _sandbox = refused(&home);
    let shown = home.on_terminal(100, &["rotate", "x"]).run();
    let shown = shown.expect_code(64).stdout;
    assert!(shown.contains("x is no API key"), "{shown}");
    assert!(!shown.contains("Paste"), "{shown}");
}

/// The pid that a sandbox in the background is ended by.
fn pid(said: &str) -> Pid {
    let (_, rest) = said.split_once("kill ").unwrap();
    let number = rest.split_whitespace().next().unwrap().parse().unwrap();
    Pid::from_raw(number).unwrap()
}

#[test]
fn a_sandbox_in_the_background_serves_once_its_url_is_printed() {
    let home = Home::new();
    let started = home
        .run(&["sandbox", "--background", "--auto-approve"])
        .expect_code(0);
    let url = started.stdout.trim();
    let connected = home.run(&["connect", "try", &format!("{url}/mcp")]);
    kill_process(pid(&started.stderr), Signal::TERM).unwrap();
    let _ = connected.expect_code(0);
}

#[test]
fn on_a_port_that_is_taken_no_url_is_printed() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    home_fails(&["sandbox", "--background", "--port", &port]);
    home_fails(&["sandbox", "--port", &port]);
    drop(stranger);
}

fn home_fails(arguments: &[&str]) {
    let words = ["can't listen on 127.0.0.1", "leave --port out"];
    Home::new().run(arguments).expect_failure(69, &words);
}

#[test]
fn the_page_of_the_sandbox_says_what_is_refused() {
    let sandbox = Sandbox::start(Profile::Strict, Duration::ZERO);
    let page = http::get(sandbox.port(), "/").unwrap().body;
    for part in [
        "initial-scale=1",
        "id=\"refused\"",
        "minmax(min(20rem,100%),1fr)",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
