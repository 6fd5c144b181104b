//! What the catalogue says of one provider. A field that is left out is not known, and the word `unknown` says so.

use std::{collections::BTreeMap, time::Duration};

use jiff::civil::Date;
use serde::Deserialize;

use super::words::{
    self, BodyFormat, Fact, GrantKind, Limit, Loopback, Means, Pkce, PlaceholderKind, Rotates,
    SourceKind, TriState,
};
use crate::model::{ClientAuthMethod, ProviderHabits, RegistrationSource, ReplayRule};

/// What is believed of a token that lives until it is revoked: long enough never to be refreshed for its age.
const UNLIMITED: Duration = Duration::from_hours(10 * 365 * 24);

/// One provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entry {
    /// What a person types: `connect NAME --provider github`.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// Other names that mean the same provider.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The vendor's own documentation of its OAuth.
    pub docs: String,
    /// What to know before choosing this entry, if there is something.
    #[serde(default)]
    pub about: String,
    /// The hosts by which its issuer and endpoints are recognised: a whole host (`github.com`), or a leading dot and
    /// every host below it (`.okta.com`). Not the host of its MCP server, which has an issuer of its own.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What a person must fill in, in the order in which to ask.
    #[serde(default, rename = "placeholder")]
    pub placeholders: Vec<Placeholder>,
    /// Where its authorization server is.
    pub endpoints: Endpoints,
    /// Its API and its MCP server.
    #[serde(default)]
    pub api: Api,
    /// How one comes to a client there.
    pub client: Client,
    /// What to ask for.
    pub scopes: Scopes,
    /// What its token requests and answers look like where they differ from RFC 6749.
    #[serde(default)]
    pub token: Token,
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// How long its tokens live.
    #[serde(default)]
    pub lifetimes: Lifetimes,
    /// What its errors mean.
    #[serde(default, rename = "error")]
    pub errors: Vec<ErrorRow>,
    /// Keys made by hand, if it has them.
    #[serde(default)]
    pub api_key: Option<ApiKey>,
    /// What could not be verified, in plain words.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// Where the facts are from.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

impl Entry {
    /// The habits by which its grants are refreshed. They can only be as careful as what is known: a configured rule
    /// goes before them.
    pub fn habits(&self) -> ProviderHabits {
        let default_lifetime = match self.lifetimes.access {
            Limit::Of(lifetime) => Some(lifetime),
            Limit::Unlimited => Some(UNLIMITED),
            Limit::Configured | Limit::Unknown => None,
        };
        let refresh_idle = match self.lifetimes.refresh_idle {
            Limit::Of(limit) => Some(limit),
            Limit::Unlimited | Limit::Configured | Limit::Unknown => None,
        };
        ProviderHabits::new(self.rotation.replay, default_lifetime)
            .refresh_idle(refresh_idle)
            .kills_access(self.rotation.kills_access_token == TriState::Yes)
            .tokens_in(self.token.nested_in.clone())
            .scope_in_refresh(self.token.scope_in_refresh)
    }
}

/// Something in the addresses that differs from account to account, written `{name}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Placeholder {
    /// The name between the braces.
    pub name: String,
    /// Where it stands, which decides what it may contain.
    pub kind: PlaceholderKind,
    /// What to ask the person.
    pub question: String,
    /// A value as it might be typed.
    pub example: String,
    /// What is taken when nothing is given.
    #[serde(default)]
    pub default: Option<String>,
}

/// Where an authorization server is. Addresses may contain placeholders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Endpoints {
    /// The issuer identifier. Where the vendor publishes none, the address under which we keep what we know of it.
    pub issuer: String,
    /// Whether the vendor publishes metadata for this issuer (RFC 8414 or `OpenID` Connect discovery): then these are
    /// used, and the endpoints below may be left out.
    #[serde(default)]
    pub discovery: Option<String>,
    /// Where a person signs in.
    #[serde(default)]
    pub authorization: Option<String>,
    /// Where codes and refresh tokens are exchanged.
    #[serde(default)]
    pub token: Option<String>,
    /// Where refresh tokens are exchanged, where that is another address.
    #[serde(default)]
    pub refresh: Option<String>,
    /// RFC 7009, or near enough that our request is understood.
    #[serde(default)]
    pub revocation: Option<String>,
    /// RFC 8628.
    #[serde(default)]
    pub device_authorization: Option<String>,
    /// RFC 7662.
    #[serde(default)]
    pub introspection: Option<String>,
    /// `OpenID` Connect's userinfo.
    #[serde(default)]
    pub userinfo: Option<String>,
    /// Token endpoints of earlier versions of this entry that end.
    #[serde(default)]
    pub retired: Vec<Retired>,
}

/// An address that the vendor switches off.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Retired {
    /// The address.
    pub url: String,
    /// The first day without it.
    pub ends: Date,
}

/// An API and an MCP server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Api {
    /// Where the API starts.
    #[serde(default)]
    pub base: Option<String>,
    /// A harmless call that proves a token.
    #[serde(default)]
    pub check: Option<Check>,
    /// The vendor's own MCP server. It is connected by discovery, with the issuer it names: nothing else in this entry
    /// is true of it.
    #[serde(default)]
    pub mcp: Option<String>,
    /// What else to know of it.
    #[serde(default)]
    pub note: String,
}

