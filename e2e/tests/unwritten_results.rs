//! A result that can't be written is an error, whatever command it is of: who reads it would take an empty file for a success.

use e2e::home::Home;

/// `/dev/full` refuses each byte, as a full disk does.
#[test]
fn a_result_that_can_not_be_written_is_an_error() {
    let home = Home::new();
    for command in [
        "--help",
        "--version",
        "token --help",
        "status --json",
        "doctor",
        "doctor --json",
        "config show",
        "config show --json",
        "completions bash",
        "man",
    ] {
        let written = home.program("sh", &["-c", &format!("authkeeper {command} > /dev/full")]);
        written
            .run()
            .expect_failure(74, &["standard output", "space"]);
    }
}

/// A reader that has gone is told by the code alone, as with programs that a signal ends then.
#[test]
fn a_reader_that_has_gone_is_told_by_the_code_alone() {
    let home = Home::new();
    let script = "{ authkeeper man; echo $? >&2; } | true";
    let gone = home.program("sh", &["-c", script]).run();
    assert_eq!(gone.stderr, "74\n");
}
