//! Why a call got no answer from its server: one error, and the fixed words that agents read.
//!
//! Every surface renders a [`CallError`] by the kind's entry in one table: the loopback servers as an HTTP response, the
//! bridge as a JSON-RPC error, a command as an exit code. `docs/errors.md` lists the table for agents.

use std::{fmt, time::Duration};

use authkeeper::{
    error::TokenError,
    model::{ConnectionName, Health, HealthCause, Record},
};
use http::StatusCode;

/// What kind of failure, and who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// Nobody is authorized: a person must sign in, or decide.
    AuthorizationMissing,
    /// There is no such connection (any more).
    NoSuchConnection,
    /// The server refuses a token fresh from the provider.
    TokenRejected,
    /// The server wants a scope that signing in again has not brought.
    ScopeRefused,
    /// The provider refuses authkeeper's client.
    ClientRefused,
    /// The provider refuses what is asked for.
    RequestRefused,
    /// The provider's token endpoint has moved.
    TokenEndpointMoved,
    /// The provider gives no token now.
    ProviderUnavailable,
    /// No connection comes about before a person has set something: a proxy, a certificate.
    NetworkSetting,
    /// No connection to the server.
    ServerUnreachable,
    /// The server takes no calls now (429, 503).
    ServerBusy,
    /// The connection broke after the request had left.
    Interrupted,
    /// The response is no answer.
    UnusableAnswer,
    /// The response is larger than what is read.
    AnswerTooLarge,
    /// The call goes nowhere that it may go.
    BadPath,
    /// The store can't be read or written.
    Store,
    /// A command line or a setting is wrong: the bridge serves nothing.
    NotStarted,
    /// A setting of the connection is wrong, or authkeeper is.
    Fault,
}

/// How a kind appears on the surfaces.
struct KindEntry {
    word: &'static str,
    /// `data.kind` of the bridge's errors, as it was before all surfaces had one word.
    older: &'static str,
    status: StatusCode,
    code: i32,
}

// The JSON-RPC codes. Not −32001 and its like: both official SDKs read that as a timeout, and 2026-07-28
// (basic/index, "Error Codes") wants new ones outside the range JSON-RPC reserves.
/// A person must act.
const AUTHORITY: i32 = -31001;
/// The server refuses this identity.
const REJECTED: i32 = -31002;
/// Provider or network; nothing was done, try later.
const UNAVAILABLE: i32 = -31003;
/// The connection broke before the answer; whether anything was done is unknown.
const INTERRUPTED: i32 = -31004;
/// The server answered with something that is no answer.
const UNUSABLE: i32 = -31005;
/// A command line, a setting or the store must be repaired.
const NOT_STARTED: i32 = -31006;

const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const BAD_GATEWAY: StatusCode = StatusCode::BAD_GATEWAY;
const INTERNAL: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

impl CallErrorKind {
    /// All of them, in the order of the documented table.
    pub const ALL: [Self; 18] = [
        Self::AuthorizationMissing,
        Self::NoSuchConnection,
        Self::TokenRejected,
        Self::ScopeRefused,
        Self::ClientRefused,
        Self::RequestRefused,
        Self::TokenEndpointMoved,
        Self::ProviderUnavailable,
        Self::NetworkSetting,
        Self::ServerUnreachable,
        Self::ServerBusy,
        Self::Interrupted,
        Self::UnusableAnswer,
        Self::AnswerTooLarge,
        Self::BadPath,
        Self::Store,
        Self::NotStarted,
        Self::Fault,
    ];

