//! The sign-in link of an incident.

use std::sync::Arc;

use authkeeper::model::{ConnectionName, Record};

use super::{
    hold::SignInHost as _, host::LinkHost, leader::Links, policy::is_resolved_by_sign_in,
    public_url::PublicUrl,
};

/// Gives an incident its link: from this process's link host where it holds calls, else from another process.
pub struct IncidentLinks {
    links: Links,
    host: Option<Arc<LinkHost>>,
    /// Starts a process that serves the links that the owner is notified of.
    of_alerts: Option<Arc<LinkHost>>,
    /// Where the daemon is reached from other machines.
    public: Option<PublicUrl>,
}

impl IncidentLinks {
    /// `host` is this process's own, if it holds calls.
    pub fn new(links: Links, host: Option<Arc<LinkHost>>) -> Self {
        Self {
            links,
            host,
            of_alerts: None,
            public: None,
        }
    }

    /// The same; an incident that the owner is notified of has a link that `host` serves, if none is served yet.
    #[must_use]
    pub fn served_for_alerts(self, host: Arc<LinkHost>) -> Self {
        let of_alerts = Some(host);
        Self { of_alerts, ..self }
    }

    /// The same; the link that the owner is notified of is a page that the daemon serves there.
    #[must_use]
    pub fn at(self, public: Option<PublicUrl>) -> Self {
        Self { public, ..self }
    }

    /// The link in a notification. It is served for as long as the incident is open, also after this process has ended.
    pub(crate) async fn of_alert(
        &self,
        connection: &ConnectionName,
        record: &Record,
    ) -> Option<String> {
        let host = self.host.as_ref().or(self.of_alerts.as_ref());
        if let Some((host, public)) = host.zip(self.public.as_ref()) {
            return host.public_page(public, connection, record).await;
        }
        match host {
            Some(host) => host.invite(connection, record).await,
            None => self.link(connection, record).await,
        }
    }

    pub(crate) async fn link(
        &self,
        connection: &ConnectionName,
        record: &Record,
    ) -> Option<String> {
        match &self.host {
            Some(host) => host.invite(connection, record).await,
            None if is_resolved_by_sign_in(record) => self.links.link(connection),
            None => None,
        }
    }
}
