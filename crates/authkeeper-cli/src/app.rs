//! What every command works with.

use std::{sync::Arc, time::Duration};

use authkeeper::{clock::Seams, http::NetTransport, model::TaskId, runtime::Runtime};

use crate::{
    failure::Failure,
    output::Output,
    process,
    settings::{Environment, Settings},
};

/// How long a stopping process waits for a refresh under way. Longer than a provider takes, shorter than a service
/// manager's patience.
pub(crate) const DRAIN: Duration = Duration::from_mins(1);

/// What every command works with.
pub(crate) struct App {
    pub(crate) environment: Environment,
    pub(crate) settings: Settings,
    pub(crate) output: Output,
    pub(crate) runtime: Runtime,
}

impl App {
    pub(crate) fn open(
        environment: Environment,
        settings: Settings,
        output: Output,
    ) -> Result<Self, Failure> {
        let transport = Arc::new(NetTransport::new());
        let runtime = Runtime::open(&settings.runtime, Seams::system(), transport)?;
        Ok(Self {
            environment,
            settings,
            output,
            runtime,
        })
    }

    /// The run that this process is part of, found by ancestry: some programs scrub the environment of what they start.
    pub(crate) async fn task(&self) -> Option<TaskId> {
        let ancestors = process::ancestors();
        self.runtime.task_led_by(&ancestors).await.ok().flatten()
    }
}
