//! The fixed words of the catalogue's files, and how they are read.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::model::{ClientAuthMethod, RegistrationSource, ReplayRule};

/// Declares an enum of fixed words: the word in the file is the word in the documentation.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The fixed word in the file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// Whether something is so.
    #[derive(Default)]
    TriState {
        /// It is.
        Yes = "yes",
        /// It is not.
        No = "no",
        /// Nobody found out.
        #[default]
        Unknown = "unknown",
    }
);

words!(
    /// What the provider makes of a code challenge (RFC 7636).
    #[derive(Default)]
    Pkce {
        /// Without one it refuses.
        Required = "required",
        /// It checks one that comes.
        Supported = "supported",
        /// It does not know them.
        Unsupported = "unsupported",
        /// Nobody found out.
        #[default]
        Unknown = "unknown",
    }
);

words!(
    /// Which redirect URIs on this machine the provider takes.
    #[derive(Default)]
    Loopback {
        /// Any port, whatever port was registered (RFC 8252 §7.3).
        AnyPort = "any_port",
        /// Only the very URI that was registered: fix a port and register it.
        Exact = "exact",
        /// None: only `https` addresses.
        Refused = "refused",
        /// Nobody found out; register the exact URI.
        #[default]
        Unknown = "unknown",
    }
);

words!(
    /// A way to get a token.
    GrantKind {
        /// A person signs in in a browser.
        AuthorizationCode = "authorization_code",
        /// A person signs in on another device (RFC 8628).
        DeviceCode = "device_code",
        /// The client acts for itself.
        ClientCredentials = "client_credentials",
        /// A long-lived key that a person makes in the console.
        ApiKey = "api_key",
    }
);

words!(
    /// How the body of a token request is written.
    #[derive(Default)]
    BodyFormat {
        /// As RFC 6749 says.
        #[default]
        Form = "form",
        /// As a JSON object.
        Json = "json",
    }
);

words!(
    /// Whether a refresh brings a new refresh token.
    Rotates {
        /// At every refresh.
        Always = "always",
        /// Never: the first one is kept.
        Never = "never",
        /// A setting of the client or of the server decides.
        Optional = "optional",
        /// There are no refresh tokens at all.
        NoRefreshTokens = "no_refresh_tokens",
        /// Nobody found out.
        Unknown = "unknown",
    }
);

words!(
    /// What an error means for us.
    Means {
        /// Not now; nothing was harmed.
        Retry = "retry",
        /// A person must sign in again.
        Reauthorize = "reauthorize",
        /// Our client is refused: a setting of ours is wrong.
        Fatal = "fatal",
        /// What was asked for is refused.
        Permission = "permission",
        /// The provider may have acted or not.
        Unknown = "unknown",
    }
);

words!(
    /// How near a source is to the fact.
    SourceKind {
        /// The vendor's own documentation, source code or staff.
        Primary = "primary",
        /// Somebody else's words or code.
        Secondary = "secondary",
        /// Seen by us on a running server.
        Measured = "measured",
        /// Where the fact should be, but nobody has read it for this entry: check before relying on it.
        Unread = "unread",
    }
);

words!(
    /// A part of an entry that a source vouches for.
    Fact {
        /// The endpoints and the issuer.
        Endpoints = "endpoints",
        /// How clients are made and prove themselves, redirect rules, PKCE.
        Client = "client",
        /// Scopes, parameters and grants.
        Scopes = "scopes",
        /// What token requests and answers look like.
        Token = "token",
        /// Rotation and the replay rule.
        Rotation = "rotation",
        /// How long tokens live.
        Lifetimes = "lifetimes",
        /// The rows of errors.
        Errors = "errors",
        /// Keys made by hand.
        ApiKey = "api_key",
        /// The API's address and the check.
        Api = "api",
        /// The hosted MCP server.
        Mcp = "mcp",
    }
);

words!(
    /// Where a placeholder's value stands in an address, which decides what it may contain.
    PlaceholderKind {
        /// A host name, with or without a port.
        Host = "host",
        /// One label of a host name.
        Label = "label",
        /// One segment of a path.
        Segment = "segment",
    }
);

/// How long something lives: `"1h"`, `"90d"`, or one of the words `unlimited`, `configured`, `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Limit {
    /// So long.
    Of(Duration),
    /// Until it is revoked.
    Unlimited,
    /// As an administrator set it.
    Configured,
    /// Nobody found out.
    #[default]
    Unknown,
}

impl Limit {
    /// Reads a limit; none if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "unlimited" => Some(Self::Unlimited),
            "configured" => Some(Self::Configured),
            "unknown" => Some(Self::Unknown),
            _ => parse_duration(text).map(Self::Of),
        }
    }
}

/// `30s`, `10m`, `8h`, `90d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
    let (number, seconds) = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)))?;
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(duration) => {
                let seconds = duration.as_secs();
                let units = [(86400, "d"), (3600, "h"), (60, "min")];
                let whole = units
                    .iter()
                    .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
                match whole {
                    Some((unit, name)) => write!(f, "{} {name}", seconds / unit),
                    None => write!(f, "{seconds} s"),
                }
            }
            Self::Unlimited => f.write_str("unlimited"),
            Self::Configured => f.write_str("configured"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a limit; use \"30s\", \"10m\", \"8h\", \"90d\", \"unlimited\", \"configured\" or \"unknown\""
            ))
        })
    }
}

/// A replay rule in the words the configuration uses.
pub(super) fn replay<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ReplayRule, D::Error> {
    let text = String::deserialize(deserializer)?;
    ReplayRule::parse(&text).map_err(D::Error::custom)
}

/// How a client may prove itself, in the model's words.
pub(super) fn auth_methods<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ClientAuthMethod>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    let read = |word: &String| {
        ClientAuthMethod::parse(word)
            .ok_or_else(|| D::Error::custom(format!("{word:?} is no client authentication method")))
    };
    words.iter().map(read).collect()
}

/// The ways to a client id, in the model's words.
pub(super) fn registrations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<RegistrationSource>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    words
        .iter()
        .map(|word| {
            RegistrationSource::parse(word).ok_or_else(|| {
                D::Error::custom(format!(
                    "{word:?} is no way to a client id; use \"given\", \"dynamic\" or \"metadata_document\""
                ))
            })
        })
        .collect()
}
