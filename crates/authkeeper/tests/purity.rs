//! What is decided is decided in pure code: the sources of the model and of the decisions name no runtime, no
//! network, no file and no clock.

use std::{
    fs, io,
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
    let (model, decisions) = (
        sources(&src.join("model")).unwrap(),
        sources(&src.join("refresh/decide")).unwrap(),
    );
    assert!(model.len() > 5, "the model has moved: {model:?}");
    assert!(
        decisions.len() > 4,
        "the decisions have moved: {decisions:?}"
    );
    let breaker = src.join("refresh/circuit_breaker.rs");
    let files = model.into_iter().chain(decisions).chain([breaker]);
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

/// The source files of a folder, without those of its tests.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.retain(|path| path.is_file());
    Ok(paths)
}
