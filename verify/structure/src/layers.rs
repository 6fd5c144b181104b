//! The order of a crate's layers, and the imports that go up against it.

use std::{collections::BTreeSet, io, path::Path};

use serde::Deserialize;

use crate::imports::Import;

/// One crate's layers.
#[derive(Debug, Deserialize)]
pub struct Layers {
    /// The package's name.
    pub name: String,
    /// Its top-level modules, the bottom first: each may import from those before it.
    pub order: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "crate")]
    crates: Vec<Layers>,
}

/// Reads `verify/structure/layers.toml` of the repository at this root.
pub fn read(root: &Path) -> io::Result<Vec<Layers>> {
    let text = std::fs::read_to_string(root.join("verify/structure/layers.toml"))?;
    let file: File = toml::from_str(&text).map_err(io::Error::other)?;
    Ok(file.crates)
}

impl Layers {
    /// The imports that go from a lower layer up to a higher one. The crate's root file may import everything; nothing may
    /// import from it.
    pub fn upward<'a>(&self, imports: &'a BTreeSet<Import>) -> Vec<&'a Import> {
        let rank = |module: &[String]| {
            self.order
                .iter()
                .position(|name| Some(name) == module.first())
        };
        let goes_up = |import: &&Import| {
            !import.from.is_empty()
                && (import.to.is_empty() || rank(&import.from) < rank(&import.to))
        };
        imports.iter().filter(goes_up).collect()
    }

    /// The top-level modules that the order does not name, and names in it that are no module.
    pub fn unplaced(&self, modules: &BTreeSet<String>) -> Vec<String> {
        let order: BTreeSet<String> = self.order.iter().cloned().collect();
        order.symmetric_difference(modules).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(from: &str, to: &str) -> Import {
        let path = |path: &str| -> Vec<String> {
            let parts = path.split("::").filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        Import {
            from: path(from),
            to: path(to),
            path: to.to_owned(),
        }
    }

    #[test]
    fn an_import_may_go_down_and_never_up() {
        let layers = Layers {
            name: "a".to_owned(),
            order: ["model", "store", "runtime"].map(str::to_owned).into(),
        };
        let down = import("runtime::token", "model::grant");
        let within = import("store::rows", "store");
        let from_root = import("", "runtime");
        let up = import("model::grant", "store");
        let to_root = import("store", "");
        let all = BTreeSet::from([down, within, from_root, up.clone(), to_root.clone()]);
        assert_eq!(layers.upward(&all), [&up, &to_root]);
    }

    #[test]
    fn a_module_without_a_place_is_named() {
        let layers = Layers {
            name: "a".to_owned(),
            order: ["model", "gone"].map(str::to_owned).into(),
        };
        let modules = ["model", "new"].map(str::to_owned).into();
        assert_eq!(layers.unplaced(&modules), ["gone", "new"]);
    }
}
