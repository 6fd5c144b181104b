//! What a person sees: completion of names, hints for a slip, and text that fits the terminal.

use std::{fs, os::unix::fs::PermissionsExt as _};

use e2e::ground::{EARLIER, Ground};
use e2e::home::Home;
use e2e::terminal::seen;

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
