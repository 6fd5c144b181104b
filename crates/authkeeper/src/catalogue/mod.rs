//! What is known of providers: endpoints, scopes, habits of their token endpoints, and what a person does in their
//! console. Data, not code: one TOML file a provider under `providers/`, compiled in, each fact with its source and its
//! date.
//!
//! An unknown provider needs no entry; it works by discovery. An entry saves questions ([`Entry::fill`]), and tells the
//! refresh transaction what a replayed refresh token does ([`Entry::habits`]). Where nobody found something out, the
//! entry says `unknown`, and the transaction is careful.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use authkeeper::catalogue;
//!
//! let gitlab = catalogue::named("gitlab").ok_or("not in the catalogue")?;
//! let here = BTreeMap::from([("host".to_owned(), "git.example.com".to_owned())]);
//! assert_eq!(gitlab.fill(&here)?.issuer, "https://git.example.com");
//! assert!(catalogue::recognise("https://evil-github.com").is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod entry;
mod fill;
#[cfg(test)]
mod markdown;
mod words;

use std::sync::LazyLock;

use serde::de::DeserializeOwned;

pub use self::{
    entry::{
        Api, ApiKey, Check, Client, Endpoints, Entry, ErrorRow, Lifetimes, Placeholder, Retired,
        Rotation, Scopes, Software, Source, Token,
    },
    fill::{FillError, Filled},
    words::{
        BodyFormat, Fact, GrantKind, Limit, Loopback, Means, Pkce, PlaceholderKind, Rotates,
        SourceKind, TriState,
    },
};
use crate::{http::HttpUrl, text::similar};

/// Names of files in a folder, with their texts.
macro_rules! files {
    ($folder:literal: $($name:literal)+) => {
        &[$(($name, include_str!(concat!($folder, "/", $name, ".toml")))),+]
    };
}

const PROVIDERS: &[(&str, &str)] = files!("providers":
    "airtable" "amazon-sp-api" "asana" "atlassian" "auth0" "azure-ad-b2c" "box" "calendly"
    "cloudflare" "cognito" "dropbox" "ebay" "figma" "fitbit" "github" "github-app" "gitlab"
    "google" "hubspot" "keycloak" "linear" "linkedin" "microsoft" "notion" "okta" "quickbooks"
    "reddit" "salesforce" "sentry" "shopify" "slack" "spotify" "stack-exchange" "strava" "stripe"
    "supabase" "twitch" "withings" "x" "xero" "yahoo" "zendesk" "zoho" "zoom"
);

const SOFTWARE: &[(&str, &str)] = files!("software":
    "authgent-server" "better-auth" "canaille" "django-oauth-toolkit" "fastmcp" "glewlwyd"
    "lemonldap-ng" "oidc-provider" "workers-oauth-provider"
);

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| read_all(PROVIDERS));
static KNOWN_SOFTWARE: LazyLock<Vec<Software>> = LazyLock::new(|| read_all(SOFTWARE));

/// A test reads every file, so that none is left out in a release.
fn read_all<T: DeserializeOwned>(files: &[(&str, &str)]) -> Vec<T> {
    let read = |(name, text): &(&str, &str)| {
        toml::from_str(text)
            .inspect_err(|error| tracing::error!(name, %error, "a catalogue file can't be read"))
            .ok()
    };
    files.iter().filter_map(read).collect()
}

/// Every provider, by name.
pub fn all() -> &'static [Entry] {
    &ENTRIES
}

/// Authorization-server software that others run, by name.
pub fn software() -> &'static [Software] {
    &KNOWN_SOFTWARE
}

/// The provider of this name or alias, whatever its case.
pub fn named(name: &str) -> Option<&'static Entry> {
    let is_it = |candidate: &String| candidate.eq_ignore_ascii_case(name);
    all()
        .iter()
        .find(|entry| is_it(&entry.name) || entry.aliases.iter().any(is_it))
}

/// The names that a person who typed `name` may have meant, the nearest first, at most three.
pub fn similar(name: &str) -> Vec<&'static str> {
    let typed = name.to_ascii_lowercase();
    let mut near: Vec<(usize, &'static str)> = all()
        .iter()
        .filter_map(|entry| Some((nearness(&typed, entry)?, entry.name.as_str())))
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How far what was typed is from the nearest of an entry's names; none if that is too far to be a slip.
fn nearness(typed: &str, entry: &'static Entry) -> Option<usize> {
    std::iter::once(&entry.name)
        .chain(&entry.aliases)
        // Any letter is near a name of one letter.
        .filter(|candidate| candidate.len() > 1)
        .filter_map(|candidate| similar::slips(typed, candidate))
        .min()
}

/// The provider behind an issuer or one of its endpoints, by its whole host: `evil-github.com`, `github.com.evil.com`
/// and `https://github.com@evil.com` are nobody.
pub fn recognise(issuer_or_url: &str) -> Option<&'static Entry> {
    let url = HttpUrl::parse(issuer_or_url).ok()?;
    let rank = |entry: &&'static Entry| {
        let patterns = entry.hosts.iter();
        patterns
            .filter(|p| covers(p, url.host()))
            .map(String::len)
            .max()
    };
    let ranked = all()
        .iter()
        .filter_map(|entry| Some((rank(&entry)?, entry)));
    ranked
        .max_by_key(|(length, _)| *length)
        .map(|(_, entry)| entry)
}

/// The provider whose own MCP server this is. It is connected by discovery; only the entry's title, its console and
/// its documentation say something about it.
pub fn recognise_mcp(url: &str) -> Option<&'static Entry> {
    let url = HttpUrl::parse(url).ok()?;
    all().iter().find(|entry| {
        let mcp = entry
            .api
            .mcp
            .as_deref()
            .and_then(|mcp| HttpUrl::parse(mcp).ok());
        mcp.is_some_and(|mcp| mcp.same_origin(&url))
    })
}

/// A pattern is a whole host, or a dot and what every host below ends with.
fn covers(pattern: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    if pattern.starts_with('.') {
        host.len() > pattern.len() && host.ends_with(pattern)
    } else {
        host == pattern
    }
}

#[cfg(test)]
mod tests;
