//! To which of the bridge's requests a message on the one stream belongs: pure.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::mcp::codec::message::{FromServer, Id, IdKey};

/// What a message of the server's is about.
#[derive(Debug, Default)]
pub(super) struct About {
    answers: Vec<IdKey>,
    progress: Option<IdKey>,
}

impl About {
    /// `None`: not a JSON-RPC message.
    pub(super) fn of(message: &Bytes) -> Option<Self> {
        #[derive(Deserialize)]
        struct ProgressEnvelope<'a> {
            #[serde(borrow)]
            params: ProgressParams<'a>,
        }
        #[derive(Deserialize)]
        struct ProgressParams<'a> {
            #[serde(borrow, rename = "progressToken")]
            token: &'a RawValue,
        }
        let seen = FromServer::parse(message)?;
        let progress: Option<ProgressEnvelope<'_>> = if seen.answers.is_empty() {
            serde_json::from_slice(message).ok()
        } else {
            None
        };
        Some(Self {
            answers: seen.answers,
            progress: progress.map(|envelope| Id::parse(envelope.params.token).key().clone()),
        })
    }
}

/// A request that was sent and is not answered.
#[derive(Debug)]
pub(super) struct Route<T> {
    pub(super) ids: Vec<IdKey>,
    pub(super) progress_token: Option<IdKey>,
    pub(super) to: T,
}

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination<T> {
    /// To the one who asked.
    Request(T),
    /// To the listener, as what comes unasked.
    Listener,
    /// It answers a request that nobody waits for any more.
    Nobody,
}

/// The open requests, the oldest first.
#[derive(Debug)]
pub(super) struct Routes<T>(Vec<Route<T>>);

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Routes<T> {
    pub(super) fn add(&mut self, route: Route<T>) {
        self.0.push(route);
    }

    pub(super) fn retain(&mut self, is_open: impl Fn(&T) -> bool) {
        self.0.retain(|route| is_open(&route.to));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// An answer goes to its request, which is over when all of its ids are answered. Progress goes to the request that asked
    /// for it. Anything else goes to the oldest request: it is most likely about that, and arrives before its answer.
    pub(super) fn destination(&mut self, about: &About) -> Destination<T> {
        if !about.answers.is_empty() {
            return self.answered(&about.answers);
        }
        let wants =
            |route: &&Route<T>| about.progress.is_some() && route.progress_token == about.progress;
        let route = self.0.iter().find(wants).or(self.0.first());
        route.map_or(Destination::Listener, |route| {
            Destination::Request(route.to.clone())
        })
    }

    fn answered(&mut self, answers: &[IdKey]) -> Destination<T> {
        let is_asked = |route: &Route<T>| route.ids.iter().any(|id| answers.contains(id));
        let Some(at) = self.0.iter().position(is_asked) else {
            return Destination::Nobody;
        };
        let Some(route) = self.0.get_mut(at) else {
            return Destination::Nobody;
        };
        route.ids.retain(|id| !answers.contains(id));
        let (to, is_over) = (route.to.clone(), route.ids.is_empty());
        if is_over {
            self.0.remove(at);
        }
        Destination::Request(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(raw: &str) -> IdKey {
        let raw = RawValue::from_string(raw.to_owned()).unwrap();
        Id::parse(&raw).key().clone()
    }

    fn routes() -> Routes<&'static str> {
        let mut routes = Routes::default();
        for (ids, progress_token, to) in [
            (vec![id("1")], None, "first"),
            (vec![id("2"), id("\"b\"")], Some(id("\"p\"")), "second"),
        ] {
            routes.add(Route {
                ids,
                progress_token,
                to,
            });
        }
        routes
    }

    fn to(routes: &mut Routes<&'static str>, message: &'static str) -> Destination<&'static str> {
        let about = About::of(&Bytes::from_static(message.as_bytes())).unwrap();
        routes.destination(&about)
    }

    #[test]
    fn an_answer_goes_to_its_request_once() {
        let mut routes = routes();
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(to(&mut routes, answer), Destination::Request("first"));
        assert_eq!(to(&mut routes, answer), Destination::Nobody);
        let foreign = r#"{"jsonrpc":"2.0","id":"1","result":{}}"#;
        assert_eq!(to(&mut routes, foreign), Destination::Nobody);
    }

    #[test]
    fn a_batch_is_over_when_all_of_it_is_answered() {
        let mut routes = routes();
        let half = r#"{"jsonrpc":"2.0","id":"b","result":{}}"#;
        let rest = r#"[{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":""}}]"#;
        assert_eq!(to(&mut routes, half), Destination::Request("second"));
        assert_eq!(to(&mut routes, half), Destination::Nobody);
        assert_eq!(to(&mut routes, rest), Destination::Request("second"));
        assert_eq!(to(&mut routes, rest), Destination::Nobody);
    }

    #[test]
    fn progress_goes_to_the_request_that_asked_for_it_and_other_messages_to_the_oldest() {
        let mut routes = routes();
        let progress = |token: &str| {
            let text = format!(
                r#"{{"method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
            );
            About::of(&text.into()).unwrap()
        };
        let second = Destination::Request("second");
        assert_eq!(routes.destination(&progress("\"p\"")), second);
        assert_eq!(routes.destination(&progress("\"\\u0070\"")), second);
        let first = Destination::Request("first");
        assert_eq!(routes.destination(&progress("7")), first);
        let question = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#;
        assert_eq!(to(&mut routes, question), first);
        routes.clear();
        assert_eq!(to(&mut routes, question), Destination::Listener);
    }

    #[test]
    fn what_nobody_reads_any_more_is_no_destination() {
        let mut routes = routes();
        routes.retain(|to| *to != "first");
        let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
        assert_eq!(to(&mut routes, log), Destination::Request("second"));
    }

    #[test]
    fn only_messages_are_about_something() {
        for text in ["", "{}", "[]", "ping"] {
            assert!(
                About::of(&Bytes::from_static(text.as_bytes())).is_none(),
                "{text}"
            );
        }
    }
}
