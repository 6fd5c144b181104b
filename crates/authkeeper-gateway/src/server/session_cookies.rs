//! Cookies of the sessions that clients of the daemon have with servers: the client never sees them, so the daemon sends them
//! back with the session's id. A load balancer finds the session's node by them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use authkeeper::model::ConnectionName;
use http::{HeaderMap, HeaderValue};

use crate::{forward::CookieJar, mcp::SESSION_ID};

/// Sessions whose cookies are kept; the one that was silent for longest goes first.
const MOST: usize = 256;

/// The cookies of each session.
#[derive(Default)]
pub(super) struct SessionCookies(Mutex<VecDeque<KeptSession>>);

struct KeptSession {
    connection: ConnectionName,
    id: HeaderValue,
    cookies: Arc<CookieJar>,
}

impl SessionCookies {
    /// Those of the session that a request names; none yet where it names none.
    pub(super) fn of(&self, connection: &ConnectionName, asked: &HeaderMap) -> Arc<CookieJar> {
        let kept = self.kept();
        let id = asked.get(SESSION_ID);
        let known = kept
            .iter()
            .find(|kept| kept.connection == *connection && Some(&kept.id) == id);
        known.map_or_else(Arc::default, |kept| Arc::clone(&kept.cookies))
    }

    /// Keeps them, if there are any, for the session of this id, which the request or its answer named.
    pub(super) fn keep(
        &self,
        connection: &ConnectionName,
        id: Option<&HeaderValue>,
        cookies: Arc<CookieJar>,
    ) {
        let Some(id) = id.filter(|_| !cookies.is_empty()) else {
            return;
        };
        let mut kept = self.kept();
        kept.retain(|kept| kept.connection != *connection || kept.id != *id);
        kept.push_back(KeptSession {
            connection: connection.clone(),
            id: id.clone(),
            cookies,
        });
        if kept.len() > MOST {
            kept.pop_front();
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<KeptSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that a message belongs to.
pub(super) fn session_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(SESSION_ID).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar() -> Arc<CookieJar> {
        let jar = CookieJar::default();
        let set = (http::header::SET_COOKIE, HeaderValue::from_static("s=1"));
        let (answer, now) = (HeaderMap::from_iter([set]), jiff::Timestamp::UNIX_EPOCH);
        jar.hear(&"https://mcp.example/".parse().unwrap(), &answer, now);
        Arc::new(jar)
    }

    #[test]
    fn the_session_that_was_silent_for_longest_is_forgotten_first() {
        let sessions = SessionCookies::default();
        let name = ConnectionName::parse("notion").unwrap();
        let id = |number: usize| HeaderValue::from(number);
        let asked = |number: usize| HeaderMap::from_iter([(SESSION_ID, id(number))]);
        let first = jar();
        sessions.keep(&name, Some(&id(0)), Arc::clone(&first));
        for number in 1..=MOST {
            sessions.keep(&name, Some(&id(number)), jar());
            let known = sessions.of(&name, &asked(0));
            assert_eq!(Arc::ptr_eq(&known, &first), number < MOST);
        }
        // A session without cookies takes no place.
        sessions.keep(&name, Some(&id(MOST + 1)), Arc::default());
        let other = ConnectionName::parse("other").unwrap();
        let last = sessions.of(&name, &asked(MOST));
        assert!(Arc::ptr_eq(&last, &sessions.of(&name, &asked(MOST))));
        assert!(!Arc::ptr_eq(&last, &sessions.of(&other, &asked(MOST))));
    }
}