    /// Authority that is missing is a 403: a 401 would make clients start a sign-in of their own.
    const fn entry(self) -> KindEntry {
        let (word, older, status, code) = match self {
            Self::AuthorizationMissing => {
                ("authorization_missing", "authority", FORBIDDEN, AUTHORITY)
            }
            Self::NoSuchConnection => ("no_such_connection", "authority", FORBIDDEN, AUTHORITY),
            Self::TokenRejected => ("token_rejected", "rejected", FORBIDDEN, REJECTED),
            Self::ScopeRefused => ("scope_refused", "permission", FORBIDDEN, REJECTED),
            Self::ClientRefused => ("client_refused", "authority", FORBIDDEN, AUTHORITY),
            Self::RequestRefused => ("request_refused", "authority", FORBIDDEN, AUTHORITY),
            Self::TokenEndpointMoved => ("token_endpoint_moved", "authority", FORBIDDEN, AUTHORITY),
            Self::ProviderUnavailable => ("provider_unavailable", "unavailable", BUSY, UNAVAILABLE),
            Self::NetworkSetting => ("network_setting", "not_started", BAD_GATEWAY, NOT_STARTED),
            Self::ServerUnreachable => (
                "server_unreachable",
                "unavailable",
                BAD_GATEWAY,
                UNAVAILABLE,
            ),
            Self::ServerBusy => ("server_busy", "unavailable", BUSY, UNAVAILABLE),
            Self::Interrupted => ("interrupted", "interrupted", BAD_GATEWAY, INTERRUPTED),
            Self::UnusableAnswer => ("unusable_answer", "unusable_answer", BAD_GATEWAY, UNUSABLE),
            Self::AnswerTooLarge => (
                "answer_too_large",
                "answer_too_large",
                BAD_GATEWAY,
                UNUSABLE,
            ),
            Self::BadPath => (
                "bad_path",
                "not_started",
                StatusCode::BAD_REQUEST,
                NOT_STARTED,
            ),
            Self::Store => ("store", "not_started", INTERNAL, NOT_STARTED),
            Self::NotStarted => ("not_started", "not_started", INTERNAL, NOT_STARTED),
            Self::Fault => ("fault", "not_started", INTERNAL, NOT_STARTED),
        };
        KindEntry {
            word,
            older,
            status,
            code,
        }
    }

    /// How calls fail over a connection for which this cause holds; none if they work.
    pub const fn of_cause(cause: HealthCause) -> Option<Self> {
        Some(match cause {
            HealthCause::Pending | HealthCause::Revoked => Self::NoSuchConnection,
            HealthCause::Suspended(_) | HealthCause::GrantOver(_) => Self::AuthorizationMissing,
            HealthCause::ClientRefused => Self::ClientRefused,
            HealthCause::RequestRefused => Self::RequestRefused,
            HealthCause::TokenEndpointMoved => Self::TokenEndpointMoved,
            HealthCause::TokenRejected => Self::TokenRejected,
            HealthCause::ProviderUnavailable | HealthCause::Uncertain => Self::ProviderUnavailable,
            HealthCause::ScopeRequired
            | HealthCause::AuthorityNarrowed
            | HealthCause::RotationFailed
            | HealthCause::RotationDue => return None,
        })
    }

    /// The fixed word, the same on every surface.
    pub const fn word(self) -> &'static str {
        self.entry().word
    }

    /// The word of earlier releases in `data.kind` of JSON-RPC errors.
    pub(crate) const fn older_word(self) -> &'static str {
        self.entry().older
    }

    /// The status of an HTTP response.
    pub const fn status(self) -> StatusCode {
        self.entry().status
    }

    /// The code of a JSON-RPC error.
    pub const fn code(self) -> i32 {
        self.entry().code
    }

    /// Whether the same call may be made again later, without anybody doing anything.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::ProviderUnavailable | Self::ServerUnreachable | Self::ServerBusy
        )
    }

    /// Whether the call fails until a person acts: signs in, grants a right, or corrects the client.
    pub(crate) const fn needs_a_person(self) -> bool {
        matches!(self.code(), AUTHORITY | REJECTED)
    }

    /// Whether how the connection stands explains it, as far as there is one.
    pub(crate) const fn is_explained_by_health(self) -> bool {
        let is_of_connection = !matches!(self, Self::NoSuchConnection | Self::ScopeRefused);
        is_of_connection && (self.needs_a_person() || matches!(self, Self::ProviderUnavailable))
    }

    /// Whether the request had left when the call failed.
    pub const fn executed(self) -> Executed {
        match self {
            Self::Interrupted | Self::UnusableAnswer | Self::AnswerTooLarge => Executed::Unknown,
            _ => Executed::No,
        }
    }

    /// The kind with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The kind that a noted reason stands for: the word of a kind, a word of earlier releases, or the reason of an incident.
    pub fn of_reason(reason: &str) -> Self {
        Self::of_word(reason).unwrap_or(match reason {
            "unavailable" | "uncertain" | "provider_failing" => Self::ProviderUnavailable,
            "identity_provider_refused" => Self::RequestRefused,
            "rejected" => Self::TokenRejected,
            _ => Self::AuthorizationMissing,
        })
    }
}

