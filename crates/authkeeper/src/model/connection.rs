//! A connection: one authorized account at one provider for one resource, owned by a principal.

use std::fmt;

use jiff::Timestamp;

use super::{
    ClientId, ConnectionName, Grant, GrantId, GrantLifecycle, Issuer, PrincipalId,
    ReauthorizeReason, Resource, Scope, SuspendReason,
};

/// On whose authority a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Which principal.
    pub id: PrincipalId,
}

/// One authorized account at one provider for one resource.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What a person calls it.
    pub name: ConnectionName,
    /// On whose authority it is used.
    pub principal: PrincipalId,
    /// Where calls go: the MCP endpoint or the API's base, exactly as it was typed.
    pub url: String,
    /// The `resource` its tokens are for, exactly as the resource's metadata spells it.
    pub resource: Option<Resource>,
    /// Who issues its tokens.
    pub issuer: Issuer,
    /// Whether a person named the issuer; else the resource's metadata did.
    pub issuer_given: bool,
    /// Whether the host a person named is one of this machine or of an internal network, so that the URLs it leads to
    /// may be too.
    pub internal: bool,
    /// The client that signs in.
    pub client_id: ClientId,
    /// What is asked for at a sign-in; none leaves it to the server.
    pub scope: Option<Scope>,
    /// Which entry of the catalogue it was connected by.
    pub provider: Option<String>,
    /// How its token is shown to the resource.
    pub presentation: Presentation,
    /// A harmless request that proves the token, for `check`; none asks the MCP server for its tools.
    pub check_url: Option<String>,
    /// The grant it uses, once a sign-in is done.
    pub grant: Option<GrantId>,
    /// When it was first connected.
    pub created: Timestamp,
}

/// How a token is shown to the resource: in which header, after which word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    header: String,
    scheme: Option<String>,
}

/// A header that no token may stand in.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} can't carry a key; name a header, like \"X-API-Key\", or a header and a word, like \"Authorization: Token\""
)]
pub struct InvalidPresentation(String);

impl Default for Presentation {
    /// RFC 6750 §2.1.
    fn default() -> Self {
        Self {
            header: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
        }
    }
}

impl Presentation {
    /// RFC 9449 §7.1: for a token that is bound to a key.
    pub fn bound() -> Self {
        Self {
            header: "authorization".to_owned(),
            scheme: Some("DPoP".to_owned()),
        }
    }

    /// Headers that say where a request goes or how long it is: a key there would break it.
    const TAKEN: [&str; 14] = [
        "host",
        "expect",
        "keep-alive",
        "mcp-session-id",
        "proxy-authorization",
        "proxy-connection",
        "trailer",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "te",
        "upgrade",
        "cookie",
    ];

    /// Reads `Header` or `Header: Word`.
    pub fn parse(text: &str) -> Result<Self, InvalidPresentation> {
        let invalid = || InvalidPresentation(text.to_owned());
        let (header, scheme) = text
            .split_once(':')
            .map_or((text, ""), |(header, scheme)| (header, scheme.trim()));
        let header = header.trim().to_ascii_lowercase();
        let token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let good = token(&header)
            && !Self::TAKEN.contains(&header.as_str())
            && (scheme.is_empty() || token(scheme));
        good.then(|| Self {
            header,
            scheme: (!scheme.is_empty()).then(|| scheme.to_owned()),
        })
        .ok_or_else(invalid)
    }

    /// The header's name, in lower case.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// What stands before the token: the word and a space, or nothing.
    pub fn prefix(&self) -> String {
        self.scheme
            .as_ref()
            .map(|scheme| format!("{scheme} "))
            .unwrap_or_default()
    }
}

impl fmt::Display for Presentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Some(scheme) => write!(f, "{}: {scheme}", self.header),
            None => f.write_str(&self.header),
        }
    }
}

/// The life cycle of a connection. "Expired" is told by the clock and "refreshing" is a claim: neither is a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The first sign-in is not done.
    Pending,
    /// Usable.
    Active,
    /// A person must sign in again.
    ReauthorizationRequired {
        /// Why.
        reason: ReauthorizeReason,
        /// Since when.
        since: Timestamp,
    },
    /// Authority is withdrawn for now.
    Suspended {
        /// Why.
        reason: SuspendReason,
        /// Since when.
        since: Timestamp,
    },
    /// Disconnected.
    Revoked,
}

impl Connection {
    /// The scope that the last sign-in asked for; where it named none, the scope that was granted.
    pub fn requested_scope(&self, grant: &Grant) -> Option<Scope> {
        let granted = || grant.access.as_ref()?.scope.clone();
        self.scope.clone().or_else(granted)
    }
}

impl ConnectionState {
    /// The state of a connection whose grant is this one.
    pub fn of(grant: Option<&Grant>) -> Self {
        match grant.map(|grant| &grant.lifecycle) {
            None => Self::Pending,
            Some(GrantLifecycle::Active) => Self::Active,
            Some(GrantLifecycle::ReauthorizationRequired { reason, since }) => {
                Self::ReauthorizationRequired {
                    reason: *reason,
                    since: *since,
                }
            }
            Some(GrantLifecycle::Suspended { reason, since }) => Self::Suspended {
                reason: *reason,
                since: *since,
            },
            Some(GrantLifecycle::Revoked { .. }) => Self::Revoked,
        }
    }

    /// The fixed word stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::ReauthorizationRequired { .. } => "reauthorization_required",
            Self::Suspended { .. } => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presentation_reads_back_what_it_prints() {
        for text in ["authorization: Bearer", "x-api-key", "authorization: Token"] {
            assert_eq!(Presentation::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Presentation::parse("Authorization: Bearer").unwrap(),
            Presentation::default()
        );
        for bad in ["", "Host", "X Key", "X-Key: a b", "X-Key\r\nY", "Cookie: x"] {
            assert!(Presentation::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_presentation_says_what_stands_where() {
        let shown = |text| Presentation::parse(text).unwrap();
        let token = shown("Authorization: Token");
        assert_eq!(
            (token.header(), token.prefix().as_str()),
            ("authorization", "Token ")
        );
        let key = shown("X-API-Key");
        assert_eq!((key.header(), key.prefix().as_str()), ("x-api-key", ""));
        for good in ["x_key", "x.key", "x-1: T_o.k-2"] {
            assert!(Presentation::parse(good).is_ok(), "{good:?}");
        }
        assert!(Presentation::parse(": Bearer").is_err());
    }

    #[test]
    fn a_state_has_a_word() {
        let (since, reason) = (Timestamp::UNIX_EPOCH, ReauthorizeReason::KeyRefused);
        let suspended = SuspendReason::Manual;
        assert_eq!(ConnectionState::of(None), ConnectionState::Pending);
        for (state, word) in [
            (ConnectionState::Pending, "pending"),
            (ConnectionState::Active, "active"),
            (
                ConnectionState::ReauthorizationRequired { reason, since },
                "reauthorization_required",
            ),
            (
                ConnectionState::Suspended {
                    reason: suspended,
                    since,
                },
                "suspended",
            ),
            (ConnectionState::Revoked, "revoked"),
        ] {
            assert_eq!(state.as_str(), word);
        }
    }
}
