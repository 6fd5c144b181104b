//! The environment variables.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use authkeeper_gateway::browser::Browser;

/// The environment as it was at the start; nothing else reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(pub(super) BTreeMap<String, OsString>);

impl Environment {
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsString> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// A variable in capitals, or written small, as programs of all ages have it.
    pub(crate) fn either_case(&self, name: &str) -> Option<&str> {
        self.text(name)
            .or_else(|| self.text(&name.to_ascii_lowercase()))
    }

    /// What opens a browser: the commands in `BROWSER`, else what the desktop has.
    pub(crate) fn browser(&self) -> Browser {
        let graphical = || {
            ["DISPLAY", "WAYLAND_DISPLAY"]
                .iter()
                .any(|name| self.get(name).is_some())
        };
        match self.text("BROWSER") {
            Some(list) => Browser::named(list),
            None => Browser::of_desktop(graphical()),
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}