impl From<&TokenError> for CallErrorKind {
    fn from(error: &TokenError) -> Self {
        match error {
            TokenError::ReauthorizationRequired { .. }
            | TokenError::Suspended { .. }
            | TokenError::ScopeMissing { .. } => Self::AuthorizationMissing,
            TokenError::NoSuchConnection { .. } => Self::NoSuchConnection,
            TokenError::Rejected { .. } => Self::TokenRejected,
            TokenError::ScopeRefused { .. } => Self::ScopeRefused,
            TokenError::Uncertain { .. } | TokenError::Unavailable { .. } => {
                Self::ProviderUnavailable
            }
            TokenError::ClientRefused { .. } => Self::ClientRefused,
            TokenError::RequestRefused { .. } => Self::RequestRefused,
            TokenError::EndpointMoved { .. } => Self::TokenEndpointMoved,
            TokenError::NetworkSetting { .. } => Self::NetworkSetting,
            TokenError::Store(_) => Self::Store,
            _ => Self::Fault,
        }
    }
}

/// Whether the server may have carried the call out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It was not sent, or the server refused to act.
    No,
    /// It was sent, and its answer is not known.
    Unknown,
}

impl Executed {
    /// `no` or `unknown`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a call got no answer. Its texts are shown to clients and to their models: they hold no secret.
#[derive(Clone, Debug)]
pub struct CallError {
    /// What kind of failure.
    pub kind: CallErrorKind,
    /// What happened, and what a person must do where one must.
    pub message: String,
    /// The incident behind it, where there is one.
    pub incident: Option<Box<Record>>,
    /// How the connection stands, where that explains the failure.
    pub health: Option<Box<Health>>,
    /// When the provider wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether the server may have carried the call out.
    pub executed: Executed,
    /// Whether the owner was notified of the incident, where the surface knows.
    pub(crate) owner_notified: Option<bool>,
    /// The connection that is not there.
    pub(crate) missing: Option<ConnectionName>,
    /// The response that is no answer.
    pub(crate) response: Option<UnusableResponse>,
}

/// A response that is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnusableResponse {
    /// It is no MCP message.
    Foreign {
        status: StatusCode,
        /// Type and subtype only; parameters could hold anything.
        content_type: Option<String>,
    },
    /// It is larger than `limit` bytes.
    TooLarge { limit: usize },
}

