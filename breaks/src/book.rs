//! The rules, the breaks, and what was seen of them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Rules that belong together.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// What they are rules of.
    pub title: String,
    /// What stands before a rule's number in the names of this book.
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

/// One way to break a rule.
#[derive(Debug, Deserialize)]
pub struct Break {
    /// Its name.
    pub name: String,
    /// The rules that it breaks, as `MARK.ID`.
    pub rules: Vec<String>,
    /// What is then wrong.
    pub what: String,
    /// Where, from the root of the repository.
    pub file: String,
    /// What stands there, once.
    pub from: String,
    /// What to put in its place.
    pub to: String,
    /// The test that fails: `FILE::NAME`.
    pub test: String,
}

#[derive(Deserialize)]
struct Rules {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Breaks {
    #[serde(rename = "break")]
    all: Vec<Break>,
}

/// Everything that is known.
#[derive(Debug)]
pub struct Book {
    /// The rules, in order.
    pub groups: Vec<Group>,
    /// The breaks, in order.
    pub breaks: Vec<Break>,
    /// The breaks that were seen to be caught, by name, each as it was then.
    pub seen: BTreeMap<String, String>,
}

/// A test as cargo finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The package.
    pub package: String,
    /// What of it: `--lib`, `--bins` or `--test=NAME`.
    pub target: String,
}

impl Book {
    /// Reads the book of the repository at this root.
    pub fn read(root: &Path) -> io::Result<Self> {
        let text = |name: &str| fs::read_to_string(root.join("breaks").join(name));
        let rules: Rules = toml::from_str(&text("rules.toml")?).map_err(io::Error::other)?;
        let breaks: Breaks = toml::from_str(&text("breaks.toml")?).map_err(io::Error::other)?;
        let seen = text("seen.txt").unwrap_or_default();
        let seen = seen.lines().filter_map(|line| line.split_once(' '));
        Ok(Self {
            groups: rules.group,
            breaks: breaks.all,
            seen: seen
                .map(|(name, as_it_was)| (name.to_owned(), as_it_was.to_owned()))
                .collect(),
        })
    }

    /// Whether a break was seen to be caught as it is now.
    pub fn was_seen(&self, broken: &Break) -> bool {
        self.seen.get(&broken.name) == Some(&broken.fingerprint())
    }
}

impl Break {
    /// The source with the rule broken; none if what is to be replaced does not stand there exactly once.
    pub fn apply(&self, source: &str) -> Option<String> {
        let from = self.from.trim_end();
        (source.matches(from).count() == 1 && from != self.to.trim_end())
            .then(|| source.replace(from, self.to.trim_end()))
    }

    /// The test's name without its file.
    pub fn test_name(&self) -> &str {
        self.test.rsplit("::").next().unwrap_or_default()
    }

    /// The file that the test is in.
    pub fn test_file(&self) -> &str {
        self.test.split("::").next().unwrap_or_default()
    }

    /// How cargo is told to run the test.
    pub fn place(&self, root: &Path) -> Place {
        let file = self.test_file();
        let (folder, inside) = ["/src/", "/tests/"]
            .iter()
            .find_map(|part| Some((file.split_once(part)?, *part)))
            .map_or((("", ""), ""), |found| found);
        let (package_folder, rest) = folder;
        let package = package_folder.rsplit('/').next().unwrap_or_default();
        let library = root.join(package_folder).join("src/lib.rs").exists();
        let target = match inside {
            "/tests/" => {
                let name = rest.split(['/', '.']).next().unwrap_or_default();
                format!("--test={name}")
            }
            _ if library => "--lib".to_owned(),
            _ => "--bins".to_owned(),
        };
        Place {
            package: package.to_owned(),
            target,
        }
    }

    /// Tells whether the break, or its test, is another one now (FNV-1a).
    pub fn fingerprint(&self) -> String {
        let parts = [&self.file, &self.from, &self.to, &self.test];
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        let start = 0xcbf2_9ce4_8422_2325_u64;
        let hash = bytes.fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// Writes down what was seen.
pub fn keep_seen(root: &Path, seen: &BTreeMap<String, String>) -> io::Result<()> {
    let line = |(name, as_it_was): (&String, &String)| format!("{name} {as_it_was}\n");
    let text: String = seen.iter().map(line).collect();
    fs::write(root.join("breaks/seen.txt"), text)
}

/// The root of the repository that this was built in.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
