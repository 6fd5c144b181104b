//! Reports incidents outside a run: the record on stderr once, the owner's hook once. Inside a run only `run` reports.

use authkeeper::{
    error::TokenError,
    model::{ConnectionName, Incident},
    store::CarriedCall,
};
use authkeeper_gateway::{
    alerts::{Delivery, IncidentFeed as _, Notifier},
    error::CallError,
    open_incidents::OpenIncidents,
    signin_link::IncidentLinks,
};

use crate::app::App;

/// After a command that needed a connection: reports its incidents. Inside a run, records for the run whether the call
/// failed for lack of authority instead.
pub(crate) async fn report(app: &App, connection: &ConnectionName, error: Option<&TokenError>) {
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
    let incidents = OpenIncidents::new(
        app.runtime.clone(),
        vec![connection.clone()],
        None,
        IncidentLinks::new(app.links(), None),
    );
    for incident in incidents.open().await.unwrap_or_default() {
        // The error itself tells a person the same.
        if error.is_none() || !app.output.tells_records() {
            app.output.record(&incident.record);
        }
        // A call that fails was not spared; else nobody is notified of what the next resend may heal.
        if error.is_some() || incidents.is_due(&incident).await.unwrap_or_default() {
            tell_owner(app, &incidents, &incident).await;
        }
    }
}

/// Notifies the owner of an incident, unless another process did.
async fn tell_owner(app: &App, incidents: &OpenIncidents, incident: &Incident) {
    let notifier = app.notifier();
    let Ok(record) = serde_json::to_string(&incident.record) else {
        return;
    };
    if notifier.is_set() && !incident.notified {
        if let Err(error) = notifier.queue(&incident.id, &record) {
            app.output.say(&format!(
                "authkeeper: the webhook can't be kept, the owner may not know: {error}"
            ));
        }
        run_hook(app, &notifier, (incident, &record)).await;
    }
    if !incidents.is_open(&incident.id).await {
        notifier.drop_queued(&incident.id);
    } else if notifier.due().contains(&incident.id)
        && let Some(said) = notifier
            .attempt(&incident.id)
            .await
            .and_then(Delivery::warning)
    {
        app.output.say(&said);
    }
}

async fn run_hook(app: &App, notifier: &Notifier, (incident, record): (&Incident, &str)) {
    if !app
        .runtime
        .claim_notification(&incident.id)
        .await
        .unwrap_or(false)
    {
        return;
    }
    let Some(hook) = notifier.hook() else {
        return;
    };
    if let Err(error) = hook.run(record).await {
        app.output.say(&format!(
            "authkeeper: on_incident failed, the owner may not know: {error}"
        ));
    }
}
