//! The screen: lines that stay, and below them, on a live terminal, a picture that is redrawn in place.

use tokio::time::Instant;

use super::terminal::{DemoTerminal, Tone};

/// No line is wider, however wide the terminal is.
const WIDEST: usize = 100;
const NARROWEST: usize = 60;
/// The width of a terminal that does not know its own.
const USUAL: usize = 80;

pub(super) struct Screen {
    terminal: Box<dyn DemoTerminal>,
    started: Instant,
    /// How many lines of the picture stand on the terminal.
    drawn: usize,
}

impl Screen {
    pub(super) fn new(terminal: Box<dyn DemoTerminal>) -> Self {
        Self {
            terminal,
            started: Instant::now(),
            drawn: 0,
        }
    }

    /// Whether there is a picture.
    pub(super) fn is_live(&self) -> bool {
        self.terminal.is_live()
    }

    pub(super) fn speaks_unicode(&self) -> bool {
        self.terminal.speaks_unicode()
    }

    pub(super) fn width(&self) -> usize {
        let columns = self.terminal.columns();
        columns.map_or(USUAL, |columns| columns.clamp(NARROWEST, WIDEST))
    }

    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        self.terminal.paint(tone, text)
    }

    /// A heading.
    pub(super) fn part(&mut self, title: &str) {
        let title = self.paint(Tone::Strong, title);
        self.lines(&[String::new(), title]);
    }

    /// Something that happens, with the time since the start.
    pub(super) fn say(&mut self, text: &str) {
        self.event(None, text);
    }

    /// The same, in a colour.
    pub(super) fn event(&mut self, tone: Option<Tone>, text: &str) {
        let seconds = self.started.elapsed().as_secs();
        let stamp = format!("{}:{:02}", seconds / 60, seconds % 60);
        let stamp = self.paint(Tone::Dim, &stamp);
        let mut lines = Vec::new();
        for (number, line) in self.wrapped(text, 6).into_iter().enumerate() {
            let line = tone.map_or(line.clone(), |tone| self.paint(tone, &line));
            lines.push(match number {
                0 => format!("{stamp}  {line}"),
                _ => format!("      {line}"),
            });
        }
        self.lines(&lines);
    }

    /// A sentence without a time.
    pub(super) fn tell(&mut self, text: &str) {
        let lines = self.wrapped(text, 0);
        self.lines(&lines);
    }

    /// A command as the user would type it.
    pub(super) fn command(&mut self, words: &str) {
        let words = self.paint(Tone::Strong, &format!("$ {words}"));
        self.lines(&[format!("      {words}")]);
    }

    /// What a command printed. A row of a table is cut off rather than broken.
    pub(super) fn printed(&mut self, line: &str) {
        let is_row = line.trim().contains("  ");
        let room = self.width().saturating_sub(9);
        let lines = if is_row && self.is_live() && line.chars().count() > room {
            let kept: String = line.chars().take(room.saturating_sub(1)).collect();
            vec![format!("{kept}…")]
        } else {
            self.wrapped(line, 8)
        };
        let lines: Vec<String> = lines.iter().map(|line| format!("        {line}")).collect();
        self.lines(&lines);
    }

    /// A name and what it says.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        let mut name = name;
        for line in self.wrapped(value, 20) {
            self.lines(&[format!("        {name:<12}{line}")]);
            name = "";
        }
    }

    fn wrapped(&self, text: &str, indent: usize) -> Vec<String> {
        if self.is_live() {
            wrap(text, self.width().saturating_sub(indent + 1))
        } else {
            vec![text.to_owned()]
        }
    }

    fn lines(&mut self, lines: &[String]) {
        let mut text = self.erasing();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.terminal.write(&text);
    }

    /// Redraws the picture in place: each line over the one before it (ECMA-48 CPL, EL, ED), so that nothing flickers.
    pub(super) fn draw(&mut self, picture: &[String]) {
        if !self.is_live() {
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text = format!("\x1b[{}F", self.drawn);
        }
        for line in picture {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.drawn = picture.len();
        self.terminal.write(&text);
    }

    /// What takes the picture off the terminal: up by its lines, then everything below is cleared (ECMA-48 CPL, ED).
    fn erasing(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}F\x1b[J"),
        }
    }

    /// The picture stays as it is, and what follows comes below it.
    pub(super) fn keep_picture(&mut self) {
        self.drawn = 0;
    }
}

/// Breaks at spaces and keeps the first line's indentation; a word that is too long stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let words = text.trim_start();
    let indent = " ".repeat(text.len() - words.len());
    let mut lines = vec![indent.clone()];
    for word in words.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > indent.len() && line + 1 + word.chars().count() > width {
            lines.push(indent.clone());
        }
        if let Some(last) = lines.last_mut() {
            if last.len() > indent.len() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("averylongword x", 4), ["averylongword", "x"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("  next: do it", 10), ["  next: do", "  it"]);
    }
}
