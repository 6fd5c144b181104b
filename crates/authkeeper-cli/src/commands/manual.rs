//! `man`: the manual pages, made of the command line itself. On a terminal the page is shown as `man` shows it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::Path,
    process,
};

use clap::Command;
use clap_mangen::Man;
use serde_json::json;

use crate::{
    args::{self, ManArgs},
    exit::Exit,
    failure::Failure,
    output::CommandOutput,
};

pub(crate) fn man(args: ManArgs, output: CommandOutput) -> Result<u8, Failure> {
    let Some(folder) = args.out else {
        let rendered = page(args::whole());
        let page = rendered.map_err(|error| unwritten(Path::new("standard output"), &error))?;
        if output.columns().is_none() {
            output.data_bytes(&page);
        } else if !is_shown(&page) {
            let help = args::whole().render_long_help();
            output.data_bytes(help.to_string().as_bytes());
        }
        return Ok(0);
    };
    let write = || {
        std::fs::create_dir_all(&folder)?;
        let mut whole = args::whole().disable_help_subcommand(true);
        whole.build();
        write_all(&whole, &folder)
    };
    let pages = write().map_err(|error| unwritten(&folder, &error))?;
    if output.json {
        let folder = folder.display().to_string();
        output.data_json(&json!({"folder": folder, "pages": pages}));
        return Ok(0);
    }
    output.say(&format!(
        "The manual pages are in {}; man authkeeper finds them if that is in its path.",
        folder.display()
    ));
    Ok(0)
}

/// Whether `man` showed the page, laid out for the terminal and in the person's pager. A machine may have no `man`.
fn is_shown(page: &[u8]) -> bool {
    let shown = || {
        let mut file = tempfile::Builder::new().suffix(".1").tempfile()?;
        file.write_all(page)?;
        process::Command::new("man").arg(file.path()).status()
    };
    shown().is_ok_and(|status| status.success())
}

/// The page of this command and those of all below it; how many there are.
fn write_all(command: &Command, folder: &Path) -> io::Result<usize> {
    let mut pages = 1;
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        pages += write_all(below, folder)?;
    }
    let file = Man::new(command.clone()).get_filename();
    std::fs::write(folder.join(file), page(command.clone())?)?;
    Ok(pages)
}

/// The page, with the text after the options as it was laid out: examples are no running text.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string);
    let mut page = Vec::new();
    Man::new(command.after_help(None::<&str>)).render(&mut page)?;
    page.extend(laid_out(after.as_deref().unwrap_or_default()).bytes());
    Ok(page)
}

/// In sections, each line as it stands.
fn laid_out(after: &str) -> String {
    let mut roff = String::new();
    let mut open = "";
    for paragraph in after
        .split("\n\n")
        .filter(|paragraph| !paragraph.is_empty())
    {
        let status = paragraph.starts_with("Exit codes");
        let title = if status { "EXIT STATUS" } else { "EXAMPLES" };
        if title == open {
            roff.push_str(".sp\n");
        } else {
            let _ = writeln!(roff, ".SH \"{title}\"");
            open = title;
        }
        let text = paragraph
            .strip_prefix("Examples:\n")
            .or_else(|| paragraph.strip_prefix("Exit codes: "))
            .unwrap_or(paragraph);
        let lines: String = text.lines().map(|line| literal(line) + "\n").collect();
        let _ = write!(roff, ".nf\n{lines}.fi\n");
    }
    roff
}

/// A line that roff shows as it is typed: its quotes and hyphens can be copied into a shell.
fn literal(line: &str) -> String {
    let mut shown = String::new();
    if line.starts_with(['.', '\'']) {
        shown.push_str("\\&");
    }
    for letter in line.chars() {
        match letter {
            '\\' => shown.push_str("\\e"),
            '-' => shown.push_str("\\-"),
            '\'' => shown.push_str("\\(aq"),
            '`' => shown.push_str("\\(ga"),
            '^' => shown.push_str("\\(ha"),
            '~' => shown.push_str("\\(ti"),
            other => shown.push(other),
        }
    }
    shown
}

fn unwritten(place: &Path, error: &io::Error) -> Failure {
    let what = format!("{} can't be written: {error}", place.display());
    Failure::new(
        Exit::Store,
        what,
        "choose another folder, or make it writable",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stand_as_they_are_typed() {
        let after = "Examples:\n  a --b 'c' \\\n    ~/d\n\nMore.\n\nExit codes: 0 ok\n  1 not";
        let expected = ".SH \"EXAMPLES\"\n.nf\n  a \\-\\-b \\(aqc\\(aq \\e\n    \\(ti/d\n.fi\n.sp\n.nf\nMore.\n.fi\n\
            .SH \"EXIT STATUS\"\n.nf\n0 ok\n  1 not\n.fi\n";
        assert_eq!(laid_out(after), expected);
        assert_eq!(laid_out(""), "");
        assert_eq!(literal(".hidden"), "\\&.hidden");
    }

    #[test]
    fn every_page_has_its_examples_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = args::whole();
        whole.build();
        write_all(&whole, folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("authkeeper-run.1")).unwrap();
        assert_eq!(page.matches(".SH \"EXAMPLES\"").count(), 1, "{page}");
        assert!(
            page.contains(".SH \"EXIT STATUS\"") && !page.contains("EXTRA"),
            "{page}"
        );
        assert!(!folder.path().join("authkeeper-demo-job.1").exists());
    }
}
