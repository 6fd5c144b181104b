//! A sandbox that can be as bad as the world: an OAuth authorization server, an MCP server and a plain API in one
//! process, with faults on demand.
//!
//! It shares no code with the library it is there to judge.
//!
//! ```text
//! server (sockets, waiting) ─▶ world (one value, no waiting) ─┬─▶ oauth     the authorization server
//!                                                             ├─▶ resource  MCP server and API
//!                                                             ├─▶ control   what a judge does and asks
//!                                                             └─▶ page      what a person sees
//! profile, answers   how a real server behaves, and its words
//! fault, scenario    what goes wrong, and when
//! builtin            scenarios by name, which judge a client
//! ```
//!
//! Endpoints: `/authorize`, `/token`, `/register`, `/revoke`, `/introspect`, `/device_authorization`, `/device`,
//! `/userinfo`, `/mcp`, `/api/me`, `/api/items`, `/api/work`, `/api/admin`, the well-known documents, `/control/…`
//! ([`control`]), and a page for people at `/`.
//!
//! The issuer is the URL itself, whatever the profile: `FastMCP`, which is modelled by [`Profile::SingleUse`], puts a slash
//! behind its own.

pub mod action;
mod answers;
mod builtin;
mod clock;
pub mod control;
pub mod fault;
mod oauth;
mod page;
mod profile;
mod random;
mod resource;
pub mod scenario;
mod server;
mod settings;
mod store;
mod tally;
mod wire;
mod world;

use std::{io, time::Duration};

use serde_json::Value;
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};

pub use self::{
    action::{Action, ActionError},
    builtin::{
        BuiltIn, Check, ClientEnd, Revision, Runs, SpecReference, Status, UnknownRevision, Verdict,
    },
    fault::{Endpoint, Fault, FaultKind, InvalidFault},
    profile::{Profile, UnknownProfile},
    scenario::{Finding, Scenario, ScenarioError},
    settings::{AuthMethod, ClientSpec, Rules, Settings},
    tally::{Counters, Event, GrantView, Mood},
};
use self::{server::Shared, world::World};

/// A sandbox that serves. Dropped, it stops.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    world: Shared,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// Why a sandbox can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port can't be had.
    #[error("can't listen on 127.0.0.1:{port}")]
    Port {
        /// The port asked for.
        port: u16,
        /// Why.
        source: io::Error,
    },
}

impl Sandbox {
    /// Listens on 127.0.0.1 and serves in the background until stopped or dropped.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let port = settings.port;
        let failed = |source| StartError::Port { port, source };
        let listener = server::listen(port).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let url = format!("http://{address}");
        let world = Shared::new(World::new(settings, url.clone()));
        let (stop, stopped) = watch::channel(false);
        let work = server::serve(listener, world.clone(), stopped);
        #[expect(
            clippy::disallowed_methods,
            reason = "its owner is the sandbox, which keeps the handle"
        )]
        let serving = tokio::spawn(work);
        world.lock().play();
        Ok(Self {
            url,
            world,
            stop,
            serving,
        })
    }

    /// Where it is: `http://127.0.0.1:PORT`, which is also the issuer.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.world.lock().counters()
    }

    /// The handle by which it is driven.
    pub fn control(&self) -> Control {
        Control {
            world: self.world.clone(),
        }
    }

    /// The events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.world.lock().log.listen()
    }

    /// What the scenario expects, compared with what was counted so far; empty without a scenario.
    pub fn verdict(&self) -> Vec<Finding> {
        let world = self.world.lock();
        let playing = world.playing.as_ref();
        playing
            .map(|playing| playing.scenario.verdict(&world.counters()))
            .unwrap_or_default()
    }

    /// What a built-in scenario has to say so far; empty without one. `ends` is how the client's processes ended, if they are
    /// known.
    pub fn checks(&self, ends: &[ClientEnd]) -> Vec<Check> {
        builtin::checks(&self.world.lock(), ends)
    }

    /// The client of a built-in scenario is started once more.
    pub fn next_run(&self) {
        if let Some(stage) = &mut self.world.lock().stage {
            stage.next_run();
        }
    }

    /// For how long an access token is still good: of those that live, the one that lives longest.
    pub fn access_left(&self) -> Duration {
        self.world.lock().access_left()
    }

    /// For how long nothing has come since a built-in scenario's client called the tool; none if it has not.
    pub fn quiet_for(&self) -> Option<Duration> {
        let world = self.world.lock();
        world.stage.as_ref()?.quiet_for(world.now())
    }

    /// Stops serving and closes every connection.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
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
    world: Shared,
}

impl Control {
    /// Does something, and says what came of it: a new secret, a new key, a number.
    pub fn act(&self, action: Action) -> Result<Value, ActionError> {
        self.world.lock().act(action)
    }

    /// The same in words, as in a scenario: `say("disable alice")`.
    pub fn say(&self, words: &str) -> Result<Value, ActionError> {
        self.act(words.parse()?)
    }

    /// Sets a fault, and gives its number.
    pub fn fault(&self, fault: Fault) -> u32 {
        self.world.lock().faults.add(fault)
    }

    /// Moves the clock on.
    pub fn advance(&self, time: Duration) {
        self.world.lock().clock.advance(time);
    }

    /// What `GET /control/state` answers.
    pub fn state(&self) -> Value {
        control::state(&self.world.lock())
    }

    /// Every secret there is: tokens, codes, client secrets and keys, to look for where none may be. Not offered by HTTP.
    pub fn issued(&self) -> Vec<String> {
        let world = self.world.lock();
        let store = &world.store;
        let secrets = store.clients.values().flat_map(|client| &client.secrets);
        let texts = store.access.keys().chain(store.refresh.keys());
        let texts = texts.chain(store.codes.keys()).chain(store.devices.keys());
        let texts = texts.chain(secrets.map(|secret| &secret.value));
        let texts = texts.chain(store.keys.values().map(|key| &key.value));
        texts.cloned().collect()
    }
}
