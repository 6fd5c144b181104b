//! Tries an MCP client in a built-in scenario: starts the client as often as the scenario says, and reports.

mod client;
mod report;

use std::time::Duration;

pub use self::{
    client::{ClientCommand, ClientContext, ClientError},
    report::ScenarioReport,
};
use crate::{
    revision::Revision,
    sandbox::{Sandbox, StartError},
    scenarios::{BuiltIn, ClientEnd},
    settings::SandboxSettings,
};

/// An access token has surely ended this long after its end.
const AFTER_THE_END: Duration = Duration::from_millis(300);
/// What the end of a client sets off is over after this time.
const SETTLED: Duration = Duration::from_millis(200);
/// A client that was started by hand is done when nothing came for this long.
const DONE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// A sandbox in which one built-in scenario plays.
#[derive(Debug)]
pub struct ScenarioTrial {
    scenario: BuiltIn,
    revision: Revision,
    sandbox: Sandbox,
}

impl ScenarioTrial {
    /// Starts the sandbox.
    ///
    /// # Errors
    ///
    /// The port can't be had.
    pub async fn start(
        settings: SandboxSettings,
        scenario: BuiltIn,
        revision: Revision,
    ) -> Result<Self, StartError> {
        let sandbox = Sandbox::start_built_in(settings, scenario, revision).await?;
        Ok(Self {
            scenario,
            revision,
            sandbox,
        })
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Starts the client as often as the scenario says, and waits for each.
    ///
    /// # Errors
    ///
    /// The client can't be started.
    pub async fn run(&self, client: &ClientCommand) -> Result<Vec<ClientEnd>, ClientError> {
        let context = ClientContext::of(&self.scenario, self.revision);
        let url = self.sandbox.url();
        let runs = self.scenario.runs();
        let mut ends = Vec::new();
        for (index, at_once) in runs.at_once().iter().enumerate() {
            if index > 0 {
                if runs.waits() {
                    tokio::time::sleep(self.sandbox.access_left() + AFTER_THE_END).await;
                }
                self.sandbox.next_run();
            }
            if *at_once == 1 {
                ends.push(client.run(url, &context).await?);
            } else {
                let (first, second) =
                    tokio::join!(client.run(url, &context), client.run(url, &context));
                ends.extend([first?, second?]);
            }
        }
        tokio::time::sleep(SETTLED).await;
        Ok(ends)
    }

    /// Waits until a client that was started by hand is done.
    pub async fn until_quiet(&self) {
        while self.sandbox.quiet_for().is_none_or(|quiet| quiet < DONE) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops the sandbox and reports. `ends` is how the client's processes ended, if known.
    pub async fn finish(self, ends: &[ClientEnd]) -> ScenarioReport {
        let checks = self.sandbox.checks(ends);
        self.sandbox.stop().await;
        ScenarioReport::new(self.scenario, self.revision, checks)
    }
}
