//! The process that serves a bridge's sign-in link: it survives when the MCP client kills the bridge in the middle of a
//! sign-in.

use std::{path::Path, time::Duration};

use authkeeper::{model::ConnectionName, platform::clock::Seams, runtime::Runtime};

use super::{
    host::LinkHost,
    leader::Links,
    policy::is_resolved_by_sign_in,
    poll::{is_over, until},
};
use crate::{lifecycle::Lifecycle, report::Report};

/// How often it is checked whether there is still something to serve.
const LOOK: Duration = Duration::from_secs(1);
/// For the browser to be told the outcome, and for a second click.
const LINGER: Duration = Duration::from_secs(5);

/// Serves the sign-in link until somebody has signed in, `limit` is over, or the store is gone. Returns at once if another
/// process serves it.
pub async fn run_detached(
    lifecycle: &Lifecycle,
    runtime: &Runtime,
    (links, report): (Links, Report),
    connection: &ConnectionName,
    limit: Duration,
    store: &Path,
) {
    let host = LinkHost::new(lifecycle, runtime.clone(), links, report, None);
    if !host.leads(connection).await {
        return;
    }
    let clock = Seams::system().clock;
    let over = until(runtime, connection, |status| {
        is_over(status, is_resolved_by_sign_in)
    });
    let serving = async {
        let began = clock.now();
        while clock.now().boot_since(began).unwrap_or_default() < limit && store.exists() {
            clock.sleep(LOOK).await;
            host.leads(connection).await;
        }
    };
    tokio::select! {
        () = over => {
            host.resigns(connection).await;
            clock.sleep(LINGER).await;
        }
        () = serving => {}
    }
}
