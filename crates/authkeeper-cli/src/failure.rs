//! What a person reads when a command fails: what failed, why, and what to do next; and the exit code that goes with it.

use authkeeper::{
    error::{Advice, TokenError},
    http::{ExchangeError, InvalidUrl},
    model::InvalidName,
    oauth::{
        WireError, authorize::RedirectError, discovery::DiscoveryError, register::RegistrationError,
    },
    signin::ConnectError,
    store::StoreError,
};

use crate::exit::Exit;

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What failed, and why.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) next: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            next: next.into(),
        }
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
        Self::new(
            Exit::Usage,
            error.to_string(),
            "give the whole URL, like https://mcp.example/mcp",
        )
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
        StoreError::BadKey { key, .. } => (Exit::Config, format!("mend or restore {key}")),
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
        let (exit, next) = token_advice(&error);
        Self::new(exit, what, next)
    }
}

fn token_advice(error: &TokenError) -> (Exit, String) {
    let action = || {
        error
            .record()
            .map(|record| record.action.clone())
            .unwrap_or_default()
    };
    match (error, error.advice()) {
        (TokenError::NoSuchConnection { name }, _) => (
            Exit::NotFound,
            format!("authkeeper status lists what is connected; authkeeper connect {name} URL adds it"),
        ),
        (TokenError::ClientRefused { .. }, _) => (
            Exit::Config,
            "no token was harmed. Check the client's id and secret at the provider, then authkeeper reauthorize (a client \
             that authkeeper registered itself is registered anew)"
                .to_owned(),
        ),
        (TokenError::Uncertain { record, .. }, _) => (
            Exit::Unavailable,
            format!(
                "try again in a minute: authkeeper asks the provider again as its rule allows; authkeeper status {} \
                 shows where it stands",
                record.connection
            ),
        ),
        (TokenError::Unavailable { retry_after: Some(after), .. }, _) => {
            (Exit::Unavailable, format!("try again in {} s; the grant is safe", after.as_secs().max(1)))
        }
        (_, Advice::Retry) => (Exit::Unavailable, "try again later; the grant is safe".to_owned()),
        (_, Advice::Reauthorize) => (Exit::Person, action()),
        (TokenError::Rejected { .. }, _) => (Exit::Permission, action()),
        (_, Advice::Permission) => {
            (Exit::Permission, "check at the provider what this account and client may do".to_owned())
        }
        _ => (Exit::Bug, "please report this".to_owned()),
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        if let ConnectError::Store(store) = error {
            return unstored(store);
        }
        let (exit, next) = connect_advice(&error);
        Self::new(exit, error.to_string(), next)
    }
}

/// A sign-in that could not be kept is to be done again.
fn unstored(error: StoreError) -> Failure {
    let full = matches!(error, StoreError::Full { .. });
    let mut failure = Failure::from(error);
    if full {
        "free some space, then run the same command again; what was connected before is as it was"
            .clone_into(&mut failure.next);
    }
    failure
}

fn connect_advice(error: &ConnectError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        ConnectError::NameTaken { name, .. } => (
            Exit::Usage,
            format!("choose another name, or authkeeper disconnect {name} first"),
        ),
        ConnectError::IssuerChanged { .. } => own(
            Exit::Data,
            "do not go on unless the provider announced it; then authkeeper disconnect and connect again",
        ),
        ConnectError::NoSuchConnection(name) => (
            Exit::NotFound,
            format!("authkeeper connect {name} URL adds it"),
        ),
        ConnectError::Discovery(error) => discovery_advice(error),
        ConnectError::Registration(error) => registration_advice(error),
        ConnectError::Listen(_) => own(
            Exit::Config,
            "choose a free port with --callback-port, or leave it out to take any",
        ),
        ConnectError::Redirect(RedirectError::Denied) => own(
            Exit::Person,
            "run the same command again and allow access; nothing was changed",
        ),
        ConnectError::Redirect(RedirectError::Refused(_) | RedirectError::NoCode) => own(
            Exit::Person,
            "the provider's own page says more; then run the same command again",
        ),
        ConnectError::Redirect(_) => own(
            Exit::Data,
            "do not go on: another server may be posing as this one. Check the URL and tell the provider",
        ),
        ConnectError::TimedOut(_) => own(
            Exit::Person,
            "run the same command again and open the printed URL in a browser on this machine (set BROWSER to the \
             browser's command if none opened)",
        ),
        ConnectError::CodeRefused { .. } => own(
            Exit::Permission,
            "check the client's id, secret and redirect URI at the provider",
        ),
        ConnectError::NoTokens { passing: true, .. } => own(
            Exit::Unavailable,
            "the provider has trouble of its own; run the same command again later",
        ),
        ConnectError::NoTokens { .. }
        | ConnectError::Wire(WireError::Exchange {
            source: ExchangeError::TooLarge { .. },
            ..
        }) => own(
            Exit::Data,
            "a proxy or firewall may stand in between; check the URL, then run the same command again",
        ),
        ConnectError::Wire(_) => own(Exit::Unavailable, "check the network, then try again"),
        ConnectError::Url(_) => own(
            Exit::Usage,
            "give the whole URL, like https://mcp.example/mcp",
        ),
        _ => own(Exit::Bug, "please report this"),
    }
}

fn discovery_advice(error: &DiscoveryError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        DiscoveryError::Url(_) => own(
            Exit::Usage,
            "give the whole URL, like https://mcp.example/mcp",
        ),
        DiscoveryError::Wire(WireError::Connect(_)) => own(
            Exit::Unavailable,
            "check the URL for a typing error and the network, then try again",
        ),
        DiscoveryError::Wire(
            WireError::Url(_)
            | WireError::Exchange {
                source: ExchangeError::TooLarge { .. },
                ..
            },
        ) => own(
            Exit::Data,
            "the server's own metadata is wrong; check the URL, or tell the server's operator",
        ),
        DiscoveryError::Wire(_) => own(Exit::Unavailable, "try again later"),
        DiscoveryError::NoOAuth { .. } => own(
            Exit::Data,
            "check the path (often /mcp); for plain OAuth name the authorization server with --issuer",
        ),
        DiscoveryError::Redirected { to, .. } => {
            (Exit::Data, format!("connect to {to} if you trust it"))
        }
        DiscoveryError::ResourceMismatch { .. } | DiscoveryError::IssuerMismatch { .. } => own(
            Exit::Data,
            "do not go on: this is how one server poses as another. Check the URL, or tell the server's operator",
        ),
        DiscoveryError::NoPkce { .. } => own(
            Exit::Permission,
            "the provider must offer PKCE with S256 before a sign-in is safe; ask its operator",
        ),
        _ => own(
            Exit::Data,
            "check the URL; if it is right, tell the server's operator",
        ),
    }
}

fn registration_advice(error: &RegistrationError) -> (Exit, String) {
    match error {
        RegistrationError::Impossible { .. } => (
            Exit::Config,
            "register a client at the provider (redirect URI http://127.0.0.1/callback), then add --client-id ID \
             [--client-secret-file FILE]"
                .to_owned(),
        ),
        RegistrationError::Refused { .. } => (
            Exit::Permission,
            "register a client by hand at the provider and add --client-id ID".to_owned(),
        ),
        _ => (Exit::Unavailable, "check the network, then try again".to_owned()),
    }
}
