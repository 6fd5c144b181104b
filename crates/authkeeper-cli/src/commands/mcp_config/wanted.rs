//! The server that a configuration file is to hold, and what came of putting it there.

use super::entry::Value;

/// A server, by its name in this section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) section: &'a str,
    pub(super) name: &'a str,
    pub(super) members: &'a [(&'static str, Value)],
    /// Another command under the same name is replaced.
    pub(super) force: bool,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edited {
    /// The text with it.
    Changed(String),
    /// It was there.
    Same,
    /// Something else has its name: this command.
    Taken(String),
}

/// Why a text is not edited.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Unusable {
    #[error("it can't be read: {0}")]
    Torn(String),
    #[error("its {0:?} is written in a way that is not edited here")]
    Shape(String),
}

impl Wanted<'_> {
    /// What decides whether a server that is there is this one: what the client starts. The rest may be the user's.
    pub(super) fn decides(name: &str) -> bool {
        matches!(name, "command" | "args")
    }

    pub(super) fn unusable(self) -> Unusable {
        Unusable::Shape(self.section.to_owned())
    }

    /// How its command differs from one that is there, if it does.
    pub(super) fn other(self, found: impl Fn(&str) -> Option<serde_json::Value>) -> Option<String> {
        let deciding = || self.members.iter().filter(|(name, _)| Self::decides(name));
        let same = deciding().all(|(name, value)| found(name).as_ref() == Some(&value.as_json()));
        let shown =
            |name: &str| found(name).map_or_else(|| "–".to_owned(), |value| value.to_string());
        (!same).then(|| {
            deciding()
                .map(|(name, _)| shown(name))
                .collect::<Vec<_>>()
                .join(" ")
        })
    }
}