impl CallError {
    /// An error of this kind, without an incident.
    pub(crate) fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            incident: None,
            health: None,
            retry_after: None,
            executed: kind.executed(),
            owner_notified: None,
            missing: None,
            response: None,
        }
    }

    /// An error of this kind that the incident explains.
    pub(crate) fn of_incident(kind: CallErrorKind, record: Box<Record>) -> Self {
        Self {
            incident: Some(record),
            ..Self::new(kind, String::new())
        }
        .described()
    }

    /// A person must act: sign in, or decide.
    pub(crate) fn authorization_missing(record: Box<Record>) -> Self {
        Self::of_incident(CallErrorKind::AuthorizationMissing, record)
    }

    /// The provider gives no token now, and may in `retry_after`.
    pub(crate) fn provider_unavailable(
        why: impl fmt::Display,
        retry_after: Option<Duration>,
    ) -> Self {
        let message = format!("no token can be had now: {why}");
        Self {
            retry_after,
            ..Self::new(CallErrorKind::ProviderUnavailable, message)
        }
    }

    /// A person has to set something before a connection comes about.
    pub(crate) fn network_setting(why: impl fmt::Display, action: impl fmt::Display) -> Self {
        let message = format!("{why}. What to do: {action}");
        Self::new(CallErrorKind::NetworkSetting, message)
    }

    /// No connection to the server.
    pub(crate) fn server_unreachable(why: impl fmt::Display) -> Self {
        let message = format!("the server can't be reached: {why}");
        Self::new(CallErrorKind::ServerUnreachable, message)
    }

    /// The connection broke after the request had left.
    pub(crate) fn interrupted(why: impl fmt::Display) -> Self {
        let message = format!(
            "the connection broke before the answer; the call may have been carried out: {why}"
        );
        Self::new(CallErrorKind::Interrupted, message)
    }

    /// The response broke off before the answer.
    pub(crate) fn broken_off() -> Self {
        Self::new(
            CallErrorKind::Interrupted,
            "the connection broke before the answer",
        )
    }

    /// The client closed its input before the answer came.
    pub(crate) fn client_left(executed: Executed) -> Self {
        let message = "the client closed its input before the answer came";
        Self {
            executed,
            ..Self::new(CallErrorKind::Interrupted, message)
        }
    }

    /// There is no connection of this name.
    pub(crate) fn no_such_connection(name: &ConnectionName) -> Self {
        let message = format!(
            "no connection is named {name}. A person must run: {}",
            connect_action(name)
        );
        Self {
            missing: Some(name.clone()),
            ..Self::new(CallErrorKind::NoSuchConnection, message)
        }
    }

    /// A response of this status and media type that is no answer.
    pub(crate) fn unusable_answer(status: StatusCode, content_type: Option<String>) -> Self {
        let shown = content_type.as_deref().unwrap_or("no content type");
        let message = format!(
            "the server answered HTTP {} with {shown} instead of an MCP message",
            status.as_u16()
        );
        Self {
            response: Some(UnusableResponse::Foreign {
                status,
                content_type,
            }),
            ..Self::new(CallErrorKind::UnusableAnswer, message)
        }
    }

    /// The server refused the call with this status, and has not acted on it: it may be called again in `retry_after`.
    pub(crate) fn server_busy(status: StatusCode, retry_after: Option<Duration>) -> Self {
        let message = format!("the server takes no calls now (HTTP {})", status.as_u16());
        Self {
            retry_after,
            response: Some(UnusableResponse::Foreign {
                status,
                content_type: None,
            }),
            ..Self::new(CallErrorKind::ServerBusy, message)
        }
    }

    /// The same error with the server's own words.
    pub(crate) fn saying(mut self, said: Option<&str>) -> Self {
        if let Some(said) = said {
            self.message = format!("{}; it said: {said}", self.message);
        }
        self
    }

    /// A response larger than `limit` bytes, which was dropped.
    pub(crate) fn answer_too_large(limit: usize) -> Self {
        let message = format!("the server's answer is larger than {limit} bytes and was dropped");
        Self {
            response: Some(UnusableResponse::TooLarge { limit }),
            ..Self::new(CallErrorKind::AnswerTooLarge, message)
        }
    }

    /// The same error for a call that had been sent: authority ended while its answer was awaited.
    pub(crate) fn after_sending(self) -> Self {
        Self {
            kind: CallErrorKind::AuthorizationMissing,
            executed: Executed::Unknown,
            ..self
        }
    }

    /// A sign-in at `link` resolves it.
    pub(crate) fn with_link(mut self, link: Option<String>) -> Self {
        if let Some(record) = &mut self.incident {
            record.link = link;
        }
        self.described()
    }

    /// The same error with how its connection stands. What a person must do is said if nothing else says it.
    pub(crate) fn with_health(mut self, health: Health) -> Self {
        let unsaid = |action: &&String| !self.message.contains(action.as_str());
        if let Some(action) = health.action.as_ref().filter(unsaid) {
            self.message = format!("{}. What a person must do: {action}", self.message);
        }
        self.health = Some(Box::new(health));
        self
    }

    /// The message of an error with an incident is made from it.
    fn described(mut self) -> Self {
        if let Some(record) = &self.incident {
            self.message = described(record);
        }
        self
    }

    /// The HTTP status that came in the place of an answer.
    pub(crate) fn foreign_status(&self) -> Option<StatusCode> {
        match &self.response {
            Some(UnusableResponse::Foreign { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// When to try again, in seconds, rounded up: at least one.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        let seconds = self.retry_after?.as_millis().div_ceil(1000);
        Some(u64::try_from(seconds).unwrap_or(u64::MAX).max(1))
    }

    /// Why, as the fixed word that is noted for the run: the incident's where a person acts on it.
    pub fn reason(&self) -> &str {
        use CallErrorKind::{AuthorizationMissing, ScopeRefused};
        match (&self.incident, self.kind) {
            (Some(record), AuthorizationMissing | ScopeRefused) => &record.reason,
            _ => self.kind.word(),
        }
    }

    /// What a person does about it: the action of the incident, of the connection's health, or of a connection that is missing.
    pub(crate) fn action(&self) -> Option<String> {
        let incident = self.incident.as_ref().map(|record| record.action.clone());
        let health = || {
            self.health
                .as_ref()
                .and_then(|health| health.action.clone())
        };
        let missing = || self.missing.as_ref().map(connect_action);
        incident.or_else(health).or_else(missing)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.message)
    }
}

impl std::error::Error for CallError {}

impl From<TokenError> for CallError {
    fn from(error: TokenError) -> Self {
        let kind = CallErrorKind::from(&error);
        match error {
            TokenError::ReauthorizationRequired { record }
            | TokenError::Suspended { record, .. }
            | TokenError::ScopeMissing { record }
            | TokenError::ScopeRefused { record }
            | TokenError::Rejected { record } => Self::of_incident(kind, record),
            TokenError::NoSuchConnection { name } => Self::no_such_connection(&name),
            TokenError::Unavailable { why, retry_after } => {
                Self::provider_unavailable(why, retry_after)
            }
            TokenError::Uncertain { retry_after, .. } => {
                Self::provider_unavailable(&error, Some(retry_after))
            }
            TokenError::NetworkSetting { why, action } => Self::network_setting(why, action),
            TokenError::EndpointMoved { why, action } => {
                Self::new(kind, format!("{why}. What a person must do: {action}"))
            }
            other => Self::new(kind, other.to_string()),
        }
    }
}

fn connect_action(name: &ConnectionName) -> String {
    format!("authkeeper connect {name} URL")
}

/// What happened and what a person must do, in two sentences.
fn described(record: &Record) -> String {
    let link = record
        .link
        .as_ref()
        .map_or_else(String::new, |link| format!("open {link}, or: "));
    format!(
        "{}: {}. What a person must do: {link}{}",
        record.connection, record.detail, record.action
    )
}

#[cfg(test)]
mod tests {
    use authkeeper::model::{Event, SuspendReason};

    use super::*;

    #[test]
    fn a_token_that_is_not_there_has_a_kind_and_a_reason() {
        let record = Box::new(crate::forward::tests::record(
            Event::AuthorityLost,
            "notion",
        ));
        let suspended = CallError::from(TokenError::Suspended {
            record,
            reason: SuspendReason::Manual,
        });
        assert_eq!(suspended.kind, CallErrorKind::AuthorizationMissing);
        assert_eq!(suspended.reason(), "refresh_refused", "the record's");
        let unavailable = CallError::from(TokenError::Unavailable {
            why: "busy".to_owned(),
            retry_after: Some(Duration::from_secs(7)),
        });
        assert_eq!(unavailable.kind, CallErrorKind::ProviderUnavailable);
        assert_eq!(unavailable.reason(), "provider_unavailable");
        assert_eq!(unavailable.retry_after_seconds(), Some(7));
    }

    #[test]
    fn what_a_person_must_do_is_part_of_the_message() {
        let (why, action) = (
            || "it moved".to_owned(),
            || "authkeeper reauthorize notion".to_owned(),
        );
        for error in [
            TokenError::EndpointMoved {
                why: why(),
                action: action(),
            },
            TokenError::NetworkSetting {
                why: why(),
                action: action(),
            },
        ] {
            let message = CallError::from(error).message;
            assert!(
                message.contains(&why()) && message.contains(&action()),
                "{message}"
            );
        }
    }
}
