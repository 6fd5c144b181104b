//! `mcp`: the stdio bridge to a remote MCP server.

use std::{io::IsTerminal as _, sync::Arc};

use async_trait::async_trait;
use authkeeper::{model::ConnectionName, platform::clock::Seams};
use http::Response;
use tokio::io::BufReader;

use super::run::{Report, Watching};
use crate::{
    app::App,
    args::McpArgs,
    authority::{Keeping, OpenIncidents},
    carry::{Bound, Carrier},
    exit::Exit,
    failure::Failure,
    hold::{Holding, Inviting},
    mcp::{self, Memory, ResponseBody, Upstream, UpstreamError, UpstreamRequest},
    signals,
};

pub(crate) async fn serve(app: &App, args: &McpArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let status = app.runtime.status(&name).await?;
    let task = app.task().await;
    let Holding { hold, attendant } = Holding::asked_of_a_bridge(app, &args.hold);
    let authority = Keeping::new(app.runtime.clone(), task.clone(), app.links());
    let carrier = Carrier::new(Arc::new(authority)).holding(hold);
    let upstream = Bound::new(Arc::new(carrier), name.clone());
    let notifier = app.notifier();
    let upstream = Arc::new(upstream.owner_is_told(notifier.is_set()));
    let _keeper = app.runtime.keep_fresh(vec![name.clone()]);
    // Inside a run only `run` tells of incident; elsewhere nobody else would.
    if task.is_none() {
        let inviting = Inviting::new(app.links(), attendant);
        let incidents = OpenIncidents::new(app.runtime.clone(), vec![name], None, inviting);
        app.watch(Watching::start(
            Arc::new(incidents),
            notifier,
            Report::new(std::io::stderr()),
        ));
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
    let refusing = Arc::new(Refusing(message));
    tokio::select! {
        _ = signals::stopped() => {}
        served = mcp::serve(refusing, input, output, mcp::Options::default()) => {
            if let Err(error) = served {
                tracing::debug!(%error, "the client is not told");
            }
        }
    }
}

struct Refusing(String);

#[async_trait]
impl Upstream for Refusing {
    async fn send(
        &self,
        _request: UpstreamRequest,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let message = self.0.clone();
        Err(UpstreamError::NotStarted { message })
    }
}

fn options(app: &App, url: &str) -> mcp::Options {
    let data = &app.settings.runtime.data;
    mcp::Options {
        memory: Some(Memory::beside(data, url, Seams::system().clock)),
        ..mcp::Options::default()
    }
}
