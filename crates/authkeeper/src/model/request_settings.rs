//! What a person set of the requests of one connection, beside scope and resource.

use serde_json::{Value, json};

use super::ExtraHeaders;

/// What the requests of one connection carry, or leave out, because a person said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestSettings {
    /// Parameters of the request for access: the authorization request, the device's, or the client's own token request.
    pub authorization: Vec<(String, String)>,
    /// Parameters of every token request, refreshes included.
    pub token: Vec<(String, String)>,
    /// Headers of every request to the resource.
    pub headers: ExtraHeaders,
    /// The server refuses `resource` (RFC 8707): it is left out.
    pub without_resource: bool,
    /// A code challenge is trusted to a server that does not publish what it makes of one.
    pub pkce_unadvertised: bool,
}

/// Parameters that the flow itself sets, and the flag that sets them where there is one.
const OWN: [(&str, Option<&str>); 22] = [
    ("scope", Some("--scope")),
    ("resource", Some("--resource")),
    ("client_id", Some("--client-id")),
    ("redirect_uri", Some("--redirect-uri")),
    ("client_secret", Some("--client-secret-file")),
    ("client_assertion", Some("--private-key-file")),
    ("client_assertion_type", Some("--private-key-file")),
    ("assertion", Some("--assertion-file")),
    ("grant_type", Some("--grant")),
    ("response_type", None),
    ("response_mode", None),
    ("state", None),
    ("nonce", None),
    ("code", None),
    ("code_challenge", None),
    ("code_challenge_method", None),
    ("code_verifier", None),
    ("device_code", None),
    ("refresh_token", None),
    ("request", None),
    ("request_uri", None),
    ("dpop_jkt", None),
];

/// A parameter that can't be set by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnParameter {
    /// Its name.
    pub name: &'static str,
    /// The flag that sets it, if one does.
    pub flag: Option<&'static str>,
}

impl RequestSettings {
    /// Whether the flow sets this parameter itself.
    pub fn own_parameter(name: &str) -> Option<OwnParameter> {
        let (name, flag) = OWN.into_iter().find(|(own, _)| *own == name)?;
        Some(OwnParameter { name, flag })
    }

    /// These, and what is set beside them: the same parameter set again takes the place of the earlier one.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self {
            authorization: joined(self.authorization, more.authorization),
            token: joined(self.token, more.token),
            headers: self.headers.with(&more.headers),
            without_resource: self.without_resource || more.without_resource,
            pkce_unadvertised: self.pkce_unadvertised || more.pkce_unadvertised,
        }
    }

    /// What a token request carries that is a request for access as well: a client's own.
    pub fn of_own_request(&self) -> Vec<(String, String)> {
        joined(self.authorization.clone(), self.token.clone())
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn write(&self) -> Value {
        json!({
            "authorization": self.authorization, "token": self.token, "headers": self.headers.write(),
            "without_resource": self.without_resource, "pkce_unadvertised": self.pkce_unadvertised,
        })
    }

    pub(super) fn read(whole: Option<&Value>) -> Self {
        let field = |name: &str| whole.and_then(|whole| whole.get(name));
        let pairs = |name: &str| {
            let pairs = field(name).cloned();
            pairs
                .and_then(|pairs| serde_json::from_value(pairs).ok())
                .unwrap_or_default()
        };
        let flag = |name: &str| field(name).and_then(Value::as_bool).unwrap_or_default();
        Self {
            authorization: pairs("authorization"),
            token: pairs("token"),
            headers: ExtraHeaders::read(field("headers")),
            without_resource: flag("without_resource"),
            pkce_unadvertised: flag("pkce_unadvertised"),
        }
    }
}

fn joined(before: Vec<(String, String)>, more: Vec<(String, String)>) -> Vec<(String, String)> {
    let again = |key: &str| more.iter().any(|(name, _)| name == key);
    let kept = before.into_iter().filter(|(key, _)| !again(key));
    kept.collect::<Vec<_>>().into_iter().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExtraHeader;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn settings_read_back_what_they_wrote() {
        let all = RequestSettings {
            authorization: vec![pair("audience", "https://api.example")],
            token: vec![pair("tenant", "7")],
            headers: ExtraHeader::parse("X-Tenant: blue").into_iter().collect(),
            without_resource: true,
            pkce_unadvertised: true,
        };
        assert_eq!(RequestSettings::read(Some(&all.write())), all);
        assert!(RequestSettings::read(None).is_usual());
    }

    #[test]
    fn what_is_set_again_takes_the_place_of_what_was() {
        let before = RequestSettings {
            authorization: vec![pair("audience", "a"), pair("prompt", "login")],
            without_resource: true,
            ..RequestSettings::default()
        };
        let more = RequestSettings {
            authorization: vec![pair("audience", "b")],
            token: vec![pair("tenant", "7")],
            ..RequestSettings::default()
        };
        let both = before.with(more);
        let sent = [
            pair("prompt", "login"),
            pair("audience", "b"),
            pair("tenant", "7"),
        ];
        assert_eq!(both.of_own_request(), sent);
        assert!(both.without_resource);
    }

    #[test]
    fn what_the_flow_sets_is_not_set_by_hand() {
        let scope = RequestSettings::own_parameter("scope").unwrap();
        assert_eq!(scope.flag, Some("--scope"));
        assert_eq!(RequestSettings::own_parameter("state").unwrap().flag, None);
        assert_eq!(RequestSettings::own_parameter("audience"), None);
    }
}
