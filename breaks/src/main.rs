//! `cargo run -p breaks [-- NAME …]`: breaks each rule in a copy of the tree and looks whether its test goes red.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use breaks::{
    book::{Book, root},
    ground::Ground,
    run,
};

fn main() -> io::Result<ExitCode> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let root = root();
    let book = Book::read(&root)?;
    let mut out = io::stdout().lock();
    let known = |name: &&String| book.breaks.iter().all(|broken| broken.name != **name);
    if let Some(unknown) = asked.iter().find(known) {
        writeln!(out, "there is no break {unknown:?}")?;
        return Ok(ExitCode::from(64));
    }
    let ground = Ground::prepare(&root)?;
    Ok(if run::run(book, &ground, &asked, &mut out)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
