//! Faults on demand: their kind, place, target and number.
//!
//! A fault is written `KIND[=VALUE][,times=N][,at=ENDPOINT][,user=U][,client=C][,retry_after=5s]`. Without `times` it
//! lasts until it is cleared; without `at` it applies where its kind says (last column).
//!
//! | kind | value | what happens | where |
//! | --- | --- | --- | --- |
//! | `early-401` | | a good access token is refused | mcp, api |
//! | `status` | status code | this status before anything is done, with `Retry-After` if `retry_after` says so | everywhere |
//! | `cut` | | the socket is cut before anything is done | everywhere |
//! | `outage` | | every request is cut, whatever it asks | everywhere |
//! | `slow` | duration | the request waits, then is served, though its sender may be gone | everywhere |
//! | `slow-answer` | duration | the request is served at once, its answer waits | everywhere |
//! | `answer-lost` | | the request is served, then the socket is cut | token |
//! | `html` | | the request is served, its answer is a page | token |
//! | `proxy-page` | | 200 and a proxy's page before anything is done | token |
//! | `wrong-type` | | the answer as `text/plain` | token |
//! | `truncated` | | half of the answer's JSON | token |
//! | `huge` | | the answer grows to 8 MiB | token |
//! | `no-expires-in` | | a token answer without `expires_in` | token |
//! | `error-in-200` | error code | 200 with an error body, nothing done | token |
//!
//! Endpoints: `metadata`, `authorize`, `token` (all of `code`, `refresh`, `client_credentials`, `device_code`), `device`,
//! `register`, `revoke`, `introspect`, `userinfo`, `mcp`, `api`.

use std::{fmt, str::FromStr, time::Duration};

use serde::Serialize;

use crate::clock::{parse_duration, written};

/// A group of requests that a fault can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The well-known documents.
    Metadata,
    /// The authorization endpoint and its page.
    Authorize,
    /// The token endpoint, for every grant type.
    Token,
    /// Token requests with an authorization code.
    Code,
    /// Token requests with a refresh token.
    Refresh,
    /// Token requests with client credentials.
    ClientCredentials,
    /// Token requests with a device code.
    DeviceCode,
    /// The device authorization endpoint and its page.
    Device,
    /// Dynamic client registration.
    Register,
    /// Revocation.
    Revoke,
    /// Introspection.
    Introspect,
    /// The userinfo endpoint.
    Userinfo,
    /// The MCP server.
    Mcp,
    /// The plain API.
    Api,
}

const ENDPOINTS: [(&str, Endpoint); 14] = [
    ("metadata", Endpoint::Metadata),
    ("authorize", Endpoint::Authorize),
    ("token", Endpoint::Token),
    ("code", Endpoint::Code),
    ("refresh", Endpoint::Refresh),
    ("client_credentials", Endpoint::ClientCredentials),
    ("device_code", Endpoint::DeviceCode),
    ("device", Endpoint::Device),
    ("register", Endpoint::Register),
    ("revoke", Endpoint::Revoke),
    ("introspect", Endpoint::Introspect),
    ("userinfo", Endpoint::Userinfo),
    ("mcp", Endpoint::Mcp),
    ("api", Endpoint::Api),
];

impl Endpoint {
    fn name(self) -> &'static str {
        let found = ENDPOINTS.iter().find(|(_, endpoint)| *endpoint == self);
        found.map_or("", |(name, _)| name)
    }

    pub(crate) fn is_token(self) -> bool {
        matches!(
            self,
            Self::Token | Self::Code | Self::Refresh | Self::ClientCredentials | Self::DeviceCode
        )
    }

    fn holds(self, other: Self) -> bool {
        self == other || (self == Self::Token && other.is_token())
    }
}

/// The kind of a fault. The module's documentation has a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A valid access token is refused.
    Early401,
    /// The request is answered with this status and not served.
    Status {
        /// The status code.
        code: u16,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The socket is cut and the request is not served.
    Cut,
    /// Every request is cut.
    Outage,
    /// The request waits, and is then served.
    Slow(Duration),
    /// The request is served at once; its reply waits.
    SlowAnswer(Duration),
    /// The request is served, and the socket is cut instead of a reply.
    AnswerLost,
    /// The request is served; its reply is a proxy's HTML page.
    Html,
    /// A proxy answers with 200 and its HTML page; the request is not served.
    ProxyPage,
    /// The reply has the type `text/plain`.
    WrongType,
    /// The reply ends in the middle.
    Truncated,
    /// The reply grows to 8 MiB.
    Huge,
    /// The reply has no `expires_in`.
    NoExpiresIn,
    /// The request is answered with 200 and this error code, and not served.
    ErrorIn200(String),
}

