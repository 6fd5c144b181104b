//! The call that proves a connection.

use authkeeper::{catalogue, model::Connection};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::forward::Target;

/// The call that proves the connection.
#[derive(Debug)]
pub enum CheckCall {
    /// One HTTP request.
    Request(Box<Probe>),
    /// The MCP server's `tools/list`.
    Tools,
}

/// One HTTP request.
#[derive(Debug)]
pub struct Probe {
    /// Its method.
    pub method: Method,
    /// Where it goes, seen from the connection's URL.
    pub target: Target,
    /// Its headers beside the credential.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The field of the JSON answer that must be true.
    pub succeeds_if: Option<String>,
}

/// The connection's own check, else its provider's, else `tools/list`.
pub fn check_call_of(connection: &Connection) -> CheckCall {
    if let Some(url) = &connection.check_url {
        return CheckCall::Request(Box::new(Probe::get(Target::of_same_server(url))));
    }
    let entry = connection.provider.as_deref().and_then(catalogue::named);
    let Some(known) = entry.and_then(|entry| entry.api.check.as_ref()) else {
        return CheckCall::Tools;
    };
    let base = entry.and_then(|entry| entry.api.base.as_deref());
    let Some(target) = target_of(&known.url, base, &connection.url) else {
        return CheckCall::Tools;
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &known.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    CheckCall::Request(Box::new(Probe {
        method: Method::try_from(known.method.as_str()).unwrap_or(Method::GET),
        target,
        headers,
        body: known.body.clone().unwrap_or_default().into(),
        succeeds_if: known.succeeds_if.clone(),
    }))
}

/// Where a provider's check is, seen from a connection: below its URL as the entry has it below the API's base, or at
/// the entry's own address if that is on the connection's server. None if the connection is to another server (the
/// vendor's MCP server, say).
fn target_of(check: &str, base: Option<&str>, url: &str) -> Option<Target> {
    let fits = |target: &Target| target.under(url).is_ok();
    let whole = Target::of_same_server(check);
    if !check.contains('{') {
        return Some(whole).filter(fits);
    }
    // The address differs from account to account: what it ends with does not.
    let below = check.strip_prefix(base?)?;
    let (path, query) = below
        .split_once('?')
        .map_or((below, None), |(path, query)| (path, Some(query)));
    let below = Target::below(path, query).ok();
    below.filter(|target| !path.contains('{') && fits(target))
}

impl Probe {
    /// A GET without a body.
    pub fn get(target: Target) -> Self {
        Self {
            method: Method::GET,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            succeeds_if: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_s_check_is_made_on_the_connection_s_own_server() {
        let at = |check: &str, base: Option<&str>, url: &str| {
            let target = target_of(check, base, url)?;
            Some(target.under(url).unwrap().to_string())
        };
        let api = "https://api.github.com";
        assert_eq!(
            at("https://api.github.com/user", Some(api), api).unwrap(),
            "https://api.github.com/user"
        );
        let mcp = "https://api.githubcopilot.com/mcp/";
        assert_eq!(at("https://api.github.com/user", Some(api), mcp), None);
        let (check, base) = ("https://{host}/api/v4/user", Some("https://{host}/api/v4"));
        assert_eq!(
            at(check, base, "https://git.example/api/v4").unwrap(),
            "https://git.example/api/v4/user"
        );
        assert_eq!(at(check, None, "https://git.example/api/v4"), None);
    }
}
