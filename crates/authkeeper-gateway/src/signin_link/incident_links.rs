//! The sign-in link of an incident.

use std::sync::Arc;

use authkeeper::model::{ConnectionName, Record};

use super::{hold::SignInHost as _, host::LinkHost, leader::Links, policy::is_resolved_by_sign_in};

/// Gives an incident its link: from this process's link host where it holds calls, else from another process.
pub struct IncidentLinks {
    links: Links,
    host: Option<Arc<LinkHost>>,
}

impl IncidentLinks {
    /// `host` is this process's own, if it holds calls.
    pub fn new(links: Links, host: Option<Arc<LinkHost>>) -> Self {
        Self { links, host }
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
