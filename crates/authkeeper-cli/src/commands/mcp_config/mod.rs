//! `mcp-config`: the bridge in an MCP client's configuration, printed or written.

mod client;
mod edit;
mod entry;
mod file;
mod wanted;
mod yaml;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use authkeeper::model::ConnectionName;
use serde_json::{Value, json};

use self::{
    client::Format,
    entry::ServerEntry,
    file::ConfigText,
    wanted::{Edited, Wanted},
};
use crate::{
    app::App,
    args::{HoldArgs, McpClient, McpConfigArgs},
    exit::Exit,
    failure::Failure,
    settings::Environment,
};

/// What leads a bridge to this store, where it is not in its usual place.
const VARIABLES: [&str; 5] = [
    "AUTHKEEPER_CONFIG",
    "AUTHKEEPER_STORE",
    "AUTHKEEPER_KEY_FILE",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

pub(crate) async fn mcp_config(app: &App, args: &McpConfigArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let file = args
        .file
        .clone()
        .or_else(|| args.client.file(&app.environment));
    let file = file.ok_or_else(|| {
        Failure::new(
            Exit::Config,
            "HOME is not set",
            "set it, or name the file with --file",
        )
    })?;
    let entry = entry(&name, &args.hold, &app.environment)?;
    if app.runtime.status(&name).await.is_err() {
        app.output.say(&format!(
            "authkeeper: {name} is not connected yet; authkeeper connect {name} URL does that"
        ));
    }
    match (args.write, args.client.format()) {
        (true, Some(format)) => write(app, args, format, &entry, &file),
        (true, None) => Err(not_edited(app, args, &entry, &file)),
        (false, _) => print(app, args, &entry, &file),
    }
}

fn entry(
    name: &ConnectionName,
    hold: &HoldArgs,
    environment: &Environment,
) -> Result<ServerEntry, Failure> {
    let itself = std::env::current_exe().ok();
    let command = itself.as_deref().and_then(Path::to_str).map(str::to_owned);
    let command = command.ok_or_else(|| {
        let what = "the path of this program is not UTF-8";
        Failure::new(Exit::Config, what, "install it elsewhere")
    })?;
    let set = |name: &str| {
        let value = environment.text(name)?;
        Some((name.to_owned(), value.to_owned()))
    };
    Ok(ServerEntry {
        name: name.to_string(),
        command,
        args: words(name, hold),
        variables: VARIABLES.into_iter().filter_map(set).collect(),
    })
}

/// `mcp notion --hold 30m --open-browser`.
fn words(name: &ConnectionName, hold: &HoldArgs) -> Vec<String> {
    let mut words = vec!["mcp".to_owned(), name.to_string()];
    if let Some(limit) = hold.hold {
        words.extend(["--hold".to_owned(), typed(limit)]);
    }
    if hold.open_browser {
        words.push("--open-browser".to_owned());
    }
    words
}

/// As a person would type it.
fn typed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn print(app: &App, args: &McpConfigArgs, entry: &ServerEntry, file: &Path) -> Result<(), Failure> {
    let snippet = snippet(args, entry, file)?;
    if app.output.json {
        app.output.data_json(&json!({
            "client": args.client.name(),
            "file": file,
            "section": args.client.section(),
            "server": server(args.client, entry),
            "snippet": snippet,
        }));
        return Ok(());
    }
    app.output
        .data_bytes(format!("{}\n", snippet.trim_end()).as_bytes());
    let how = match args.client.format() {
        Some(_) => "--write puts it there and keeps the rest",
        None => "paste it there: --write does not edit YAML",
    };
    app.output
        .say(&format!("This belongs in {}; {how}.", file.display()));
    Ok(())
}

/// The configuration of a client that has no other server.
fn snippet(args: &McpConfigArgs, entry: &ServerEntry, file: &Path) -> Result<String, Failure> {
    let client = args.client;
    let Some(format) = client.format() else {
        let members = client.members(entry);
        return Ok(yaml::snippet(client.section(), &entry.name, &members));
    };
    Ok(match edited(args, format, entry, "", file)? {
        Edited::Changed(text) => text,
        Edited::Same | Edited::Taken(_) => String::new(),
    })
}

/// `--write` for YAML: shows what to paste, on standard error as it is a failure; not where a program reads that.
fn not_edited(app: &App, args: &McpConfigArgs, entry: &ServerEntry, file: &Path) -> Failure {
    let section = args.client.section();
    let what = format!(
        "{} is left as it is: --write does not edit YAML",
        file.display()
    );
    if app.output.json {
        let next = format!("paste what the command prints without --write, into {section:?}");
        return Failure::new(Exit::Usage, what, next);
    }
    match snippet(args, entry, file) {
        Ok(text) => app.output.say(&text),
        Err(failure) => return failure,
    }
    let next = format!("paste the entry above into its {section:?}");
    Failure::new(Exit::Usage, what, next)
}

fn server(client: McpClient, entry: &ServerEntry) -> Value {
    let members = client.members(entry).into_iter();
    let members = members.map(|(name, value)| (name.to_owned(), value.as_json()));
    Value::Object(members.collect())
}

fn edited(
    args: &McpConfigArgs,
    format: Format,
    entry: &ServerEntry,
    text: &str,
    file: &Path,
) -> Result<Edited, Failure> {
    let members = args.client.members(entry);
    let wanted = Wanted {
        section: args.client.section(),
        name: &entry.name,
        members: &members,
        force: args.force,
    };
    edit::put(format, text, wanted).map_err(|unusable| {
        let what = format!("{} is left as it is: {unusable}", file.display());
        let next = "correct it, or paste by hand what the command prints without --write";
        Failure::new(Exit::Data, what, next)
    })
}

fn write(
    app: &App,
    args: &McpConfigArgs,
    format: Format,
    entry: &ServerEntry,
    file: &Path,
) -> Result<(), Failure> {
    let old = ConfigText::read(file)?;
    let new = match edited(args, format, entry, &old.text, file)? {
        Edited::Same => {
            say(app, args, file, &Written::default());
            return Ok(());
        }
        Edited::Taken(other) => {
            let name = &entry.name;
            let what = format!(
                "{} has another server with the name {name}: {other}",
                file.display()
            );
            return Err(Failure::new(Exit::Usage, what, "replace it with --force"));
        }
        Edited::Changed(new) => new,
    };
    if !matches!(edited(args, format, entry, &new, file), Ok(Edited::Same)) {
        let what = format!("{} would not be read as it is meant", file.display());
        return Err(Failure::new(Exit::Bug, what, crate::failure::REPORT));
    }
    let stamp = app.runtime.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let backup = old.replace_with(&new, &stamp)?;
    app.output.say(file::diff(&old.text, &new).trim_end());
    let changed = true;
    say(app, args, file, &Written { changed, backup });
    Ok(())
}

/// What was done to a file, and where the one before it is.
#[derive(Default)]
struct Written {
    changed: bool,
    backup: Option<PathBuf>,
}

fn say(app: &App, args: &McpConfigArgs, file: &Path, written: &Written) {
    let Written { changed, backup } = written;
    if let Some(backup) = backup {
        let line = format!("The file before it is {}.", backup.display());
        app.output.say(&line);
    }
    if app.output.json {
        app.output.data_json(&json!({
            "client": args.client.name(),
            "file": file,
            "changed": changed,
            "backup": backup,
        }));
    } else if *changed {
        let next = args.client.next();
        app.output
            .say(&format!("{} has it now; {next}", file.display()));
    } else {
        app.output
            .say(&format!("{} has it already", file.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::notion;

    #[test]
    fn a_hold_is_written_as_it_would_be_typed() {
        for (seconds, typed) in [(1800, "30m"), (7200, "2h"), (90, "90s"), (0, "0s")] {
            let hold = HoldArgs {
                hold: Some(Duration::from_secs(seconds)),
                open_browser: seconds == 90,
            };
            let words = words(&notion(), &hold);
            assert_eq!(
                words.get(..4),
                Some(&["mcp", "notion", "--hold", typed].map(str::to_owned)[..])
            );
            assert_eq!(words.len() == 5, seconds == 90);
            assert_eq!(
                crate::args::parse_duration(typed),
                Ok(Duration::from_secs(seconds))
            );
        }
    }
}
