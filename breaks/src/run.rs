//! Breaks one thing after another and says what became of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Write},
    process::Output,
};

use crate::{
    book::{Book, Break, Place, keep_seen, root},
    ground::Ground,
};

/// What became of a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The test failed, as it must.
    Caught,
    /// The test passed: it does not watch this rule.
    NotCaught,
    /// It does not stand in the source exactly once.
    DoesNotApply,
    /// What is broken does not compile: nothing was tested.
    DoesNotCompile,
    /// There is not exactly one test of this name, or it did not come to an end.
    NotTested,
    /// The test fails though nothing is broken.
    RedBefore,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Caught => "caught",
            Self::NotCaught => "NOT CAUGHT",
            Self::DoesNotApply => "DOES NOT APPLY",
            Self::DoesNotCompile => "DOES NOT COMPILE",
            Self::NotTested => "NOT TESTED",
            Self::RedBefore => "RED BEFORE",
        })
    }
}

/// Breaks what is asked for, or everything; true if all of it was caught. What was caught is noted as it is seen.
pub fn run(
    book: Book,
    ground: &Ground,
    asked: &[String],
    out: &mut impl Write,
) -> io::Result<bool> {
    let root = root();
    let Book { breaks, seen, .. } = book;
    let known = |name: &String| breaks.iter().any(|broken| broken.name == *name);
    let mut noted = seen;
    noted.retain(|name, _| known(name));
    let wanted = |broken: &&Break| asked.is_empty() || asked.contains(&broken.name);
    let mut places: BTreeMap<Place, Vec<&Break>> = BTreeMap::new();
    for broken in breaks.iter().filter(wanted) {
        places.entry(broken.place(&root)).or_default().push(broken);
    }
    let mut all = !places.is_empty();
    for (place, breaks) in &places {
        let red = red_before(ground, place, breaks)?;
        for broken in breaks {
            let seen = if red.contains(broken.test_name()) {
                Seen::RedBefore
            } else {
                try_one(ground, place, broken)?
            };
            writeln!(out, "{seen:<16} {:<32} {}", broken.name, broken.test)?;
            out.flush()?;
            all &= seen == Seen::Caught;
            if seen == Seen::Caught {
                noted.insert(broken.name.clone(), broken.fingerprint());
            } else {
                noted.remove(&broken.name);
            }
            keep_seen(&root, &noted)?;
        }
    }
    Ok(all)
}

/// The tests that fail, or are not there, with nothing broken.
fn red_before(ground: &Ground, place: &Place, breaks: &[&Break]) -> io::Result<BTreeSet<String>> {
    let names: BTreeSet<&str> = breaks.iter().map(|broken| broken.test_name()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let said = text_of(&ground.run(place, &names)?);
    let passes = |name: &&str| {
        said.lines()
            .any(|line| is_of(line, name) && line.ends_with(" ok"))
    };
    let red = names.into_iter().filter(|name| !passes(name));
    Ok(red.map(str::to_owned).collect())
}

fn try_one(ground: &Ground, place: &Place, broken: &Break) -> io::Result<Seen> {
    let sound = ground.read(&broken.file)?;
    let Some(source) = broken.apply(&sound) else {
        return Ok(Seen::DoesNotApply);
    };
    ground.write(&broken.file, &source)?;
    let seen = watch(ground, place, broken);
    ground.write(&broken.file, &sound)?;
    seen
}

fn watch(ground: &Ground, place: &Place, broken: &Break) -> io::Result<Seen> {
    if !ground.build(place)?.status.success() {
        return Ok(Seen::DoesNotCompile);
    }
    let name = broken.test_name();
    let run = ground.run(place, &[name])?;
    let said = text_of(&run);
    let results: Vec<&str> = said
        .lines()
        .filter(|line| is_of(line, name) && line.contains(" ... "))
        .collect();
    Ok(match results[..] {
        [line] if line.ends_with(" ok") => Seen::NotCaught,
        [line] if line.ends_with(" FAILED") => Seen::Caught,
        _ => Seen::NotTested,
    })
}

/// `test path::to::name ... ok`, or with `- should panic` after the name.
fn is_of(line: &str, name: &str) -> bool {
    line.strip_prefix("test ")
        .and_then(|rest| rest.split(' ').next())
        .is_some_and(|path| path.rsplit("::").next() == Some(name))
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
