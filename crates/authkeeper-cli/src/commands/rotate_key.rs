//! `rotate-key`: everything sealed with another key, while other processes work.

use authkeeper::{runtime::rotate_key::KeyChange, vault::ResealCount};
use serde_json::{Value, json};

use crate::{
    app::App,
    args::RotateKeyArgs,
    exit::Exit,
    failure::Failure,
    output::{Paint, count},
};

pub(crate) async fn rotate_key(app: &App, args: &RotateKeyArgs) -> Result<(), Failure> {
    check_whose_key(app, args)?;
    let change = app.runtime.change_seal_key(args.wait).await?;
    if app.output.json {
        app.output.data_json(&json_of(&change));
    } else {
        app.output.say(&said(&change));
    }
    if !change.retired {
        return Err(unfinished(&change));
    }
    if !app.output.json {
        let good = app.output.paint_err(Paint::Good, "retired");
        let line =
            format!("The old key is {good}: nothing is sealed with it, and no process holds it.");
        app.output.say(&line);
    }
    Ok(())
}

/// Refuses a key file outside the store's folder unless told that no other store uses it: another store sealed with the
/// old key would be lost.
fn check_whose_key(app: &App, args: &RotateKeyArgs) -> Result<(), Failure> {
    let settings = &app.settings.runtime;
    if args.no_other_store || settings.key.parent() == settings.store.parent() {
        return Ok(());
    }
    let what = format!(
        "{} is outside the store's folder; another store sealed with it would be lost with the old key",
        settings.key.display()
    );
    let next = "if no other store uses it: authkeeper rotate-key --no-other-store; else give each store a key of its own";
    Err(Failure::new(Exit::Usage, what, next))
}

/// What was done, whether or not the old key is retired.
fn said(change: &KeyChange) -> String {
    let begun = if change.resumed {
        "Went on with the new key that an earlier rotate-key had made."
    } else {
        "A new key is in use."
    };
    let resealed = format!(
        "Resealed: {} in the store, {} and {} beside it.",
        count(change.rows.resealed, "value"),
        count(change.answers.resealed, "answer"),
        count(change.journals.resealed, "journal"),
    );
    match change.rows.broken + change.answers.broken + change.journals.broken {
        0 => format!("{begun} {resealed}"),
        broken => {
            let broken = count(broken, "value");
            format!(
                "{begun} {resealed} {broken} could be opened with no key, damaged before, and stayed as found."
            )
        }
    }
}

fn unfinished(change: &KeyChange) -> Failure {
    let why = if change.held {
        "a process that began before still holds it".to_owned()
    } else {
        let refreshes = count(change.journals.in_use, "refresh");
        format!("it sealed the answer of {refreshes} under way")
    };
    let what = format!("the new key is in use, but the old one can't go yet: {why}");
    let next = "everything works meanwhile; run authkeeper rotate-key again later, or have it wait with --wait 10m";
    Failure::new(Exit::Person, what, next)
}

fn json_of(change: &KeyChange) -> Value {
    let of = |one: ResealCount| json!({"resealed": one.resealed, "in_use": one.in_use, "broken": one.broken});
    json!({
        "retired": change.retired,
        "resumed": change.resumed,
        "old_key_held": change.held,
        "rows": of(change.rows),
        "answers": of(change.answers),
        "journals": of(change.journals),
    })
}
