//! `serve`: the daemon.

use std::{io, sync::Arc, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::sync::oneshot;

use super::run::{Report, Watching};
use crate::{
    app::App,
    args::HoldArgs,
    authority::{Keeping, OpenIncidents},
    carry::Carrier,
    daemon::{Handle, Tending},
    exit::Exit,
    failure::Failure,
    hold::{Hold, Holding, Inviting},
    proxy::{self, Limits, Proxy},
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  authkeeper serve
  authkeeper serve --hold 30m         calls wait while a person signs in
  authkeeper serve --print-handle     what a program shows to be let in
  claude mcp add --transport http notion http://127.0.0.1:8417/mcp/notion \\
    --header \"Authorization: Bearer $(authkeeper serve --print-handle)\"
  curl http://127.0.0.1:8417/healthz  200 while the store can be read

Only this machine reaches it. A client needs no sign-in of its own: it sends the
handle, and authkeeper puts the token in its place. SIGTERM or Ctrl-C lets the
calls under way finish; a second one doesn't.

Exit codes: 0 stopped · 64 usage · 69 port taken · 74 store
78 the handle's file is unusable";

/// For calls under way when the daemon is stopped.
const STOP_GRACE: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 4096;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The port on the loopback, IPv4 and IPv6; 0 takes a free one
    #[arg(long, default_value_t = 8417)]
    port: u16,
    /// Print the handle instead, made now if there is none yet
    #[arg(long, conflicts_with = "port")]
    print_handle: bool,
    #[command(flatten)]
    hold: HoldArgs,
}

pub(crate) async fn serve(app: &App, args: &ServeArgs) -> Result<(), Failure> {
    let store = &app.settings.runtime.store;
    let handle = Handle::beside(store, || app.runtime.random_handle())?;
    if args.print_handle {
        print(app, &handle);
        return Ok(());
    }
    let Holding { hold, attendant } = Holding::asked(app, &args.hold);
    let proxy = listen(app, args.port, (&handle, hold)).await?;
    let inviting = Inviting::new(app.links(), attendant);
    let incidents = OpenIncidents::of_all(app.runtime.clone(), inviting);
    let report = Report::new(io::stderr());
    app.watch(Watching::start(Arc::new(incidents), app.notifier(), report));
    say_ready(app, proxy.port(), &handle);
    until_stopped(app, proxy).await;
    Ok(())
}

struct Serving {
    proxy: Proxy,
    _tending: Tending,
}

impl Serving {
    fn port(&self) -> u16 {
        self.proxy.port()
    }
}

async fn listen(
    app: &App,
    port: u16,
    (handle, hold): (&Handle, Option<Arc<Hold>>),
) -> Result<Serving, Failure> {
    let tending = Tending::start(&app.runtime).await?;
    let limits = Limits {
        stop_grace: STOP_GRACE,
        connections: CONNECTIONS,
        ..Limits::default()
    };
    // Whose calls these are is not known: no run is told of them.
    let authority = Arc::new(Keeping::new(app.runtime.clone(), None, app.links()));
    let carrier = Arc::new(Carrier::new(authority).holding(hold));
    let secret = handle.secret.clone();
    let bound = Proxy::bind_daemon(carrier, secret, port, limits, tending.well()).await;
    Ok(Serving {
        proxy: bound.map_err(|error| not_bound(port, &error))?,
        _tending: tending,
    })
}

fn not_bound(port: u16, error: &io::Error) -> Failure {
    if proxy::is_taken(error) {
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
async fn until_stopped(app: &App, serving: Serving) {
    let Serving { proxy, _tending } = serving;
    let (stop, stopped) = oneshot::channel::<()>();
    let signals = async {
        app.stopped().await;
        drop(stop);
        app.output.say(
            "authkeeper serve stops once the calls under way are answered; again to stop at once",
        );
        app.stopped().await;
    };
    tokio::select! {
        () = proxy.serve(async { drop(stopped.await) }) => {}
        () = signals => {}
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
