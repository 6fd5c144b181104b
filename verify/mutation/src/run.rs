//! Tests one mutant after another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Write},
    process::Output,
};

use crate::{
    catalog::{Catalog, write_caught},
    misfit::Misfit,
    mutation::{Mutant, Mutation},
    source::{Target, Test, Workspace},
    work_tree::WorkTree,
};

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its test failed, as it must.
    Caught,
    /// Its test passed: it does not guard this rule.
    Survived,
    /// It does not compile: nothing was tested.
    DoesNotCompile,
    /// There is not exactly one test of this name, or it did not end.
    NotTested,
    /// The test fails without the mutation too.
    FailedBefore,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Caught => "caught",
            Self::Survived => "SURVIVED",
            Self::DoesNotCompile => "DOES NOT COMPILE",
            Self::NotTested => "NOT TESTED",
            Self::FailedBefore => "FAILED BEFORE",
        })
    }
}

/// A case with its mutant and its test.
struct Trial<'a> {
    mutation: &'a Mutation,
    mutant: Mutant<'a>,
    test: Test,
}

/// Tests the mutants of these names, or all; true if all were caught. Records each that was caught at once.
pub fn run(
    catalog: &Catalog,
    workspace: &Workspace,
    tree: &WorkTree,
    names: &[String],
    out: &mut impl Write,
) -> io::Result<bool> {
    let wanted = |mutation: &&Mutation| names.is_empty() || names.contains(&mutation.name);
    let mutations = catalog.mutations.iter().filter(wanted);
    let (trials, misfits) = prepare(mutations, workspace);
    for (mutation, misfit) in &misfits {
        writeln!(out, "{:<16} {:<32} {misfit}", "DOES NOT FIT", mutation.name)?;
    }
    let mut all = misfits.is_empty();
    let mut caught = catalog.caught.clone();
    caught.retain(|name, _| catalog.mutations.iter().any(|known| known.name == *name));
    for (target, trials) in &trials {
        let failing = failing_before(tree, target, trials)?;
        for trial in trials {
            let outcome = try_one(tree, trial, &failing)?;
            let Mutation { name, test, .. } = trial.mutation;
            writeln!(out, "{outcome:<16} {name:<32} {test}")?;
            out.flush()?;
            all &= outcome == Outcome::Caught;
            caught.remove(name);
            if outcome == Outcome::Caught {
                caught.insert(name.clone(), trial.mutant.fingerprint.clone());
            }
            write_caught(&caught)?;
        }
    }
    Ok(all)
}

type Trials<'a> = BTreeMap<Target, Vec<Trial<'a>>>;
type Misfits<'a> = Vec<(&'a Mutation, Misfit)>;

/// The trials by what cargo builds for them, and the cases that can not be tried.
fn prepare<'a>(
    mutations: impl Iterator<Item = &'a Mutation>,
    workspace: &'a Workspace,
) -> (Trials<'a>, Misfits<'a>) {
    let (mut trials, mut misfits) = (Trials::new(), Misfits::new());
    for mutation in mutations {
        match Trial::new(mutation, workspace) {
            Ok(trial) => trials
                .entry(trial.test.target.clone())
                .or_default()
                .push(trial),
            Err(misfit) => misfits.push((mutation, misfit)),
        }
    }
    (trials, misfits)
}

impl<'a> Trial<'a> {
    fn new(mutation: &'a Mutation, workspace: &'a Workspace) -> Result<Self, Misfit> {
        Ok(Self {
            mutation,
            mutant: mutation.apply(workspace)?,
            test: workspace.test(&mutation.test)?,
        })
    }
}

/// The tests that fail, or are not there, without a mutation.
fn failing_before(
    tree: &WorkTree,
    target: &Target,
    trials: &[Trial<'_>],
) -> io::Result<BTreeSet<String>> {
    let names: BTreeSet<&str> = trials
        .iter()
        .map(|trial| trial.test.name.as_str())
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let output = text_of(&tree.run(target, &names)?);
    let passes = |name: &&str| {
        let mut lines = output.lines();
        lines.any(|line| is_of(line, name) && line.ends_with(" ok"))
    };
    let failing = names.into_iter().filter(|name| !passes(name));
    Ok(failing.map(str::to_owned).collect())
}

fn try_one(tree: &WorkTree, trial: &Trial<'_>, failing: &BTreeSet<String>) -> io::Result<Outcome> {
    if failing.contains(&trial.test.name) {
        return Ok(Outcome::FailedBefore);
    }
    let file = trial.mutant.file;
    tree.write(&file.path, &trial.mutant.text)?;
    let outcome = test(tree, &trial.test);
    tree.write(&file.path, &file.text)?;
    outcome
}

fn test(tree: &WorkTree, test: &Test) -> io::Result<Outcome> {
    if !tree.build(&test.target)?.status.success() {
        return Ok(Outcome::DoesNotCompile);
    }
    let output = text_of(&tree.run(&test.target, &[&test.name])?);
    let results: Vec<&str> = output
        .lines()
        .filter(|line| is_of(line, &test.name) && line.contains(" ... "))
        .collect();
    Ok(match results[..] {
        [line] if line.ends_with(" ok") => Outcome::Survived,
        [line] if line.ends_with(" FAILED") => Outcome::Caught,
        _ => Outcome::NotTested,
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
