//! What is decided is decided in pure code: the sources of the model and of the decisions name no runtime, no
//! network, no file and no clock.

use std::{
    fs,
    path::{Path, PathBuf},
};

const FORBIDDEN: &[&str] = &[
    "tokio",
    "rusqlite",
    "sqlx",
    "reqwest",
    "hyper",
    "std::fs",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "std::env",
    "async fn",
];

#[test]
fn the_model_and_the_decisions_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = fs::read_dir(src.join("model"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(src.join("refresh/decide.rs"));
    files.push(src.join("refresh/circuit_breaker.rs"));
    assert!(files.len() > 5, "the model has moved: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in FORBIDDEN {
                let place = format!("{}:{}", file.display(), number + 1);
                assert!(!code.contains(word), "{place} names {word}");
            }
        }
    }
}
