//! The handles of a sandbox: one to start and stop it, one to drive it.

use std::{io, time::Duration};

use serde_json::Value;
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};

use crate::{
    action::{Action, ActionError},
    control,
    counters::Counters,
    events::SandboxEvent,
    fault::Fault,
    revision::Revision,
    router::Router,
    scenarios::{BuiltIn, ClientEnd, ExpectationResult, Playing, ScenarioCheck, ScenarioFile},
    server::{self, Serving, SharedRouter},
    settings::SandboxSettings,
    state::SandboxState,
};

/// A running sandbox. It stops when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    router: SharedRouter,
    mode: watch::Sender<Serving>,
    serving: JoinHandle<io::Result<()>>,
}

/// Why a sandbox can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port can't be bound.
    #[error("can't listen on 127.0.0.1:{port}")]
    Port {
        /// The port asked for.
        port: u16,
        /// The operating system's error.
        source: io::Error,
    },
}

impl Sandbox {
    /// Listens on 127.0.0.1 and serves in the background until stopped or dropped.
    ///
    /// # Errors
    ///
    /// The port can't be bound.
    pub async fn start(settings: SandboxSettings) -> Result<Self, StartError> {
        Self::serve(settings, Playing::Nothing).await
    }

    /// The same, with a scenario file that plays from the start.
    ///
    /// # Errors
    ///
    /// The port can't be bound.
    pub async fn start_file(
        settings: SandboxSettings,
        file: ScenarioFile,
    ) -> Result<Self, StartError> {
        Self::serve(settings, Playing::file(file)).await
    }

    /// The same, with a built-in scenario ([`BuiltIn::settings`]). Only this revision of MCP is served.
    ///
    /// # Errors
    ///
    /// The port can't be bound.
    pub async fn start_built_in(
        settings: SandboxSettings,
        scenario: BuiltIn,
        revision: Revision,
    ) -> Result<Self, StartError> {
        Self::serve(settings, Playing::built_in(scenario, revision)).await
    }

    async fn serve(settings: SandboxSettings, playing: Playing) -> Result<Self, StartError> {
        let port = settings.port;
        let failed = |source| StartError::Port { port, source };
        let listener = server::listen(port).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let url = format!("http://{address}");
        let state = SandboxState::new(settings, url.clone());
        let router = SharedRouter::new(Router::new(state, playing));
        let (mode, told) = watch::channel(Serving::Listening);
        let work = server::serve(listener, router.clone(), told);
        #[expect(
            clippy::disallowed_methods,
            reason = "its owner is the sandbox, which keeps the handle"
        )]
        let serving = tokio::spawn(work);
        router.lock().tick();
        Ok(Self {
            url,
            router,
            mode,
            serving,
        })
    }

    /// The URL, `http://127.0.0.1:PORT`, which is also the issuer.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The counters so far.
    pub fn counters(&self) -> Counters {
        self.router.lock().state.counters_now()
    }

    /// A handle that drives the sandbox.
    pub fn control(&self) -> Control {
        Control {
            router: self.router.clone(),
        }
    }

    /// The events from now on.
    pub fn events(&self) -> broadcast::Receiver<SandboxEvent> {
        self.router.lock().state.log.listen()
    }

    /// A scenario file's expectations, compared with the counters so far; empty without one.
    pub fn verdict(&self) -> Vec<ExpectationResult> {
        let router = self.router.lock();
        router.scenario.findings(&router.state).unwrap_or_default()
    }

    /// A built-in scenario's checks so far; empty without one. `ends` is how the client's processes ended, if known.
    pub fn checks(&self, ends: &[ClientEnd]) -> Vec<ScenarioCheck> {
        let router = self.router.lock();
        let run = router.scenario.run();
        run.map(|run| run.checks(&router.state, ends))
            .unwrap_or_default()
    }

    /// Tells a built-in scenario that its client is started once more.
    pub fn next_run(&self) {
        if let Some(run) = self.router.lock().scenario.run_mut() {
            run.next_run();
        }
    }

    /// The remaining lifetime of the access token that lives longest.
    pub fn access_left(&self) -> Duration {
        self.router.lock().state.access_left()
    }

    /// How long ago the last request of a built-in scenario's client came; none before it called the tool.
    pub fn quiet_for(&self) -> Option<Duration> {
        let router = self.router.lock();
        router.scenario.run()?.quiet_for(router.state.now())
    }

    /// Refuses connections from now on and ends those that are open, as a machine that is down does. It forgets nothing.
    pub fn go_away(&self) {
        let _ = self.mode.send(Serving::Away);
    }

    /// Accepts connections again, at the same port.
    pub fn come_back(&self) {
        let _ = self.mode.send(Serving::Listening);
    }

    /// Stops serving and closes every connection.
    pub async fn stop(mut self) {
        let _ = self.mode.send(Serving::Stopped);
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Drives a sandbox from inside the program, as `/control` does from outside.
#[derive(Clone, Debug)]
pub struct Control {
    router: SharedRouter,
}

impl Control {
    /// Performs an action and returns its result: a new secret, a new key, a number.
    pub fn act(&self, action: Action) -> Result<Value, ActionError> {
        self.router.lock().act(action)
    }

    /// Performs an action in its text form: `say("disable alice")`.
    pub fn say(&self, words: &str) -> Result<Value, ActionError> {
        self.act(words.parse()?)
    }

    /// Adds a fault and returns its number.
    pub fn fault(&self, fault: Fault) -> u32 {
        self.router.lock().state.faults.add(fault)
    }

    /// Moves the clock forward.
    pub fn advance(&self, time: Duration) {
        self.router.lock().state.clock.advance(time);
    }

    /// The state as `GET /control/state` gives it.
    pub fn state(&self) -> Value {
        control::view(&self.router.lock().state)
    }

    /// Every secret that was issued (tokens, codes, client secrets, API keys), for a search of places where none may be. Not
    /// offered over HTTP.
    pub fn issued(&self) -> Vec<String> {
        let router = self.router.lock();
        let store = &router.state.store;
        let secrets = store.clients.values().flat_map(|client| &client.secrets);
        let texts = store.access.keys().chain(store.refresh.keys());
        let texts = texts.chain(store.codes.keys()).chain(store.devices.keys());
        let texts = texts.chain(secrets.map(|secret| &secret.value));
        let texts = texts.chain(store.keys.values().map(|key| &key.value));
        texts.cloned().collect()
    }
}
