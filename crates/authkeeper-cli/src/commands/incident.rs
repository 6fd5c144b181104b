//! Reports incidents outside a run: the record on stderr, and a notification if no process has sent it. Inside a run only `run` reports.

use authkeeper::{error::TokenError, model::ConnectionName, store::CarriedCall};
use authkeeper_gateway::{
    alerts::{IncidentFeed as _, Looked},
    error::CallError,
    open_incidents::OpenIncidents,
};

use crate::app::App;

/// After a command that needed a connection: reports its incidents. Inside a run, records for the run whether the call
/// failed for lack of authority instead.
pub(crate) async fn report(app: &App, connection: &ConnectionName, error: Option<&TokenError>) {
    report_beside(app, connection, error, None).await;
}

/// The same, beside the failure that a command is about to print: a person reads the same words once.
pub(crate) async fn report_beside(
    app: &App,
    connection: &ConnectionName,
    error: Option<&TokenError>,
    said: Option<&str>,
) {
    if let Some(task) = app.task().await {
        let call = CarriedCall {
            task,
            connection: connection.clone(),
            fingerprint: "token".to_owned(),
        };
        let noted = match error {
            Some(error) => {
                let error = CallError::from(error.clone());
                app.runtime.call_failed(&call, error.reason()).await
            }
            None => app.runtime.call_recovered(&call).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "can't note the call for the run");
        }
        return;
    }
    report_open(app, connection, (error, said), |incidents| incidents).await;
}

/// The same, for a run that ends before its command is started.
pub(crate) async fn report_not_started(app: &App, connection: &ConnectionName, error: &TokenError) {
    let how = OpenIncidents::of_run_that_did_not_start;
    report_open(app, connection, (Some(error), None), how).await;
}

async fn report_open(
    app: &App,
    connection: &ConnectionName,
    (error, said): (Option<&TokenError>, Option<&str>),
    how: impl FnOnce(OpenIncidents) -> OpenIncidents,
) {
    let links = app.incident_links(None);
    let of = vec![connection.clone()];
    let mut incidents = how(OpenIncidents::new(app.runtime.clone(), of, None, links));
    if let Some(error) = error {
        let error = CallError::from(error.clone());
        incidents = incidents.with_failed(connection, error.reason());
    }
    for incident in incidents.open().await.unwrap_or_default() {
        let record = &incident.record;
        let is_said = error.is_some() || said.is_some_and(|said| said.contains(&record.detail));
        if !is_said || !app.output.tells_records() {
            app.output.record(record);
        }
    }
    tell(app, &incidents).await;
}

/// After a command that may have ended an incident: the owner is told of what is over, and of what is new.
pub(crate) async fn tell_of_all(app: &App) {
    if app.task().await.is_some() {
        return;
    }
    let links = app.incident_links(None);
    tell(app, &OpenIncidents::of_all(app.runtime.clone(), links)).await;
}

/// Notifies the owner of what no process has told yet.
async fn tell(app: &App, incidents: &OpenIncidents) {
    let notifier = app.notifier();
    if !notifier.is_set() {
        return;
    }
    match notifier.look(incidents, true).await {
        Ok(Looked {
            unkept: Some(error),
            ..
        }) => app.output.say(&format!(
            "authkeeper: a notification can't be kept, the owner may not know: {error}"
        )),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the owner may not be told"),
    }
    for line in notifier.deliver_all().await {
        app.output.say(&line);
    }
}
