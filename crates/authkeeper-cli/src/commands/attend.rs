//! `attend`: the process that serves a bridge's sign-in link. Bridges start it; nobody types it.

use authkeeper::model::ConnectionName;
use authkeeper_gateway::{report::Report, signin_link::run_detached};

use super::incident;
use crate::{app::App, args::AttendArgs, failure::Failure};

pub(crate) async fn attend(app: &App, args: &AttendArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let seams = (app.links(), Report::new(std::io::stderr()));
    let store = &app.settings.runtime.store;
    run_detached(
        &app.lifecycle,
        &app.runtime,
        seams,
        &name,
        args.limit,
        store,
    )
    .await;
    // Somebody has signed in by the link, and perhaps no other process is at work.
    if store.exists() {
        incident::tell_of_all(app).await;
    }
    Ok(())
}
