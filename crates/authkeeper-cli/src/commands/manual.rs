//! `completions` and `man`: what is made of the command line itself. Neither needs a store.

use std::path::Path;

use clap_complete::Shell;

use crate::{
    args::{self, ManArgs},
    exit::Exit,
    failure::Failure,
    output::Output,
};

const NAME: &str = "authkeeper";

pub(crate) fn completions(shell: Shell, output: Output) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::whole(), NAME, &mut script);
    output.data_bytes(&script);
}

pub(crate) fn man(args: ManArgs, output: Output) -> Result<u8, Failure> {
    let Some(folder) = args.out else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(args::whole()).render(&mut page);
        rendered.map_err(|error| unwritten(Path::new("standard output"), &error))?;
        output.data_bytes(&page);
        return Ok(0);
    };
    let write = || {
        std::fs::create_dir_all(&folder)?;
        clap_mangen::generate_to(args::whole(), &folder)
    };
    write().map_err(|error| unwritten(&folder, &error))?;
    output.say(&format!(
        "The manual pages are in {}; man authkeeper finds them if that is in its path.",
        folder.display()
    ));
    Ok(0)
}

fn unwritten(place: &Path, error: &std::io::Error) -> Failure {
    let what = format!("{} can't be written: {error}", place.display());
    Failure::new(
        Exit::Store,
        what,
        "choose another folder, or make it writable",
    )
}
