//! This process's part in serving sign-in links: it runs for leader, and serves the link where it won.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::{ConnectionName, IncidentId, Record},
    platform::clock::Seams,
    runtime::Runtime,
};
use tokio::sync::Mutex;

use super::{
    detached::Detached,
    hold::{Hold, SignInHost},
    leader::{Election, Leader, LinkAddress, Links},
    policy::{has_interactive_sign_in, is_resolved_by_sign_in},
    poll::{LOOK, is_over, until},
    public_url::PublicUrl,
    server::{LinkServer, serve},
};
use crate::{
    browser::Browser,
    lifecycle::{Lifecycle, Scope},
    report::Report,
};

/// Serves the sign-in links of this process's connections until it is dropped.
pub struct LinkHost {
    lifecycle: Lifecycle,
    runtime: Runtime,
    links: Links,
    report: Report,
    /// Another process serves the link, if one can be started.
    detached: Option<Detached>,
    /// Opens a tab for each incident.
    browser: Option<Browser>,
    /// One lock each: a provider that is slow to give a link keeps no other connection's owner waiting.
    hosted: Mutex<HashMap<ConnectionName, Arc<Mutex<Option<HostedLink>>>>>,
    /// The last incident of each connection for which a tab was opened, here or elsewhere.
    tabs: Mutex<HashMap<ConnectionName, IncidentId>>,
}

/// How many looks a process that has the lock gets to publish its address.
const LOOKS_FOR_ANOTHER: usize = 60;

/// How long a provider may take to give a link of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take before the address of the link is known to others.
const FIRST: Duration = Duration::from_secs(2);

/// A link that this process serves.
struct HostedLink {
    server: Arc<LinkServer>,
    address: LinkAddress,
    /// None: another process may lead; who already opened the link is served to the end.
    leader: Option<Leader>,
    _serving: Scope,
}

impl HostedLink {
    /// What a person is told to open: on a phone, if the connection was signed in that way.
    async fn link(&mut self) -> String {
        let asked = tokio::time::timeout(PATIENCE, self.server.device_link()).await;
        let elsewhere = asked.unwrap_or_default();
        if elsewhere != self.address.elsewhere {
            self.address.elsewhere = elsewhere;
            let told = self
                .leader
                .as_mut()
                .map(|leader| leader.publish(&self.address));
            if let Some(Err(error)) = told {
                tracing::warn!(%error, "other processes don't know the link");
            }
        }
        self.address.link()
    }
}

impl LinkHost {
    /// With a `browser`, a tab is opened once for each incident.
    pub fn new(
        lifecycle: &Lifecycle,
        runtime: Runtime,
        links: Links,
        report: Report,
        browser: Option<Browser>,
    ) -> Self {
        Self {
            lifecycle: lifecycle.clone(),
            runtime,
            links,
            report,
            detached: None,
            browser,
            hosted: Mutex::default(),
            tabs: Mutex::default(),
        }
    }

    /// The same, but a separate process serves the links, for at most `limit`.
    #[must_use]
    pub fn detached(self, limit: Duration) -> Self {
        Self {
            detached: Some(Detached { limit }),
            ..self
        }
    }

    /// Calls wait for at most `limit` while this process makes sure that the link is served.
    pub fn hold(self: &Arc<Self>, limit: Duration) -> Hold {
        Hold::new(self.clone(), Seams::system().clock, limit)
    }

    /// Whether this process serves the link; it begins to, if no process does.
    pub(super) async fn leads(&self, connection: &ConnectionName) -> bool {
        self.link(connection).await;
        self.hosted(connection).await.lock().await.is_some()
    }

    async fn hosted(&self, connection: &ConnectionName) -> Arc<Mutex<Option<HostedLink>>> {
        let mut hosted = self.hosted.lock().await;
        Arc::clone(hosted.entry(connection.clone()).or_default())
    }

    /// Leaves the next incident to other processes. Pages that are still open here are answered.
    pub(super) async fn resigns(&self, connection: &ConnectionName) {
        if let Some(kept) = self.hosted(connection).await.lock().await.as_mut() {
            kept.leader = None;
        }
    }

    /// The link, whichever process serves it. A server once started stays: its link is in somebody's mail.
    async fn link(&self, connection: &ConnectionName) -> Option<String> {
        let hosted = self.hosted(connection).await;
        let mut hosted = hosted.lock().await;
        if let Some(kept) = hosted.as_mut() {
            return Some(kept.link().await);
        }
        if let Some(link) = self.link_detached(connection).await {
            return Some(link);
        }
        match self.open(connection).await {
            Ok(Some(kept)) => Some(hosted.insert(kept).link().await),
            Ok(None) => self.link_of_another(connection).await,
            Err(error) => {
                tracing::warn!(%error, %connection, "nobody can sign in by a link");
                None
            }
        }
    }

    /// None if this process has to serve the link itself.
    async fn link_detached(&self, connection: &ConnectionName) -> Option<String> {
        let detached = self.detached.as_ref()?;
        if let Some(link) = self.links.link(connection) {
            return Some(link);
        }
        match detached.start(connection) {
            Ok(()) => self.link_of_another(connection).await,
            Err(error) => {
                tracing::warn!(%error, %connection, "the link ends with this process");
                None
            }
        }
    }

    /// A process that won a moment ago has the lock before it has an address.
    async fn link_of_another(&self, connection: &ConnectionName) -> Option<String> {
        for _ in 0..LOOKS_FOR_ANOTHER {
            let link = self.links.link(connection);
            if link.is_some() {
                return link;
            }
            Seams::system().clock.sleep(LOOK).await;
        }
        None
    }

