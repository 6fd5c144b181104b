//! What a person reads when a command fails: what failed, why, and what to do next; and the exit code that goes with it.

mod sign_in;

use authkeeper::{
    error::TokenError,
    http::InvalidUrl,
    model::{ConnectionName, Health, InvalidName},
    store::StoreError,
    text::similar,
};

use authkeeper_gateway::error::CallErrorKind;
use serde_json::{Value, json};

pub(crate) use self::sign_in::next_step;

use crate::exit::Exit;

/// What is to be done about what passes by itself.
pub(crate) const LATER: &str = "try again later; the grant is safe";
/// What is to be done about a bug of ours.
pub(crate) const REPORT: &str = "please report this";

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What failed, and why.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) next: String,
    /// The connection that was named and is not there.
    pub(crate) missing: Option<ConnectionName>,
    /// How the connection stands that it is about.
    pub(crate) health: Option<Box<Health>>,
    /// An MCP session was under way: its client has noticed the end of it.
    pub(crate) in_session: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            next: next.into(),
            missing: None,
            health: None,
            in_session: false,
        }
    }

    /// The failure of a connection that stands like this: what to do is what every other surface says, unless it failed for
    /// something else.
    pub(crate) fn with_health(mut self, health: Health) -> Self {
        let is_why = health.needs_attention() && Exit::of_health(&health) == Some(self.exit);
        if let Some(action) = health.action.as_ref().filter(|_| is_why) {
            self.next.clone_from(action);
        }
        self.health = Some(Box::new(health));
        self
    }

    /// Says which connection it is about, where that is not said: among several nobody can tell.
    pub(crate) fn of(mut self, name: &ConnectionName) -> Self {
        let after = self.what.strip_prefix(name.as_str());
        let is_named = after.is_some_and(|after| after.starts_with([':', ' ']));
        if !is_named && self.missing.is_none() && self.exit != Exit::Store {
            self.what = format!("{name}: {}", self.what);
        }
        self
    }

    /// Marks a failure that ended an MCP session, as opposed to a bridge that could not start.
    pub(crate) fn in_session(self) -> Self {
        Self {
            in_session: true,
            ..self
        }
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "failed": {
                "exit": self.exit.code(),
                "what": self.what,
                "next": self.next,
                "health": self.health,
            }
        })
    }

    /// There is no connection of this name.
    fn no_connection(name: &ConnectionName, what: String) -> Self {
        let next = format!(
            "authkeeper status lists what is connected; authkeeper connect {name} URL adds it"
        );
        Self {
            missing: Some(name.clone()),
            ..Self::new(Exit::NotFound, what, next)
        }
    }

    /// Says which of the connections that there are may have been meant.
    pub(crate) fn among(mut self, connected: &[ConnectionName]) -> Self {
        let names = connected.iter().map(ConnectionName::as_str);
        let missing = self.missing.as_ref();
        // It is listed until its tokens are revoked at the provider.
        if let Some(name) = missing.filter(|missing| connected.contains(missing)) {
            self.what = format!("{name} was disconnected, and its provider has not confirmed it");
            self.next = format!(
                "authkeeper disconnect {name} finishes it; authkeeper connect {name} URL signs in again"
            );
            return self;
        }
        if let Some(meant) = missing.and_then(|missing| similar::nearest(missing.as_str(), names)) {
            self.next = format!("did you mean {meant}? authkeeper status lists what is connected");
        }
        self
    }
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Self {
        Self::new(
            Exit::Usage,
            error.to_string(),
            "choose a name like notion or jira-2",
        )
    }
}

impl From<InvalidUrl> for Failure {
    fn from(error: InvalidUrl) -> Self {
        Self::new(Exit::Usage, error.to_string(), url_advice(&error))
    }
}

fn url_advice(error: &InvalidUrl) -> String {
    match error.meant() {
        Some(meant) => format!("did you mean {}?", meant.as_str()),
        None => "give the whole URL, like https://mcp.example/mcp".to_owned(),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, next) = store_advice(&error);
        Self::new(exit, error.to_string(), next)
    }
}

fn store_advice(error: &StoreError) -> (Exit, String) {
    match error {
        StoreError::Full { .. } => (
            Exit::Store,
            "free some space; nothing was spent and nothing is lost".to_owned(),
        ),
        StoreError::ReadOnly { .. } => (
            Exit::Store,
            "make it writable, or point AUTHKEEPER_STORE elsewhere".to_owned(),
        ),
        StoreError::Damaged { .. } => (
            Exit::Store,
            "run authkeeper doctor --repair: it saves what can be read and keeps the damaged file"
                .to_owned(),
        ),
        StoreError::Busy { .. } => (
            Exit::Store,
            "try again; if it stays, see which process holds it (fuser)".to_owned(),
        ),
        StoreError::Copied { .. } => (
            Exit::Config,
            "if this is the copy that goes on, make sure that no other is used, then authkeeper doctor --adopt; until then \
             it serves what lives and refreshes nothing"
                .to_owned(),
        ),
        StoreError::Remote { .. } => (
            Exit::Config,
            "keep it on a local disk (AUTHKEEPER_STORE for the store, XDG_DATA_HOME for what lies beside it), one for each \
             machine: across a network locks fail, and a grant is lost by it"
                .to_owned(),
        ),
        StoreError::Newer { .. } => (Exit::Config, "install the newer authkeeper".to_owned()),
        StoreError::WrongKey { .. } => (
            Exit::Config,
            "put back the key that belongs to this store, or point AUTHKEEPER_KEY_FILE at it"
                .to_owned(),
        ),
        StoreError::KeyMissing { key, .. } => (
            Exit::Config,
            format!(
                "restore {key} from a backup; without it, move the store away and connect again"
            ),
        ),
        StoreError::BadKey { key, .. } => (Exit::Config, format!("correct or restore {key}")),
        _ => (Exit::Store, "check the path and its permissions".to_owned()),
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let what = error.to_string();
        if let TokenError::Store(store) = &error {
            let (exit, next) = store_advice(store);
            return Self::new(exit, what, next);
        }
        if let TokenError::NoSuchConnection { name } = &error {
            return Self::no_connection(name, what);
        }
        let exit = Exit::of(CallErrorKind::from(&error));
        let what = match error {
            TokenError::ClientRefused { .. } => format!("{what}; no token was harmed"),
            _ => what,
        };
        Self::new(exit, what, token_advice(&error))
    }
}

