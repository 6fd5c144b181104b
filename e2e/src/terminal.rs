//! A terminal of a given width, as a person has it: `script` makes the pseudo-terminal.

use crate::home::{Home, Invocation, authkeeper_binary};

impl Home {
    /// `authkeeper` with these arguments on a terminal of so many columns. What a person sees there, standard error
    /// included, is the standard output.
    pub fn on_terminal(&self, columns: u16, arguments: &[&str]) -> Invocation<'_> {
        let mut words = vec![quoted(&authkeeper_binary().to_string_lossy())];
        words.extend(arguments.iter().map(|word| quoted(word)));
        let line = format!("stty cols {columns} rows 50; exec {}", words.join(" "));
        self.program("script", &["-qec", &line, "/dev/null"])
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The lines that a person sees: without colours and the terminal's line ends.
pub fn seen(printed: &str) -> Vec<String> {
    let mut text = String::new();
    let mut letters = printed.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => {}
            '\x1b' => {
                let _ = letters.by_ref().find(char::is_ascii_alphabetic);
            }
            other => text.push(other),
        }
    }
    text.lines().map(str::to_owned).collect()
}

/// Fails the test if a line is wider than the terminal, unless it is one word: none is broken.
pub fn expect_narrow(lines: &[String], columns: usize) {
    for line in lines {
        let is_word = !line.trim().contains(' ');
        assert!(
            is_word || line.chars().count() <= columns,
            "{columns} columns: {line:?}"
        );
    }
}
