//! Where the demo is shown. The command line implements it: it knows the terminal and its colours.

/// How a text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something works.
    Good,
    /// Something is at risk.
    Warn,
    /// Something failed.
    Bad,
    /// Less important than the rest.
    Dim,
    /// More important than the rest.
    Strong,
}

/// A person's terminal, or a file in its place.
pub trait DemoTerminal: Send + Sync {
    /// Writes a text as it is, line ends and control sequences included.
    fn write(&self, text: &str);

    /// A text in a colour, where there are colours.
    fn paint(&self, tone: Tone, text: &str) -> String;

    /// Whether a person watches, so that lines can be redrawn.
    fn is_live(&self) -> bool;

    /// The width in columns, if known.
    fn columns(&self) -> Option<usize>;

    /// Whether block characters can be shown.
    fn speaks_unicode(&self) -> bool;
}
