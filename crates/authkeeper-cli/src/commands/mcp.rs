//! `mcp`: the stdio bridge to a remote MCP server.

use std::{io::IsTerminal as _, sync::Arc};

use authkeeper::{clock::Seams, model::ConnectionName};
use tokio::io::BufReader;

use super::run::{Report, Watching};
use crate::{
    app::App,
    args::McpArgs,
    authority::{Keeping, OpenTroubles},
    carry::{Bound, Carrier},
    exit::Exit,
    failure::Failure,
    hold::{Holding, Inviting},
    mcp::{self, Memory},
};

pub(crate) async fn serve(app: &App, args: &McpArgs) -> Result<(), Failure> {
    let name = ConnectionName::parse(&args.name)?;
    let status = app.runtime.status(&name).await?;
    let task = app.task().await;
    let Holding { hold, attendant } = Holding::asked(app, &args.hold);
    let authority = Keeping::new(app.runtime.clone(), task.clone(), app.links());
    let carrier = Carrier::new(Arc::new(authority)).holding(hold);
    let upstream = Bound::new(Arc::new(carrier), name.clone());
    let upstream = Arc::new(upstream.owner_is_told(app.notifier().is_set()));
    let _keeper = app.runtime.keep_fresh(vec![name.clone()]);
    // Inside a run only `run` tells of trouble; elsewhere nobody else would.
    if task.is_none() {
        let inviting = Inviting::new(app.links(), attendant);
        let troubles = OpenTroubles::new(app.runtime.clone(), vec![name], None, inviting);
        app.watch(Watching::start(
            Arc::new(troubles),
            app.notifier(),
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

fn options(app: &App, url: &str) -> mcp::Options {
    let data = &app.settings.runtime.data;
    mcp::Options {
        memory: Some(Memory::beside(data, url, Seams::system().clock)),
        ..mcp::Options::default()
    }
}