impl FaultKind {
    fn parse(kind: &str, value: &str, retry_after: Option<Duration>) -> Option<Self> {
        let found = match kind {
            "early-401" => Self::Early401,
            "status" | "5xx" => Self::Status {
                code: status(value)?,
                retry_after,
            },
            "cut" => Self::Cut,
            "outage" => Self::Outage,
            "slow" => Self::Slow(parse_duration(value)?),
            "slow-answer" => Self::SlowAnswer(parse_duration(value)?),
            "answer-lost" => Self::AnswerLost,
            "html" => Self::Html,
            "proxy-page" => Self::ProxyPage,
            "wrong-type" => Self::WrongType,
            "truncated" => Self::Truncated,
            "huge" => Self::Huge,
            "no-expires-in" => Self::NoExpiresIn,
            "error-in-200" if value.is_empty() => Self::ErrorIn200("bad_refresh_token".into()),
            "error-in-200" => Self::ErrorIn200(value.to_owned()),
            _ => return None,
        };
        Some(found).filter(|found| value.is_empty() || found.has_value())
    }

    /// Whether something may stand after `KIND=`.
    fn has_value(&self) -> bool {
        matches!(
            self,
            Self::Status { .. } | Self::Slow(_) | Self::SlowAnswer(_) | Self::ErrorIn200(_)
        )
    }

    /// Whether the kind applies at this endpoint when the fault names none.
    fn is_at_home(&self, endpoint: Endpoint) -> bool {
        match self {
            Self::Early401 => matches!(endpoint, Endpoint::Mcp | Endpoint::Api),
            Self::AnswerLost
            | Self::Html
            | Self::ProxyPage
            | Self::WrongType
            | Self::Truncated
            | Self::Huge
            | Self::NoExpiresIn
            | Self::ErrorIn200(_) => endpoint.is_token(),
            Self::Status { .. }
            | Self::Cut
            | Self::Outage
            | Self::Slow(_)
            | Self::SlowAnswer(_) => true,
        }
    }
}

fn status(value: &str) -> Option<u16> {
    let code = if value.is_empty() {
        503
    } else {
        value.parse().ok()?
    };
    (400..=599).contains(&code).then_some(code)
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Early401 => f.write_str("early-401"),
            Self::Status {
                code,
                retry_after: None,
            } => write!(f, "status={code}"),
            Self::Status {
                code,
                retry_after: Some(after),
            } => {
                write!(f, "status={code},retry_after={}", written(*after))
            }
            Self::Cut => f.write_str("cut"),
            Self::Outage => f.write_str("outage"),
            Self::Slow(time) => write!(f, "slow={}", written(*time)),
            Self::SlowAnswer(time) => write!(f, "slow-answer={}", written(*time)),
            Self::AnswerLost => f.write_str("answer-lost"),
            Self::Html => f.write_str("html"),
            Self::ProxyPage => f.write_str("proxy-page"),
            Self::WrongType => f.write_str("wrong-type"),
            Self::Truncated => f.write_str("truncated"),
            Self::Huge => f.write_str("huge"),
            Self::NoExpiresIn => f.write_str("no-expires-in"),
            Self::ErrorIn200(error) => write!(f, "error-in-200={error}"),
        }
    }
}

/// A fault, with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How often; `None`: until cleared.
    pub times: Option<u32>,
    /// Only at this endpoint.
    pub at: Option<Endpoint>,
    /// Only for this user's grants.
    pub user: Option<String>,
    /// Only for this client.
    pub client: Option<String>,
}

impl Fault {
    /// A fault without limits.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            times: None,
            at: None,
            user: None,
            client: None,
        }
    }

    /// Limits how often it happens.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Limits where it happens.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.at = Some(endpoint);
        self
    }

    fn meets(&self, arrival: &Arrival) -> bool {
        let place = match self.at {
            Some(at) => at.holds(arrival.endpoint),
            None => self.kind.is_at_home(arrival.endpoint),
        };
        let same =
            |limit: &Option<String>, found: &Option<String>| limit.is_none() || limit == found;
        place && same(&self.user, &arrival.user) && same(&self.client, &arrival.client)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(times) = self.times {
            write!(f, ",times={times}")?;
        }
        if let Some(at) = self.at {
            write!(f, ",at={}", at.name())?;
        }
        for (name, value) in [("user", &self.user), ("client", &self.client)] {
            if let Some(value) = value {
                write!(f, ",{name}={value}")?;
            }
        }
        Ok(())
    }
}