/// A harmless call that succeeds with a good token only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Check {
    /// Where.
    pub url: String,
    /// `GET` unless the API has nothing to get.
    #[serde(default = "get")]
    pub method: String,
    /// Headers the API insists on beside `Authorization`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A body, if the method needs one.
    #[serde(default)]
    pub body: Option<String>,
    /// A field of the JSON answer that must be `true`, for an API that answers 200 to everything.
    #[serde(default)]
    pub succeeds_if: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// How one comes to a client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Client {
    /// The ways to a client id.
    #[serde(deserialize_with = "words::registrations")]
    pub registration: Vec<RegistrationSource>,
    /// Where a person makes one.
    #[serde(default)]
    pub console_url: Option<String>,
    /// What the person does there, step by step.
    #[serde(default)]
    pub console: Vec<String>,
    /// How it may prove itself, the best first.
    #[serde(deserialize_with = "words::auth_methods")]
    pub auth: Vec<ClientAuthMethod>,
    /// What is made of a code challenge.
    #[serde(default)]
    pub pkce: Pkce,
    /// Which redirect URIs on this machine are taken.
    #[serde(default)]
    pub loopback: Loopback,
    /// What else to know of redirect URIs.
    #[serde(default)]
    pub redirect_note: String,
}

/// What to ask for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scopes {
    /// What stands between two scopes in the authorization request.
    #[serde(default = "space")]
    pub separator: String,
    /// What is asked for when a person names nothing: little, and enough for the check.
    #[serde(default)]
    pub default: Vec<String>,
    /// Scopes without which no refresh token comes.
    #[serde(default)]
    pub for_refresh: Vec<String>,
    /// Parameters of the authorization request without which no refresh token comes, or nothing works at all.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The ways to a token.
    pub grants: Vec<GrantKind>,
    /// What else to know of them.
    #[serde(default)]
    pub note: String,
}

fn space() -> String {
    " ".to_owned()
}

/// How token requests and answers differ from RFC 6749.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Token {
    /// How the request's body is written.
    #[serde(default)]
    pub body: BodyFormat,
    /// Headers the token endpoint insists on.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The field of the answer under which the tokens are, where they are not on top.
    #[serde(default)]
    pub nested_in: Option<String>,
    /// Whether a refresh must name the granted scope: without it the answer lacks the access token, or is a refusal.
    #[serde(default)]
    pub scope_in_refresh: bool,
    /// Form fields of a refresh beside those of RFC 6749 §6.
    #[serde(default)]
    pub refresh_parameters: BTreeMap<String, String>,
    /// Form fields of a code's exchange beside those of RFC 6749 §4.1.3.
    #[serde(default)]
    pub exchange_parameters: BTreeMap<String, String>,
    /// Whether the answer says how long the access token lives.
    #[serde(default)]
    pub says_expires_in: TriState,
    /// The field that says how long the refresh token lives.
    #[serde(default)]
    pub refresh_lifetime_field: Option<String>,
    /// What else to know.
    #[serde(default)]
    pub note: String,
}

/// What a refresh does to the refresh token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rotation {
    /// Whether a new refresh token comes.
    pub rotates: Rotates,
    /// What happens when the old one comes again. Where a setting decides, the careful one.
    #[serde(deserialize_with = "words::replay")]
    pub replay: ReplayRule,
    /// Whether the old access token dies at a refresh.
    #[serde(default)]
    pub kills_access_token: TriState,
    /// Whether a rotation lengthens the life of the grant.
    #[serde(default)]
    pub extends: TriState,
    /// What else to know: which setting decides, what its default is.
    #[serde(default)]
    pub note: String,
}

/// How long tokens live.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Lifetimes {
    /// An access token.
    #[serde(default)]
    pub access: Limit,
    /// A grant, from the sign-in on, however much it is used.
    #[serde(default)]
    pub refresh: Limit,
    /// A refresh token that is not used.
    #[serde(default)]
    pub refresh_idle: Limit,
    /// Other limits, in words.
    #[serde(default)]
    pub others: Vec<String>,
}

/// One error of a token endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ErrorRow {
    /// When it comes.
    pub when: String,
    /// The HTTP status.
    pub status: u16,
    /// The error code.
    pub code: String,
    /// The provider's words beside it, where they matter.
    #[serde(default)]
    pub description: Option<String>,
    /// The whole body, where it is not an `error` with an `error_description`.
    #[serde(default)]
    pub body: Option<String>,
    /// What it means for us.
    pub means: Means,
}

/// Keys made by hand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ApiKey {
    /// What the vendor calls them.
    pub called: String,
    /// The header that carries one.
    pub header: String,
    /// What stands before the key in that header; empty for the bare key.
    #[serde(default)]
    pub scheme: String,
    /// Where a person makes one.
    #[serde(default)]
    pub url: Option<String>,
    /// How long one lives.
    #[serde(default)]
    pub lifetime: Limit,
    /// How one is replaced without a gap.
    #[serde(default)]
    pub rotation: String,
}

/// Where a fact is from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Source {
    /// The document.
    pub url: String,
    /// When it was read.
    pub date: Date,
    /// How near it is to the fact.
    pub kind: SourceKind,
    /// What it vouches for.
    pub supports: Vec<Fact>,
    /// What it is, where its address does not say so.
    #[serde(default)]
    pub note: String,
}

/// Authorization-server software, recognised by how it behaves and not by where it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Software {
    /// Its name.
    pub name: String,
    /// What a person reads.
    pub title: String,
    /// Its home.
    pub docs: String,
    /// By what one knows it, in plain words.
    pub recognised_by: Vec<String>,
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// What its errors mean.
    #[serde(default, rename = "error")]
    pub errors: Vec<ErrorRow>,
    /// What else surprises a client.
    #[serde(default)]
    pub traps: Vec<String>,
    /// Where the facts are from.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}
