//! This process's part in attending to persons: it looks what is over, runs for the lead, and keeps a desk where it won.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    error::TokenError,
    model::{ConnectionName, ConnectionState, IncidentId, Record},
    platform::clock::Seams,
    runtime::{ConnectionStatus, Runtime},
};
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    apart::Apart,
    desk::{Desk, serve},
    is_mended_by_sign_in, is_signed_in_to,
    lead::{Door, Election, Lead, Links},
    wait::Mending,
};
use crate::{browser, output::Output, settings::Environment};

/// How often it is looked whether anything was written.
const LOOK: Duration = Duration::from_millis(50);

/// Attends to the persons of this process's connections until it is dropped.
pub(crate) struct Attendant {
    runtime: Runtime,
    links: Links,
    output: Output,
    /// Has another process attend, if it can.
    apart: Option<Apart>,
    /// Where the browser's settings are, if one is to be opened.
    browser: Option<Environment>,
    /// One lock each: a provider that is slow to give a link keeps no other connection's owner waiting.
    desks: Mutex<HashMap<ConnectionName, Arc<Mutex<Option<Kept>>>>>,
    /// The last incident of each connection for which a tab was opened, here or elsewhere.
    tabs: Mutex<HashMap<ConnectionName, IncidentId>>,
}

/// How many looks a process that has the lock gets to say where its desk is.
const LOOKS_FOR_ANOTHER: usize = 60;

/// How long a provider may take to give a link of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// A desk of this process.
struct Kept {
    desk: Arc<Desk>,
    door: Door,
    /// None: another may attend; whoever is here is served to the end.
    lead: Option<Lead>,
    _serving: JoinSet<()>,
}

impl Kept {
    /// What a person is told to open: on a phone, if the connection was signed in that way.
    async fn link(&mut self) -> String {
        let asked = tokio::time::timeout(PATIENCE, self.desk.device_link()).await;
        let elsewhere = asked.unwrap_or_default();
        if elsewhere != self.door.elsewhere {
            self.door.elsewhere = elsewhere;
            let told = self.lead.as_mut().map(|lead| lead.opens(&self.door));
            if let Some(Err(error)) = told {
                tracing::warn!(%error, "other processes don't know the link");
            }
        }
        self.door.link()
    }
}

impl Attendant {
    pub(crate) fn new(
        runtime: Runtime,
        links: Links,
        output: Output,
        browser: Option<Environment>,
    ) -> Self {
        Self {
            runtime,
            links,
            output,
            apart: None,
            browser,
            desks: Mutex::default(),
            tabs: Mutex::default(),
        }
    }

    /// The same, but another process attends, for so long.
    pub(crate) fn apart(self, limit: Duration) -> Self {
        Self {
            apart: Some(Apart { limit }),
            ..self
        }
    }

    /// Whether the desk is here; it is opened if there is none.
    pub(super) async fn leads(&self, connection: &ConnectionName) -> bool {
        self.link(connection).await;
        self.desk(connection).await.lock().await.is_some()
    }

    async fn desk(&self, connection: &ConnectionName) -> Arc<Mutex<Option<Kept>>> {
        let mut desks = self.desks.lock().await;
        Arc::clone(desks.entry(connection.clone()).or_default())
    }

    /// Leaves the next incident to others. Who still looks at a page here is answered.
    pub(super) async fn resigns(&self, connection: &ConnectionName) {
        if let Some(kept) = self.desk(connection).await.lock().await.as_mut() {
            kept.lead = None;
        }
    }

    /// The link to the desk, wherever it is. A desk once opened stays: its link is in somebody's mail.
    async fn link(&self, connection: &ConnectionName) -> Option<String> {
        let desk = self.desk(connection).await;
        let mut desk = desk.lock().await;
        if let Some(kept) = desk.as_mut() {
            return Some(kept.link().await);
        }
        if let Some(link) = self.link_apart(connection).await {
            return Some(link);
        }
        match self.open(connection).await {
            Ok(Some(kept)) => Some(desk.insert(kept).link().await),
            Ok(None) => self.link_of_another(connection).await,
            Err(error) => {
                tracing::warn!(%error, %connection, "nobody can sign in by a link");
                None
            }
        }
    }

