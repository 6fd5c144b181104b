//! The rules, the mutations that break them, and which of these were caught.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::Deserialize;

use crate::{mutation::Mutation, source::Workspace};

/// Rules that belong together.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// What they are rules of.
    pub title: String,
    /// The prefix of its rules' names in `mutations.toml`.
    pub mark: String,
    /// The rules.
    pub rule: Vec<Rule>,
}

/// A rule, or an invariant.
#[derive(Debug, Deserialize)]
pub struct Rule {
    /// Its number or name in its group.
    pub id: String,
    /// What must hold.
    pub says: String,
    /// What of it has no test here, and why.
    pub left: Option<String>,
}

#[derive(Deserialize)]
struct Rules {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Mutations {
    mutation: Vec<Mutation>,
}

/// The content of the three files beside this crate's manifest.
#[derive(Debug)]
pub struct Catalog {
    /// The rules, in order.
    pub groups: Vec<Group>,
    /// The mutations, in order.
    pub mutations: Vec<Mutation>,
    /// The fingerprint of each mutation when it was last caught, by its name.
    pub caught: BTreeMap<String, String>,
}

impl Catalog {
    /// Reads the files.
    pub fn read() -> io::Result<Self> {
        let text = |name: &str| fs::read_to_string(folder().join(name));
        let rules: Rules = toml::from_str(&text("rules.toml")?).map_err(io::Error::other)?;
        let mutations: Mutations =
            toml::from_str(&fs::read_to_string(mutations_file())?).map_err(io::Error::other)?;
        let caught = text("caught.txt").unwrap_or_default();
        let caught = caught.lines().filter_map(|line| line.split_once(' '));
        Ok(Self {
            groups: rules.group,
            mutations: mutations.mutation,
            caught: caught
                .map(|(name, fingerprint)| (name.to_owned(), fingerprint.to_owned()))
                .collect(),
        })
    }

    /// Whether a mutation was caught as it is now.
    pub fn was_caught(&self, mutation: &Mutation, workspace: &Workspace) -> bool {
        let mutant = mutation.apply(workspace);
        mutant.is_ok_and(|mutant| self.caught.get(&mutation.name) == Some(&mutant.fingerprint))
    }
}

/// Writes down which mutations were caught.
pub fn write_caught(caught: &BTreeMap<String, String>) -> io::Result<()> {
    let line = |(name, fingerprint): (&String, &String)| format!("{name} {fingerprint}\n");
    let text: String = caught.iter().map(line).collect();
    fs::write(folder().join("caught.txt"), text)
}

/// The file of the cases.
pub fn mutations_file() -> PathBuf {
    folder().join("mutations.toml")
}

/// The folder of this crate.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the repository that this was built in.
pub fn root() -> PathBuf {
    let folder = folder();
    let mut above = folder.ancestors().skip(1);
    let root = above.find(|parent| parent.join("Cargo.lock").exists());
    root.unwrap_or(&folder).to_owned()
}
