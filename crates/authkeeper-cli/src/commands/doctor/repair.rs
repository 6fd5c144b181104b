//! The repair of a damaged store.

use authkeeper::{
    platform::process_lease::{Liveness as _, Owners},
    store::{
        StoreError,
        sqlite::{Salvaged, examine, salvage},
    },
};
use serde_json::json;

use crate::{
    exit::Exit,
    failure::Failure,
    output::{self, CommandOutput},
    settings::CliSettings,
};

pub(super) fn repaired_json(saved: &Salvaged) -> serde_json::Value {
    let rows = saved.rows.iter();
    let rows: serde_json::Map<_, _> = rows.map(|(table, n)| (table.clone(), json!(n))).collect();
    json!({"kept": saved.kept_at.display().to_string(), "rows": rows})
}

/// Carries what can still be read into a new store. A sound store is left alone: other processes may be using it.
pub(super) fn repair(
    settings: &CliSettings,
    output: CommandOutput,
    stamp: &str,
) -> Result<Option<Salvaged>, Failure> {
    let store = &settings.runtime.store;
    if !store.exists() {
        let what = format!("there is no store at {}", store.display());
        return Err(Failure::new(
            Exit::Store,
            what,
            "nothing to repair; authkeeper connect makes one",
        ));
    }
    match examine(store) {
        Ok(()) => {
            output.say("Nothing to repair: every page of the store can be read.");
            return Ok(None);
        }
        Err(StoreError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // A process that still has the damaged file open would go on spending from it, unseen.
    if Owners::new(settings.runtime.data.join("owners")).others_live() {
        let what = "another authkeeper is at work with this store";
        let next = "end every authkeeper run, mcp and token first, then repair";
        return Err(Failure::new(Exit::Unavailable, what, next));
    }
    let saved = salvage(store, stamp).map_err(|error| unsaved(error, settings))?;
    if !output.json {
        tell(&saved, output);
    }
    Ok(Some(saved))
}

fn unsaved(error: StoreError, settings: &CliSettings) -> Failure {
    if !matches!(error, StoreError::Damaged { .. }) {
        return error.into();
    }
    let store = settings.runtime.store.display();
    Failure::new(
        Exit::Store,
        format!(
            "nothing in {store} can be read any more, so nothing could be saved; it is left as it was"
        ),
        "restore it from a backup, or move it away and authkeeper connect each connection again",
    )
}

fn tell(saved: &Salvaged, output: CommandOutput) {
    let rows = |name: &str| {
        let row = saved.rows.iter().find(|(table, _)| table == name);
        row.map_or(0, |(_, n)| usize::try_from(*n).unwrap_or(usize::MAX))
    };
    output.data(&format!(
        "{}, {} and {} were saved; the damaged file is kept at {}",
        output::count(rows("connection"), "connection"),
        output::count(rows("grant_family"), "grant"),
        output::count(rows("registration"), "client"),
        saved.kept_at.display()
    ));
    output.say(if rows("connection") == 0 {
        "No connection could be saved: authkeeper connect each one again, or restore the store from a backup."
    } else {
        "What authkeeper status does not list was lost: authkeeper connect adds it again. A grant that was damaged \
         shows there; authkeeper reauthorize restores it."
    });
}
