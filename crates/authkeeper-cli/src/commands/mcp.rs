//! `mcp`: the stdio bridge to a remote MCP server.

use std::{io::IsTerminal as _, sync::Arc};

use authkeeper::model::ConnectionName;
use tokio::io::BufReader;

use super::run::{Report, Watching};
use crate::{
    app::App,
    authority::{Keeping, OpenTroubles},
    carry::{Bound, Carrier},
    exit::Exit,
    failure::Failure,
    mcp,
};

pub(crate) async fn serve(app: &App, name: &str) -> Result<(), Failure> {
    let name = ConnectionName::parse(name)?;
    app.runtime.status(&name).await?;
    let task = app.task().await;
    let authority = Arc::new(Keeping::new(app.runtime.clone(), task.clone()));
    let upstream = Arc::new(Bound::new(Arc::new(Carrier::new(authority)), name.clone()));
    let _keeper = app.runtime.keep_fresh(vec![name.clone()]);
    // Inside a run only `run` tells of trouble; elsewhere nobody else would.
    if task.is_none() {
        let troubles = Arc::new(OpenTroubles::new(
            app.runtime.clone(),
            vec![name],
            None,
            None,
        ));
        app.watch(Watching::start(
            troubles,
            app.hook(),
            Report::new(std::io::stderr()),
        ));
    }
    if std::io::stdin().is_terminal() {
        app.output.say(
            "authkeeper mcp waits for an MCP client on standard input; put it into the client's config. Ctrl-C stops it.",
        );
    }
    let input = BufReader::new(tokio::io::stdin());
    let served = mcp::serve(
        upstream,
        input,
        tokio::io::stdout(),
        mcp::Options::default(),
    )
    .await;
    served.map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            error.to_string(),
            "the client went away; start the bridge again",
        )
    })
}