    /// None if this process has to attend itself.
    async fn link_apart(&self, connection: &ConnectionName) -> Option<String> {
        let apart = self.apart.as_ref()?;
        if let Some(link) = self.links.link(connection) {
            return Some(link);
        }
        match apart.start(connection) {
            Ok(()) => self.link_of_another(connection).await,
            Err(error) => {
                tracing::warn!(%error, %connection, "the link ends with this process");
                None
            }
        }
    }

    /// Whoever won a moment ago has the lock before it has a place.
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

    async fn open(&self, connection: &ConnectionName) -> std::io::Result<Option<Kept>> {
        let Election::Won(mut lead, before) = self.links.elect(connection)? else {
            return Ok(None);
        };
        let (runtime, output) = (self.runtime.clone(), self.output);
        let random = || Seams::system().random_id().chars().take(16).collect();
        let (listener, desk, door) =
            Desk::open((runtime, output), connection.clone(), before, random).await?;
        lead.opens(&door)?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&desk)));
        tracing::info!(%connection, "attending to whoever signs in");
        Ok(Some(Kept {
            desk,
            door,
            lead: Some(lead),
            _serving: serving,
        }))
    }

    /// What can't be looked at may be one.
    async fn is_signed_in_to(&self, connection: &ConnectionName) -> bool {
        let status = self.runtime.status(connection).await;
        status.map_or(true, |status| is_signed_in_to(status.grant_type))
    }

    /// One tab an incident, whatever the number of processes.
    async fn open_tab(&self, environment: &Environment, connection: &ConnectionName, link: &str) {
        let Ok(status) = self.runtime.status(connection).await else {
            return;
        };
        let mut open = status.incidents.iter();
        let Some(incident) = open.find(|incident| is_mended_by_sign_in(&incident.record)) else {
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
            Ok(true) => drop(browser::open(environment, link)),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "no tab is opened"),
        }
    }
}

#[async_trait]
impl Mending for Attendant {
    async fn invite(&self, connection: &ConnectionName, record: &Record) -> Option<String> {
        if !is_mended_by_sign_in(record) || !self.is_signed_in_to(connection).await {
            return None;
        }
        let link = self.link(connection).await?;
        if let Some(environment) = &self.browser {
            self.open_tab(environment, connection, &link).await;
        }
        Some(link)
    }

    async fn mended(&self, connection: &ConnectionName, record: &Record) {
        let same = |other: &Record| other.event == record.event && other.reason == record.reason;
        until(&self.runtime, connection, |status| is_over(status, same)).await;
    }
}

/// Resolves when a connection is so, or gone. What other processes write is seen within 50 ms.
pub(super) async fn until(
    runtime: &Runtime,
    connection: &ConnectionName,
    so: impl Fn(&ConnectionStatus) -> bool + Send + Sync,
) {
    let mut seen = None;
    loop {
        let now = runtime.changes().ok();
        if now.is_none() || now != seen {
            match runtime.status(connection).await {
                Ok(status) if so(&status) => return,
                Err(TokenError::NoSuchConnection { .. }) => return,
                // What was written is seen, and was something else.
                Ok(_) => seen = now,
                Err(error) => tracing::debug!(%error, "can't look at a connection"),
            }
        }
        Seams::system().clock.sleep(LOOK).await;
    }
}

/// An incident is over once calls may go on and it is not told any more.
pub(super) fn is_over(status: &ConnectionStatus, incident: impl Fn(&Record) -> bool) -> bool {
    let told = status.incidents.iter().any(|open| incident(&open.record));
    status.state == ConnectionState::Active && !told
}
