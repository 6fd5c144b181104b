//! The sizes that keep the code readable: `cargo run -p structure` prints them all.

use std::{io, path::PathBuf};

use structure::{
    crate_tree::read_crates,
    measures::{Measures, measure},
};

fn all_crates() -> io::Result<Measures> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let crates = read_crates(&root, &["crates"])?;
    let measures = crates.iter().map(measure).reduce(Measures::with);
    measures.ok_or_else(|| io::Error::other("there is no crate"))
}

#[test]
fn functions_are_short() {
    let measures = all_crates().unwrap();
    let (_, p90) = measures.percentiles();
    assert!(p90 <= 27, "nine of ten functions have at most {p90} lines");
    let long = measures.functions.iter().filter(|(lines, ..)| *lines > 80);
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "over 80 lines: {long:?}");
}

#[test]
fn files_are_short() {
    let files = all_crates().unwrap().files;
    let over = |limit: usize| files.iter().filter(move |(lines, _)| *lines > limit);
    let too_long: Vec<_> = over(700).collect();
    assert!(too_long.is_empty(), "over 700 lines: {too_long:?}");
    let long: Vec<_> = over(500).collect();
    assert!(
        long.len() * 100 <= files.len() * 3,
        "over 500 lines, of {} files: {long:?}",
        files.len()
    );
}

#[test]
fn a_type_name_means_one_thing() {
    let measures = all_crates().unwrap();
    let shared: Vec<_> = measures.shared_names().collect();
    assert!(
        shared.len() * 100 <= measures.types.len() * 5,
        "in several files, of {} names: {shared:?}",
        measures.types.len()
    );
}
