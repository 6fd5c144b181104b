//! A desk in a process of its own, for bridges: an MCP client that grows tired of waiting ends the bridge, and kills it if it
//! likes, with a person in the middle of the sign-in. What attends to them stays for the rest of the hold.

use std::{path::PathBuf, process::Stdio, time::Duration};

use authkeeper::{model::ConnectionName, platform::clock::Seams};
use tokio::process::Command;

use super::{
    attendant::{Attendant, is_over, until},
    is_mended_by_sign_in,
};
use crate::app::App;

/// How often it is looked whether there is still something to attend to.
const LOOK: Duration = Duration::from_secs(1);
/// For the browser to be told how it went, and for a second click.
const LINGER: Duration = Duration::from_secs(5);

/// How a process that attends is started.
#[derive(Debug)]
pub(super) struct Apart {
    pub(super) limit: Duration,
}

impl Apart {
    /// It gives up at once if another attends already.
    pub(super) fn start(&self, connection: &ConnectionName) -> std::io::Result<()> {
        let limit = format!("{}s", self.limit.as_secs().max(1));
        let mut attend = Command::new(std::env::current_exe()?);
        attend
            .args(["attend", connection.as_str(), "--for", &limit])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Who ends the bridge's whole group does not mean the person.
            .process_group(0);
        attend.spawn().map(drop)
    }
}

/// Attends until the sign-in is there, the time is over, or the store is gone.
pub(crate) async fn attend(app: &App, connection: &ConnectionName, limit: Duration) {
    let attendant = Attendant::new(app.runtime.clone(), app.links(), app.output, None);
    if !attendant.leads(connection).await {
        return;
    }
    let clock = Seams::system().clock;
    let over = until(&app.runtime, connection, |status| {
        is_over(status, is_mended_by_sign_in)
    });
    let store: PathBuf = app.settings.runtime.store.clone();
    let attending = async {
        let began = clock.now();
        while clock.now().boot_since(began).unwrap_or_default() < limit && store.exists() {
            clock.sleep(LOOK).await;
            attendant.leads(connection).await;
        }
    };
    tokio::select! {
        () = over => {
            attendant.resigns(connection).await;
            clock.sleep(LINGER).await;
        }
        () = attending => {}
    }
}