/// What to do about a token that is not there.
fn token_advice(error: &TokenError) -> String {
    match error {
        TokenError::ReauthorizationRequired { record }
        | TokenError::Suspended { record, .. }
        | TokenError::Rejected { record }
        | TokenError::ScopeMissing { record }
        | TokenError::ScopeRefused { record } => record.action.clone(),
        TokenError::Uncertain {
            record,
            retry_after,
        } => format!(
            "try again in {}: authkeeper asks the provider again as its rule allows; authkeeper status {} shows where it stands",
            match retry_after.as_secs() {
                0 => "a minute".to_owned(),
                wait => format!("{wait} s"),
            },
            record.connection
        ),
        TokenError::Unavailable {
            retry_after: Some(after),
            ..
        } => format!("try again in {} s; the grant is safe", after.as_secs().max(1)),
        TokenError::Unavailable { .. } => LATER.to_owned(),
        TokenError::ClientRefused { .. } => "check the client's id and secret at the provider, then \
             authkeeper reauthorize (a client that authkeeper registered itself is registered again)"
            .to_owned(),
        TokenError::EndpointMoved { action, .. } | TokenError::NetworkSetting { action, .. } => {
            action.clone()
        }
        TokenError::RequestRefused { .. } => {
            "check at the provider what this account and client may do".to_owned()
        }
        _ => REPORT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use authkeeper::{
        http::HttpUrl,
        model::{HealthCause, HealthState, ReauthorizeReason, WhoseMove},
    };

    use super::*;

    #[test]
    fn a_name_that_is_not_connected_is_said_with_the_one_that_may_be_meant() {
        let name = |text: &str| ConnectionName::parse(text).unwrap();
        let failure = |text: &str| {
            let error = TokenError::NoSuchConnection { name: name(text) };
            Failure::from(error).among(&[name("try"), name("notion")])
        };
        let half = failure("notion");
        assert_eq!(half.exit, Exit::NotFound);
        assert!(half.what.contains("not confirmed"), "{}", half.what);
        assert!(half.next.contains("disconnect notion finishes it"));
        let near = failure("noton");
        assert_eq!(near.exit, Exit::NotFound);
        assert!(near.next.contains("did you mean notion?"), "{}", near.next);
        assert!(near.next.contains("authkeeper status"), "{}", near.next);
        let far = failure("github");
        assert!(!far.next.contains("did you mean"), "{}", far.next);
        assert!(far.next.contains("authkeeper connect github URL"));
    }

    #[test]
    fn an_outage_is_not_answered_with_the_repair_of_something_else() {
        let refused = || Health {
            state: HealthState::Down,
            cause: Some(HealthCause::GrantOver(ReauthorizeReason::KeyRefused)),
            action: Some("authkeeper rotate api".to_owned()),
            whose_move: WhoseMove::Person,
            ..Health::OK
        };
        let next = |exit| {
            Failure::new(exit, "it failed", LATER)
                .with_health(refused())
                .next
        };
        assert_eq!(next(Exit::Person), "authkeeper rotate api");
        assert_eq!(next(Exit::Unavailable), LATER);
    }

    #[test]
    fn a_failure_names_its_connection_once() {
        let name = ConnectionName::parse("api").unwrap();
        let said = |what: &str| Failure::new(Exit::Unavailable, what, LATER).of(&name).what;
        assert_eq!(said("no answer"), "api: no answer");
        assert_eq!(said("api: no answer"), "api: no answer");
        assert_eq!(said("api needs a person"), "api needs a person");
        assert_eq!(said("api-2 is gone"), "api: api-2 is gone");
    }

    #[test]
    fn a_token_endpoint_that_moved_is_a_matter_of_configuration() {
        let failure = Failure::from(TokenError::EndpointMoved {
            why: "https://as.example moved its token endpoint to https://new.example (302)".into(),
            action: "authkeeper reauthorize notion".into(),
        });
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("https://new.example"));
        assert!(failure.next.contains("reauthorize notion"));
    }

    #[test]
    fn a_url_without_its_scheme_is_said_whole() {
        let advice = |text: &str| Failure::from(HttpUrl::parse(text).unwrap_err()).next;
        assert_eq!(
            advice("mcp.notion.com/mcp"),
            "did you mean https://mcp.notion.com/mcp?"
        );
        assert_eq!(
            advice("http://mcp.example/"),
            "did you mean https://mcp.example/?"
        );
        assert!(advice("ftp://mcp.example/").contains("the whole URL"));
    }
}