    async fn open(&self, connection: &ConnectionName) -> std::io::Result<Option<HostedLink>> {
        let Election::Won(mut leader, before) = self.links.elect(connection)? else {
            return Ok(None);
        };
        let seams = (self.runtime.clone(), self.report.clone());
        let random = || Seams::system().random_id().chars().take(16).collect();
        let serving = self.lifecycle.scope();
        let (listeners, server, mut address) =
            LinkServer::open(&serving, seams, connection.clone(), before, random).await?;
        // The link that opens on any device goes first; who waits for the address waits no longer than this.
        let asked = tokio::time::timeout(FIRST, server.device_link()).await;
        address.elsewhere = asked.unwrap_or_default();
        leader.publish(&address)?;
        serve(listeners, Arc::clone(&server));
        tracing::info!(%connection, "serving the sign-in link");
        Ok(Some(HostedLink {
            server,
            address,
            leader: Some(leader),
            _serving: serving,
        }))
    }

    /// The page at the public URL, where a sign-in resolves the incident.
    pub(super) async fn public_page(
        &self,
        public: &PublicUrl,
        connection: &ConnectionName,
        record: &Record,
    ) -> Option<String> {
        let status = self.runtime.status(connection).await.ok()?;
        if !is_resolved_by_sign_in(record) || !has_interactive_sign_in(status.grant_type) {
            return None;
        }
        let random = || Seams::system().random_id();
        match self.links.public_id(connection, status.lineage, random) {
            Ok(id) => Some(public.page(connection, &id)),
            Err(error) => {
                tracing::warn!(%error, %connection, "nobody can sign in by a link");
                None
            }
        }
    }

    /// A connection that can't be read may have one.
    async fn has_interactive_sign_in(&self, connection: &ConnectionName) -> bool {
        let status = self.runtime.status(connection).await;
        status.map_or(true, |status| has_interactive_sign_in(status.grant_type))
    }

    /// One tab an incident, whatever the number of processes.
    async fn open_tab(&self, browser: &Browser, connection: &ConnectionName, link: &str) {
        let Ok(status) = self.runtime.status(connection).await else {
            return;
        };
        let mut open = status.incidents.iter();
        let Some(incident) = open.find(|incident| is_resolved_by_sign_in(&incident.record)) else {
            return;
        };
        let mut tabs = self.tabs.lock().await;
        if tabs
            .insert(connection.clone(), incident.id.clone())
            .as_ref()
            == Some(&incident.id)
        {
            return;
        }
        match self.links.claim_tab(connection, &incident.id) {
            Ok(true) => drop(browser.open(link)),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "no tab is opened"),
        }
    }
}

#[async_trait]
impl SignInHost for LinkHost {
    async fn invite(&self, connection: &ConnectionName, record: &Record) -> Option<String> {
        if !is_resolved_by_sign_in(record) || !self.has_interactive_sign_in(connection).await {
            return None;
        }
        let link = self.link(connection).await?;
        if let Some(browser) = &self.browser {
            self.open_tab(browser, connection, &link).await;
        }
        Some(link)
    }

    async fn resolved(&self, connection: &ConnectionName, record: &Record) {
        let same = |other: &Record| other.event == record.event && other.reason == record.reason;
        until(&self.runtime, connection, |status| is_over(status, same)).await;
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::{
        http::HttpUrl,
        model::Event,
        oauth::authorize::RedirectError,
        secret::SecretString,
        signin::{ConnectRequest, Prompter, SignInMethod, SignInPrompt},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::forward::tests::record;

    /// Nobody has to be asked.
    struct Nobody;

    #[async_trait]
    impl Prompter for Nobody {
        fn invite(&self, _invitation: &SignInPrompt) {}

        async fn paste(&self) -> Option<SecretString> {
            None
        }

        fn paste_again(&self, _why: &RedirectError) {}
    }

    fn host() -> (LinkHost, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::builder(folder.path()).open().unwrap();
        let links = Links::beside(folder.path());
        let (lifecycle, report) = (Lifecycle::default(), Report::new(std::io::sink()));
        let host = LinkHost::new(&lifecycle, runtime, links, report, None);
        (host, folder)
    }

    async fn connect_with_key(host: &LinkHost, name: &ConnectionName) {
        let url = HttpUrl::parse("http://127.0.0.1:9/").unwrap();
        let mut request = ConnectRequest::new(name.clone(), url);
        request.way = SignInMethod::ApiKey {
            key: "key-5ecret".to_owned().into(),
            rotate_by: None,
        };
        host.runtime.connect(request, &Nobody).await.unwrap();
    }

    #[tokio::test]
    async fn a_link_is_given_only_for_what_a_person_signs_in_to() {
        let (host, _folder) = host();
        let key = ConnectionName::parse("key").unwrap();
        connect_with_key(&host, &key).await;
        let lost = |name: &ConnectionName| record(Event::ReauthorizationRequired, name.as_str());
        assert_eq!(host.invite(&key, &lost(&key)).await, None, "a key");
        assert_eq!(host.links.link(&key), None, "nobody serves one");
        let other = ConnectionName::parse("other").unwrap();
        let link = host.invite(&other, &lost(&other)).await.unwrap();
        assert!(link.starts_with("http://127.0.0.1:"), "{link}");
        let narrowed = record(Event::AuthorityNarrowed, "other");
        let narrowed = Record {
            action: "nothing".to_owned(),
            ..narrowed
        };
        assert_eq!(host.invite(&other, &narrowed).await, None, "no sign-in");
    }
}
