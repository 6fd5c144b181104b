//! `mcp`: the stdio bridge to a remote MCP server.

use std::{io::IsTerminal as _, sync::Arc};

use authkeeper::{model::ConnectionName, platform::clock::Seams};
use authkeeper_gateway::{
    mcp::{self, BridgeOptions, ForwardUpstream, VersionCache},
    open_incidents::OpenIncidents,
    token_source::TokenSource,
};
use tokio::io::BufReader;

use super::hold_flags::Holding;
use crate::{app::App, args::McpArgs, exit::Exit, failure::Failure, signals};

pub(crate) async fn serve(app: &App, args: &McpArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let status = app.runtime.status(&name).await?;
    let task = app.task().await;
    let Holding { hold, host } = Holding::detached(app, &args.hold);
    let tokens = Arc::new(TokenSource::new(
        app.runtime.clone(),
        task.clone(),
        app.links(),
    ));
    let forwarder = app.forwarder(&tokens).holding(hold);
    let upstream = ForwardUpstream::new(Arc::new(forwarder), name.clone());
    let upstream = upstream.owner_is_told(app.notifier().is_set());
    let _keeper = app.runtime.keep_fresh(vec![name.clone()]);
    app.validate(Some(vec![name.clone()]));
    // Inside a run only `run` tells of incidents; elsewhere nobody else would.
    if task.is_none() {
        let links = app.incident_links(host);
        let incidents = OpenIncidents::new(app.runtime.clone(), vec![name], None, links);
        app.watcher(incidents).in_background(&app.watching);
    }
    if std::io::stdin().is_terminal() {
        app.output.say(
            "authkeeper mcp waits for an MCP client on standard input; put it into the client's config. Ctrl-C stops it.",
        );
    }
    let input = BufReader::new(mcp::stdio::input());
    let output = mcp::stdio::output();
    let options = options(app, &status.connection.url);
    let served = mcp::serve(upstream, input, output, options).await;
    served.map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            error.to_string(),
            "the client went away; start the bridge again",
        )
        .in_session()
    })
}

/// Says to the client why there is no bridge: its user sees that at once, and standard error perhaps never.
pub(crate) async fn refuse(failure: &Failure) {
    if std::io::stdin().is_terminal() {
        return;
    }
    let message = format!("{}. A person must do this: {}", failure.what, failure.next);
    let input = BufReader::new(mcp::stdio::input());
    let output = mcp::stdio::output();
    tokio::select! {
        _ = signals::stopped() => {}
        served = mcp::refuse(message, input, output) => {
            if let Err(error) = served {
                tracing::debug!(%error, "the client is not told");
            }
        }
    }
}

fn options(app: &App, url: &str) -> BridgeOptions {
    let data = &app.settings.runtime.data;
    BridgeOptions {
        memory: Some(VersionCache::beside(data, url, Seams::system().clock)),
        ..BridgeOptions::default()
    }
}
