//! `serve`: the daemon.

use std::{io, sync::Arc, time::Duration};

use authkeeper_gateway::{
    open_incidents::OpenIncidents,
    server::{self, Handle, HandleError, Limits, McpEndpoint, refresh_all},
    signin_link::{Hold, PublicSignIn},
    token_source::TokenSource,
};
use serde_json::json;
use tokio::time::timeout;

use super::hold_flags::Holding;
use crate::{app::App, args::ServeArgs, exit::Exit, failure::Failure};

/// For calls under way when the daemon is stopped.
const STOP_GRACE: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 4096;

pub(crate) async fn serve(app: &App, args: &ServeArgs) -> Result<(), Failure> {
    let store = &app.settings.runtime.store;
    let handle = Handle::beside(store, || app.runtime.random_handle())?;
    if args.print_handle {
        print(app, &handle);
        return Ok(());
    }
    let Holding { hold, host } = Holding::new(app, &args.hold);
    let endpoint = listen(app, args.port, (&handle, hold)).await?;
    let links = app.incident_links(host);
    let incidents = OpenIncidents::of_all(app.runtime.clone(), links);
    app.watcher(incidents).in_background(&app.watching);
    say_ready(app, endpoint.port(), &handle);
    endpoint.serve();
    until_stopped(app).await;
    Ok(())
}

impl From<HandleError> for Failure {
    fn from(error: HandleError) -> Self {
        let what = error.to_string();
        match error {
            HandleError::Exposed { path } => {
                let file = path.display();
                let next = format!("chmod 600 {file}, or remove it: a new one is made");
                Self::new(Exit::Config, what, next)
            }
            HandleError::Unusable { .. } => {
                Self::new(Exit::Config, what, "remove it: a new one is made")
            }
            HandleError::Unwritten { .. } => {
                let next = "check the folder's space and permissions";
                Self::new(Exit::Store, what, next)
            }
            _ => Self::new(Exit::Config, what, "check its owner and permissions"),
        }
    }
}

async fn listen(
    app: &App,
    port: u16,
    (handle, hold): (&Handle, Option<Arc<Hold>>),
) -> Result<McpEndpoint, Failure> {
    refresh_all(&app.serving, &app.runtime).await?;
    let limits = Limits {
        connections: CONNECTIONS,
        ..Limits::default()
    };
    // Whose calls these are is not known: no run is told of them.
    let tokens = Arc::new(TokenSource::new(app.runtime.clone(), None, app.links()));
    let forwarder = Arc::new(app.forwarder(&tokens).holding(hold));
    let secret = handle.secret.clone();
    let health = Arc::new(app.runtime.clone());
    let bound = McpEndpoint::bind(&app.serving, forwarder, secret, port, limits, health).await;
    let endpoint = bound.map_err(|error| not_bound(port, &error))?;
    let public = app.settings.public_url.clone();
    let (runtime, links) = (app.runtime.clone(), app.links());
    let pages = public.map(|url| PublicSignIn::new(&app.serving, runtime, links, url));
    app.validate(None);
    Ok(endpoint.with_pages(pages))
}

fn not_bound(port: u16, error: &io::Error) -> Failure {
    if server::is_taken(error) {
        let what = format!(
            "port {port} of this machine is taken: another authkeeper serve, or another program"
        );
        let next = "stop the other one (ss -ltnp shows it), or choose another with --port";
        return Failure::new(Exit::Unavailable, what, next);
    }
    let what = format!("can't listen on port {port} of 127.0.0.1: {error}");
    Failure::new(Exit::Unavailable, what, "choose another with --port")
}

/// The first signal lets calls finish, the second does not.
async fn until_stopped(app: &App) {
    app.stopped().await;
    app.serving.stop();
    app.output
        .say("authkeeper serve stops once the calls under way are answered; again to stop at once");
    tokio::select! {
        _ = timeout(STOP_GRACE, app.serving.idle()) => {}
        _ = app.stopped() => {}
    }
}

fn say_ready(app: &App, port: u16, handle: &Handle) {
    let url = format!("http://127.0.0.1:{port}");
    if app.output.json {
        app.output.data_json(&json!({
            "ready": true,
            "url": url,
            "port": port,
            "mcp": format!("{url}/mcp/NAME"),
            "handle_file": handle.path,
        }));
    }
    app.output.say(&format!(
        "authkeeper serves {url}/mcp/NAME; the handle is in {} (authkeeper serve --print-handle)",
        handle.path.display()
    ));
}

#[expect(
    clippy::disallowed_methods,
    reason = "printing the handle is what --print-handle is for"
)]
fn print(app: &App, handle: &Handle) {
    let secret = handle.secret.expose();
    if app.output.json {
        let file = &handle.path;
        let data = json!({"handle": secret, "header": format!("Authorization: Bearer {secret}"), "file": file});
        app.output.data_json(&data);
    } else {
        app.output.data(secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_others_can_read_says_what_to_do() {
        let path = "/data/handle".into();
        let failure = Failure::from(HandleError::Exposed { path });
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.next.contains("chmod 600"), "{}", failure.next);
        let path = "/data/handle".into();
        let source = io::ErrorKind::StorageFull.into();
        let failure = Failure::from(HandleError::Unwritten { path, source });
        assert_eq!(failure.exit, Exit::Store);
    }
}
