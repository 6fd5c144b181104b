//! What every command works with.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use authkeeper::{
    http::{NetTransport, Network, Transport},
    model::{ConnectionName, TaskId},
    runtime::{ConnectionStatus, Runtime},
};
use authkeeper_gateway::{
    alerts::{IncidentFeed, Notifier, NotifierSettings, Watcher},
    browser::Browser,
    check::{ValidatorSettings, validate},
    forward::Forwarder,
    lifecycle::{Lifecycle, Scope},
    report::Report,
    signin_link::{IncidentLinks, LinkHost, Links, needs_sign_in},
    token_source::TokenSource,
};

use crate::{
    failure::Failure,
    output::CommandOutput,
    process,
    settings::{CliSettings, Environment},
    sign_in_progress::SignInProgress,
    signals,
};

/// How long a process waits for a refresh under way once a signal has told it to stop. Longer than a provider takes,
/// shorter than a service manager's patience.
const STOPPED: Duration = Duration::from_mins(1);

/// How long a process serves the link in a notification. The next one that looks at the incidents starts another.
const LINKS_LAST: Duration = Duration::from_hours(30 * 24);

/// How long an answer may take to be kept, beyond the exchange itself.
const KEEPING: Duration = Duration::from_secs(10);

/// How long the last look for incidents may take, with the deliveries: longer than a hook may.
const LAST_LOOK: Duration = Duration::from_secs(35);

/// What every command works with.
pub(crate) struct App {
    /// All background tasks of this process.
    pub(crate) lifecycle: Lifecycle,
    /// Those that answer calls or make them. They end first: they begin refreshes.
    pub(crate) serving: Scope,
    /// Those that tell of incidents. They end after the refreshes, and tell what came of them.
    pub(crate) watching: Scope,
    pub(crate) environment: Environment,
    pub(crate) settings: CliSettings,
    pub(crate) output: CommandOutput,
    pub(crate) runtime: Runtime,
    /// How servers are reached.
    pub(crate) network: Arc<Network>,
    /// A signal has told this process to stop.
    hurried: AtomicBool,
    /// A refresh took too long to be waited for.
    left_behind: AtomicBool,
    sign_in: Mutex<Option<SignInProgress>>,
}

impl App {
    pub(crate) fn open(
        environment: Environment,
        settings: CliSettings,
        output: CommandOutput,
    ) -> Result<Self, Failure> {
        let network = Arc::new(settings.network());
        let transport = Arc::new(NetTransport::over(network.clone()));
        let runtime = Runtime::with_settings(settings.runtime.clone())
            .transport(transport)
            .open()?;
        let lifecycle = Lifecycle::default();
        Ok(Self {
            serving: lifecycle.scope(),
            watching: lifecycle.scope(),
            lifecycle,
            environment,
            settings,
            output,
            runtime,
            network,
            hurried: AtomicBool::new(false),
            left_behind: AtomicBool::new(false),
            sign_in: Mutex::default(),
        })
    }

    /// Who is told of incidents.
    pub(crate) fn notifier(&self) -> Notifier {
        let transport: Arc<dyn Transport> = Arc::new(NetTransport::over(self.network.clone()));
        let set = NotifierSettings {
            routes: self.settings.notify.routes(),
            outage_after: self.settings.notify.outage_after,
            data: self.settings.runtime.data.clone(),
            host: process::host_name(),
        };
        Notifier::new(set, &transport)
    }

    /// Validates these connections, or all, until this process stops serving, unless that is switched off.
    pub(crate) fn validate(&self, connections: Option<Vec<ConnectionName>>) {
        let every = self.settings.validate_every;
        if every.is_zero() {
            return;
        }
        // No call of a run: its failures are noted for none.
        let tokens = TokenSource::new(self.runtime.clone(), None, self.links());
        let forwarder = Arc::new(self.forwarder(&Arc::new(tokens)));
        let settings = ValidatorSettings { every, connections };
        validate(&self.serving, self.runtime.clone(), forwarder, settings);
    }

    /// Forwards calls over this process's network.
    pub(crate) fn forwarder(&self, tokens: &Arc<TokenSource>) -> Forwarder {
        let network = Arc::clone(&self.network);
        tokens.forwarder().over(&self.lifecycle, network)
    }

    /// The open sign-in links.
    pub(crate) fn links(&self) -> Links {
        Links::beside(&self.settings.runtime.data)
    }

