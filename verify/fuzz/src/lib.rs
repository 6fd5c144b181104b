//! Fuzz targets: everything that reads what others wrote. Each takes any bytes and panics when something that must
//! always hold does not; what that is stands at the target.
//!
//! A case is text that a person can write and read: an answer is its status, its headers, an empty line and its body;
//! several answers stand one after the other ([`message`]).
#![forbid(unsafe_code)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a target says by panicking that something does not hold"
)]

mod answers;
mod draft;
mod files;
mod message;
mod mutate;
mod shown;
mod text;
mod wire;

pub use self::{
    answers::answers,
    files::{journal, seal, shelf},
    text::{catalogue, challenge, redirect, url},
    wire::{classify, device, discovery, poll, pushed, registration, token_answer},
};

/// A target: any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is its corpus's too.
pub const TARGETS: &[(&str, Target)] = &[
    ("token_answer", token_answer),
    ("answers", answers),
    ("classify", classify),
    ("challenge", challenge),
    ("discovery", discovery),
    ("device", device),
    ("poll", poll),
    ("redirect", redirect),
    ("pushed", pushed),
    ("registration", registration),
    ("seal", seal),
    ("journal", journal),
    ("shelf", shelf),
    ("catalogue", catalogue),
    ("url", url),
];

/// Runs a target on its corpus and on `cases` cases made from it. The case at which it fails is printed.
pub fn smoke(name: &str, cases: usize) {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target of this name");
    let seeds = corpus(name);
    for seed in &seeds {
        run(name, *target, seed);
    }
    let mut dice = mutate::Dice::new(0x5eed);
    for _ in 0..cases {
        let case = match name {
            // Its cases are words.
            "answers" => answers::case(&mut dice),
            _ => mutate::case(&seeds, &mut dice),
        };
        run(name, *target, &case);
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let files = corpus_files(name).into_iter();
    files.map(|(_, case)| case).collect()
}

/// The files of a corpus by their names, in order.
fn corpus_files(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(folder.join(name)).expect("every target has a corpus");
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {name} is empty");
    let read = |file: std::path::PathBuf| {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (name, std::fs::read(file).expect("a committed file"))
    };
    files.into_iter().map(read).collect()
}

fn run(name: &str, target: Target, case: &[u8]) {
    let done = std::panic::catch_unwind(|| target(case));
    if done.is_err() {
        let start = case[..case.len().min(2_000)].escape_ascii();
        let length = case.len();
        panic!("{name} failed, as said above, at a case of {length} bytes:\n{start}");
    }
}