/// The text of a fault is not valid.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{part:?} in the fault {whole:?} means nothing; write KIND[=VALUE][,times=N][,at=ENDPOINT][,user=U][,client=C]\
         [,retry_after=5s], for example status=503,times=2,at=refresh"
)]
pub struct InvalidFault {
    part: String,
    whole: String,
}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let refuse = |part: &str| InvalidFault {
            part: part.to_owned(),
            whole: text.to_owned(),
        };
        let mut parts = text.split(',').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let mut fault = Self::new(FaultKind::Cut);
        let mut retry_after = None;
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| refuse(part))?;
            match name {
                "times" => {
                    let times = value.parse().ok().filter(|times| *times > 0);
                    fault.times = Some(times.ok_or_else(|| refuse(part))?);
                }
                "at" => fault.at = Some(endpoint(value).ok_or_else(|| refuse(part))?),
                "user" | "client" if value.is_empty() => return Err(refuse(part)),
                "user" => fault.user = Some(value.to_owned()),
                "client" => fault.client = Some(value.to_owned()),
                "retry_after" => {
                    retry_after = Some(parse_duration(value).ok_or_else(|| refuse(part))?);
                }
                _ => return Err(refuse(part)),
            }
        }
        let (kind, value) = head.split_once('=').unwrap_or((head, ""));
        fault.kind = FaultKind::parse(kind, value, retry_after).ok_or_else(|| refuse(head))?;
        if retry_after.is_some() && !matches!(fault.kind, FaultKind::Status { .. }) {
            return Err(refuse("retry_after"));
        }
        Ok(fault)
    }
}

fn endpoint(name: &str) -> Option<Endpoint> {
    let found = ENDPOINTS.iter().find(|(known, _)| *known == name);
    found.map(|(_, endpoint)| *endpoint)
}

/// A request's endpoint, user and client, as far as known before it is served.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) endpoint: Endpoint,
    pub(crate) user: Option<String>,
    pub(crate) client: Option<String>,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: u32,
    active: Vec<(u32, Fault)>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> u32 {
        self.next += 1;
        self.active.push((self.next, fault));
        self.next
    }

    /// Removes one fault, or all, and returns how many.
    pub(crate) fn clear(&mut self, number: Option<u32>) -> usize {
        let before = self.active.len();
        self.active
            .retain(|(known, _)| number.is_some_and(|number| number != *known));
        before - self.active.len()
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = (u32, String)> {
        self.active
            .iter()
            .map(|(number, fault)| (*number, fault.to_string()))
    }

    /// Uses up one occurrence of the first matching fault.
    pub(crate) fn take<T>(
        &mut self,
        arrival: &Arrival,
        wanted: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        let mut met = self.active.iter().enumerate();
        let (index, taken) = met.find_map(|(index, (_, fault))| {
            let kind = fault.meets(arrival).then_some(&fault.kind)?;
            Some((index, wanted(kind)?))
        })?;
        let left = self
            .active
            .get_mut(index)
            .map(|(_, fault)| &mut fault.times);
        if let Some(Some(times)) = left {
            *times = times.saturating_sub(1);
        }
        self.active.retain(|(_, fault)| fault.times != Some(0));
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_it_is_written() {
        for text in [
            "early-401,times=3",
            "status=503,retry_after=5s,times=2,at=refresh",
            "slow=250ms,at=mcp,user=alice,client=c",
            "error-in-200=bad_refresh_token",
            "outage",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
        }
        for text in [
            "",
            "flood",
            "slow",
            "status=200",
            "cut,at=moon",
            "cut,times=x",
            "cut,x",
            "cut,times=0",
            "cut=5",
            "cut,retry_after=5s",
            "cut,user=",
            "slow=5 parsecs",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_counted_fault_is_used_up_where_it_applies() {
        let mut faults = Faults::default();
        faults.add("cut,times=2,at=token,user=alice".parse().unwrap());
        let arrival = |endpoint, user: &str| Arrival {
            endpoint,
            user: Some(user.to_owned()),
            client: None,
        };
        let mut cut = |arrival: &Arrival| {
            faults
                .take(arrival, |kind| (*kind == FaultKind::Cut).then_some(()))
                .is_some()
        };
        assert!(!cut(&arrival(Endpoint::Mcp, "alice")));
        assert!(!cut(&arrival(Endpoint::Refresh, "bob")));
        assert!(cut(&arrival(Endpoint::Refresh, "alice")));
        assert!(cut(&arrival(Endpoint::Code, "alice")));
        assert!(!cut(&arrival(Endpoint::Code, "alice")));
    }
}