    /// The links of incidents: `host` serves them where this process holds calls. Those that the owner is notified of outlive
    /// this process.
    pub(crate) fn incident_links(&self, host: Option<Arc<LinkHost>>) -> IncidentLinks {
        let links = IncidentLinks::new(self.links(), host).at(self.settings.public_url.clone());
        if self.settings.notify.routes().is_empty() {
            return links;
        }
        let report = Report::new(std::io::stderr());
        let host = self.link_host(report, None);
        links.served_for_alerts(Arc::new(host.detached(LINKS_LAST)))
    }

    /// Serves sign-in links until this process ends.
    pub(crate) fn link_host(&self, report: Report, browser: Option<Browser>) -> LinkHost {
        let (runtime, links) = (self.runtime.clone(), self.links());
        LinkHost::new(&self.lifecycle, runtime, links, report, browser)
    }

    /// The sign-in link of a connection that needs a sign-in, while a process serves one.
    pub(crate) fn link_for(&self, status: &ConnectionStatus) -> Option<String> {
        let needs = needs_sign_in(status);
        needs.then(|| self.links().link(&status.connection.name))?
    }

    /// Where there is nothing to show: how to begin.
    pub(crate) fn say_nothing_connected(&self) {
        self.output
            .say("Nothing is connected yet. authkeeper connect NAME URL signs in once.");
    }

    /// Waits for a signal that ends this process, and gives its number.
    pub(crate) async fn stopped(&self) -> u8 {
        let number = signals::stopped().await;
        self.hurried.store(true, Ordering::Relaxed);
        number
    }

    /// Watches these incidents.
    pub(crate) fn watcher(&self, incidents: impl IncidentFeed) -> Watcher {
        let (incidents, report) = (Arc::new(incidents), self.output.report());
        Watcher::new(&self.watching, incidents, self.notifier(), report)
    }

    /// Notes how far a sign-in is, for when it is cut off.
    pub(crate) fn signing_in(&self, sign_in: SignInProgress) {
        *self.sign_in() = Some(sign_in);
    }

    /// The sign-in that is under way, if there is one.
    pub(crate) fn sign_in(&self) -> std::sync::MutexGuard<'_, Option<SignInProgress>> {
        self.sign_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was begun is finished: the refreshes under way, then the telling of what came of them. No task goes on after this.
    pub(crate) async fn end(&self) {
        self.serving.end(Duration::ZERO).await;
        self.drain().await;
        // What is not delivered by then is left to the next process.
        if !self.watching.end(LAST_LOOK).await {
            tracing::warn!("the owner may not have been told of every incident");
        }
        self.lifecycle.end(Duration::ZERO).await;
    }

    /// Waits for the refreshes under way: killed after they were sent, they cost a strict provider's grant.
    pub(crate) async fn drain(&self) {
        if self.left_behind.load(Ordering::Relaxed) {
            return;
        }
        let landed = if self.hurried.load(Ordering::Relaxed) {
            self.runtime.drain(STOPPED).await
        } else {
            let longest = self.settings.runtime.rules.exchange_limit + KEEPING;
            tokio::select! {
                biased;
                landed = self.runtime.drain(longest) => landed,
                _ = self.stopped() => self.runtime.drain(STOPPED).await,
            }
        };
        if !landed {
            self.left_behind.store(true, Ordering::Relaxed);
            self.output.say(
                "authkeeper: warning: a refresh is still under way and is waited for no longer; authkeeper status \
                 shows what becomes of it",
            );
        }
    }

    /// A name that is not connected may be a slip for one that is.
    pub(crate) async fn who_may_be_meant(&self, failure: Failure) -> Failure {
        if failure.missing.is_none() {
            return failure;
        }
        let connected = self.runtime.statuses().await.unwrap_or_default();
        let names = connected.into_iter().map(|status| status.connection.name);
        failure.among(&names.collect::<Vec<_>>())
    }

    /// The failure of a command that needed this connection, with how that stands.
    pub(crate) async fn with_health(&self, name: &ConnectionName, failure: Failure) -> Failure {
        match self.runtime.status(name).await {
            Ok(status) => failure.with_health(status.health),
            Err(error) => {
                tracing::debug!(%error, "can't see how the connection stands");
                failure
            }
        }
    }

    /// The run that this process is part of, found by ancestry: some programs scrub the environment of what they start.
    pub(crate) async fn task(&self) -> Option<TaskId> {
        let ancestors = process::ancestors();
        self.runtime.task_led_by(&ancestors).await.ok().flatten()
    }
}
