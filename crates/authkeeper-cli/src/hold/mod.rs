//! Hold: a call that nobody is authorized to make waits while a person signs in, then goes on.
//!
//! ```text
//! Carrier ─▶ Hold ─▶ Mending ─┬─ what is stored: over? (seen within 50 ms, whoever mended it)
//!                             └─ Attendant ─▶ Lead (an OS lock: one process of all) ─▶ Desk (the link)
//! ```
//!
//! One process of those that hold calls of a connection attends to the person: it listens on loopback, and its address is
//! the link that the notification carries. Each click begins a sign-in of its own, with a fresh `state` and verifier, and
//! the browser is sent on to the provider. If that process ends, another takes over, at the same address if it is free.
//! Bridges have it started ([`apart`]): their clients may end them at any time.

mod apart;
mod attendant;
mod desk;
mod lead;
mod wait;

pub(crate) use self::{
    apart::attend,
    attendant::Attendant,
    lead::Links,
    wait::{Hold, Mending},
};
use std::{sync::Arc, time::Duration};

use authkeeper::{
    model::{ConnectionName, ConnectionState, Event, GrantType, Record},
    platform::clock::Seams,
    runtime::ConnectionStatus,
};

use crate::{app::App, args::HoldArgs};

/// What `--hold` asks of a process; nothing without it.
#[derive(Default)]
pub(crate) struct Holding {
    pub(crate) hold: Option<Arc<Hold>>,
    pub(crate) attendant: Option<Arc<Attendant>>,
}

impl Holding {
    pub(crate) fn asked(app: &App, args: &HoldArgs) -> Self {
        Self::with(app, args, |attendant, _limit| attendant)
    }

    /// Of a process that its caller may end at any time.
    pub(crate) fn asked_of_a_bridge(app: &App, args: &HoldArgs) -> Self {
        Self::with(app, args, Attendant::apart)
    }

    fn with(app: &App, args: &HoldArgs, sent: impl Fn(Attendant, Duration) -> Attendant) -> Self {
        let Some(limit) = args.hold else {
            return Self::default();
        };
        let browser = args.open_browser.then(|| app.environment.clone());
        let attendant = Attendant::new(app.runtime.clone(), app.links(), app.output, browser);
        let attendant = Arc::new(sent(attendant, limit));
        let hold = Hold::new(attendant.clone(), Seams::system().clock, limit);
        Self {
            hold: Some(Arc::new(hold)),
            attendant: Some(attendant),
        }
    }
}

/// Gives an incident its link: through a desk of this process's where it holds calls, else one of another's.
pub(crate) struct Inviting {
    links: Links,
    attendant: Option<Arc<Attendant>>,
}

impl Inviting {
    pub(crate) fn new(links: Links, attendant: Option<Arc<Attendant>>) -> Self {
        Self { links, attendant }
    }

    pub(crate) async fn link(
        &self,
        connection: &ConnectionName,
        record: &Record,
    ) -> Option<String> {
        match &self.attendant {
            Some(attendant) => attendant.invite(connection, record).await,
            None if is_mended_by_sign_in(record) => self.links.link(connection),
            None => None,
        }
    }
}

/// Whether signing in again is what mends this incident. Only then somebody is asked to.
pub(crate) fn is_mended_by_sign_in(record: &Record) -> bool {
    let sign_in = format!("authkeeper reauthorize {}", record.connection);
    let lost = matches!(
        record.event,
        Event::ReauthorizationRequired | Event::AuthorityLost
    );
    record.action == sign_in || (lost && record.action.ends_with(&sign_in))
}

/// Whether a person signs in to such a connection. Elsewhere a link leads to nobody's sign-in: what is to be mended is a file,
/// a key or a client.
pub(crate) fn is_signed_in_to(grant_type: Option<GrantType>) -> bool {
    match grant_type {
        Some(GrantType::AuthorizationCode | GrantType::DeviceCode) | None => true,
        Some(_) => false,
    }
}

/// Whether a sign-in is what a connection waits for.
pub(crate) fn needs_sign_in(status: &ConnectionStatus) -> bool {
    let mut incidents = status.incidents.iter();
    let needs = matches!(
        status.state,
        ConnectionState::ReauthorizationRequired { .. }
    ) || incidents.any(|incident| is_mended_by_sign_in(&incident.record));
    needs && is_signed_in_to(status.grant_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carry::tests::record;

    #[test]
    fn links_are_for_what_a_person_signs_in_to() {
        use GrantType as G;
        for grant in [None, Some(G::AuthorizationCode), Some(G::DeviceCode)] {
            assert!(is_signed_in_to(grant), "{grant:?}");
        }
        for grant in [G::ClientCredentials, G::JwtBearer, G::IdJag, G::ApiKey] {
            assert!(!is_signed_in_to(Some(grant)), "{grant:?}");
        }
    }

    #[test]
    fn nobody_is_asked_to_sign_in_where_that_mends_nothing() {
        let lost = record(Event::ReauthorizationRequired, "notion");
        assert!(is_mended_by_sign_in(&lost));
        let with = |event, action: &str| {
            let action = action.to_owned();
            is_mended_by_sign_in(&Record {
                event,
                action,
                ..lost.clone()
            })
        };
        let (authority, narrowed) = (Event::AuthorityLost, Event::AuthorityNarrowed);
        assert!(with(
            authority,
            "sign in as ana: authkeeper reauthorize notion"
        ));
        assert!(!with(authority, "sign in: authkeeper reauthorize notion2"));
        assert!(!with(
            lost.event,
            "authkeeper rotate notion --key-file FILE"
        ));
        assert!(!with(narrowed, "nothing, or authkeeper reauthorize notion"));
    }
}
