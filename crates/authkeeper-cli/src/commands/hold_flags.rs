//! `--hold` and `--open-browser`, as the commands that serve calls need them.

use std::{sync::Arc, time::Duration};

use authkeeper_gateway::signin_link::{Hold, LinkHost};

use crate::{app::App, args::HoldArgs};

/// What `--hold` asks of a process; nothing without it.
#[derive(Default)]
pub(crate) struct Holding {
    pub(crate) hold: Option<Arc<Hold>>,
    pub(crate) host: Option<Arc<LinkHost>>,
}

impl Holding {
    /// This process serves the sign-in links itself.
    pub(crate) fn new(app: &App, args: &HoldArgs) -> Self {
        Self::with(app, args, |host, _limit| host)
    }

    /// A separate process serves the links, because the MCP client may end this one at any time.
    pub(crate) fn detached(app: &App, args: &HoldArgs) -> Self {
        Self::with(app, args, LinkHost::detached)
    }

    fn with(app: &App, args: &HoldArgs, place: impl Fn(LinkHost, Duration) -> LinkHost) -> Self {
        let Some(limit) = args.hold else {
            return Self::default();
        };
        let browser = args.open_browser.then(|| app.environment.browser());
        let report = app.output.report();
        let host = Arc::new(place(app.link_host(report, browser), limit));
        Self {
            hold: Some(Arc::new(host.hold(limit))),
            host: Some(host),
        }
    }
}
