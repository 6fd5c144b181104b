//! `doctor`: what is wrong with the store and the key, and the repair of a damaged store.

use authkeeper::store::sqlite::salvage;
use serde_json::json;

use crate::{
    app::App,
    exit::Exit,
    failure::Failure,
    output::Output,
    settings::{Environment, Settings},
};

/// Checks that the store opens and that every connection in it can be read.
pub(crate) async fn check(
    environment: Environment,
    settings: Settings,
    output: Output,
) -> Result<(), Failure> {
    let app = App::open(environment, settings, output)?;
    let statuses = app.runtime.statuses().await?;
    let place = app.settings.runtime.store.display();
    if output.json {
        output.data_json(
            &json!({"store": place.to_string(), "connections": statuses.len(), "ok": true}),
        );
    } else {
        output.data(&format!(
            "ok: {place} opens with its key; {} connections can be read",
            statuses.len()
        ));
    }
    Ok(())
}

/// Carries what can still be read into a new store.
pub(crate) fn repair(settings: &Settings, output: Output, stamp: &str) -> Result<(), Failure> {
    let store = &settings.runtime.store;
    if !store.exists() {
        let what = format!("there is no store at {}", store.display());
        return Err(Failure::new(
            Exit::Store,
            what,
            "nothing to repair; authkeeper connect makes one",
        ));
    }
    let saved = salvage(store, stamp)?;
    let kept = saved.kept_at.display();
    if output.json {
        let rows: serde_json::Map<String, serde_json::Value> = saved
            .rows
            .iter()
            .map(|(table, count)| (table.clone(), json!(count)))
            .collect();
        output.data_json(&json!({"repaired": store.display().to_string(), "kept": kept.to_string(), "rows": rows}));
        return Ok(());
    }
    let count = |name: &str| {
        saved
            .rows
            .iter()
            .find(|(table, _)| table == name)
            .map_or(0, |(_, n)| *n)
    };
    output.data(&format!(
        "{} connections, {} grants and {} clients were saved; the damaged file is kept at {kept}",
        count("connection"),
        count("grant_family"),
        count("registration"),
    ));
    output.say("A grant that was damaged shows in authkeeper status; reauthorize mends it.");
    Ok(())
}
