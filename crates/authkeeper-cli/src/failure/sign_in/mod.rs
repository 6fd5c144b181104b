//! What to do about a sign-in that did not come about.

mod own_client;

use authkeeper::{
    http::{ConnectError as Unconnected, ExchangeError},
    model::ConnectionName,
    oauth::{
        WireError,
        assertion::GivenError,
        authorize::RedirectError,
        device::DeviceError,
        discovery::{DiscoveryError, issuer_of_place},
        register::RegistrationError,
    },
    signin::ConnectError,
    store::StoreError,
};

use super::{Failure, REPORT, url_advice};
use crate::exit::Exit;

const CHECK_CLIENT: &str = "check --client-id and --client-secret-file or --client-cert; if they are right, --client-auth \
                            names the way the provider wants the secret shown. Then run the same command again";
const CHECK_ADDRESS: &str = "check the URL for a typing error and the network (behind a proxy: set HTTPS_PROXY), then try again";

impl Failure {
    /// The same of a sign-in that is repeated in place: URL and client worked once, and are no flags of that command.
    pub(crate) fn again(mut self, name: &ConnectionName, url: &str) -> Self {
        for flag in ["--issuer", "--client-id", "--client-metadata-url"] {
            let here = format!("run the same command with {flag}");
            let there = format!("run authkeeper connect {name} {url} {flag}");
            self.next = self.next.replace(&here, &there);
        }
        if self.next == CHECK_CLIENT {
            self.next = format!(
                "check the client at the provider; if its secret was replaced: authkeeper rotate {name} \
                 --client-secret-file FILE"
            );
        }
        if self.next == CHECK_ADDRESS {
            "check the network (behind a proxy: set HTTPS_PROXY), then try again; nothing was changed"
                .clone_into(&mut self.next);
        }
        self
    }

    /// A sign-in that did not come about. `given`: whether the client was given by a person; else none is asked for it.
    pub(crate) fn of_sign_in(error: ConnectError, given: bool) -> Self {
        let advice = own_client::advice(&error).filter(|_| !given);
        let failure = Self::from(error);
        match advice {
            Some((exit, next)) => Self {
                exit,
                next,
                ..failure
            },
            None => failure,
        }
    }
}

/// What the person does next about a sign-in that came to nothing, for the page in their browser.
pub(crate) fn next_step(error: &ConnectError, given: bool) -> String {
    let own = || own_client::advice(error).filter(|_| !given);
    let remedy = || unconnected(error).and_then(Unconnected::remedy);
    match (error, remedy()) {
        (ConnectError::Store(store), _) => super::store_advice(store).1,
        (_, Some(remedy)) => remedy.to_owned(),
        _ => own().unwrap_or_else(|| connect_advice(error)).1,
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        if let ConnectError::Store(store) = error {
            return unstored(store);
        }
        if let ConnectError::NoSuchConnection(name) = &error {
            return Self::no_connection(name, error.to_string());
        }
        let remedy = unconnected(&error).and_then(Unconnected::remedy);
        let (exit, next) = match remedy {
            Some(remedy) => (Exit::Config, remedy.to_owned()),
            None => connect_advice(&error),
        };
        Self::new(exit, error.to_string(), next)
    }
}

/// The connection that did not come about.
fn unconnected(error: &ConnectError) -> Option<&Unconnected> {
    match error {
        ConnectError::Wire(WireError::Connect(error))
        | ConnectError::Discovery(
            DiscoveryError::Wire(WireError::Connect(error))
            | DiscoveryError::PublishedUnreachable { source: error, .. },
        )
        | ConnectError::Registration(RegistrationError::Wire(WireError::Connect(error))) => {
            Some(error)
        }
        _ => None,
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

/// What to do about a sign-in that did not come about. The flows' own errors have a function each.
fn connect_advice(error: &ConnectError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        ConnectError::NameTaken { name, .. } => (
            Exit::Usage,
            format!(
                "choose another name, like {name}-2, and run the same command with it; authkeeper disconnect {name} \
                 gives up what is there"
            ),
        ),
        ConnectError::IssuerChanged { name, url, now, .. } => (
            Exit::Config,
            format!(
                "if the server's operator announced it, register a client at {now}, then authkeeper connect {name} {url} \
                 --client-id ID [--client-secret-file FILE]; else do not go on"
            ),
        ),
        ConnectError::Discovery(error) => discovery_advice(error),
        ConnectError::Registration(error) => registration_advice(error),
        ConnectError::Redirect(error) => redirect_advice(error),
        ConnectError::Device(error) => device_advice(error),
        ConnectError::Listen(_) => own(
            Exit::Config,
            "choose a free port with --callback-port or leave it out to take any; where the provider takes no other, run the \
             same command with --headless, which needs no port",
        ),
        ConnectError::ScopeRefused { .. } => own(Exit::Permission, CHOOSE_SCOPES),
        ConnectError::TimedOut(_) => own(
            Exit::Person,
            "run the same command again and open the printed URL in a browser on this machine (set BROWSER to the \
             browser's command if none opened); or run the same command with --headless, for a browser elsewhere. If the \
             page showed an error, check --client-id and --redirect-uri",
        ),
        ConnectError::StillOpen(_) => own(
            Exit::Person,
            "run the same command again: it goes on with the same sign-in",
        ),
        ConnectError::NothingPasted => own(
            Exit::Person,
            "run the same command again: the same sign-in goes on; then paste the URL that the browser ended at",
        ),
        ConnectError::OtherEndpoint { .. } => own(
            Exit::Data,
            "check --token-url: a refresh token goes only to the server that it is known to be from",
        ),
        ConnectError::InUse(name) => (
            Exit::Usage,
            format!("import it under another name, or authkeeper disconnect {name} first"),
        ),
        ConnectError::HeldBy(name) => (
            Exit::Usage,
            format!(
                "a refresh token belongs to one connection: sign in again with authkeeper connect, or authkeeper disconnect {name} first"
            ),
        ),
        ConnectError::NoTokens { passing: false, .. }
        | ConnectError::Wire(WireError::Exchange {
            source: ExchangeError::TooLarge { .. },
            ..
        }) => own(Exit::Data, IN_BETWEEN),
        ConnectError::Wire(error) if is_internal(error) => own(Exit::Data, SERVERS_MISTAKE),
        ConnectError::Wire(_) => own(Exit::Unavailable, "check the network, then try again"),
        ConnectError::Url(error) => (Exit::Usage, url_advice(error)),
        error => refusal_advice(error),
    }
}

/// What to do about an answer of the token endpoint that brought no tokens.
fn refusal_advice(error: &ConnectError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        ConnectError::ClientRefused { .. } => own(Exit::Config, CHECK_CLIENT),
        // A code is good once and for a minute or so: what was wrong with it is over with it.
        ConnectError::CodeRefused { refused, .. } if refused.code == "invalid_grant" => own(
            Exit::Person,
            "run the same command again, and finish the sign-in without a pause",
        ),
        ConnectError::CodeRefused { refused, .. } => refused_advice(&refused.to_string()),
        ConnectError::Unexplained { .. } => own(
            Exit::Unavailable,
            "check --client-id, --client-secret-file and --redirect-uri; if they are right, run the same command again",
        ),
        ConnectError::TokenEndpointMoved { .. } => own(
            Exit::Config,
            "ask the provider where its token endpoint is: the one that its metadata names is not there",
        ),
        ConnectError::NoTokens { passing: true, .. } => own(
            Exit::Unavailable,
            "the provider returned a server error; run the same command again later",
        ),
        error => credential_advice(error),
    }
}

/// A public server led to an internal address.
fn is_internal(error: &WireError) -> bool {
    matches!(error, WireError::Connect(Unconnected::Internal { .. }))
}

const SERVERS_MISTAKE: &str =
    "the mistake is the server's, and nothing that was typed: tell the server's operator";
const IN_BETWEEN: &str =
    "a proxy or firewall may stand in between; check the URL, then run the same command again";
const NO_SUCH_SCOPE: &str = "the provider does not give a scope that was asked for: name those that its documentation \
                             names with --scope, spaces between them; if a call had been refused for lack of one, the \
                             same command asks without it now";
const CHOOSE_SCOPES: &str =
    "choose among the scopes that it lists, and run the same command with --scope 'ONE ANOTHER'";
const NO_RESOURCE: &str =
    "the provider refuses the resource that was named: run the same command with --no-resource";
const REDIRECT_URI: &str = "register the redirect URI http://127.0.0.1:8976/callback at the provider, then run the same \
                            command with --redirect-uri http://127.0.0.1:8976/callback --client-id ID";
const REGISTER: &str = "register a client at the provider with the redirect URI http://127.0.0.1:8976/callback, then run \
                        the same command with --redirect-uri http://127.0.0.1:8976/callback --client-id ID (and \
                        --client-secret-file FILE if it has a secret)";
const ALLOW: &str = "run the same command again and allow access; nothing was changed";

/// What to do about a key or a secret.
fn credential_advice(error: &ConnectError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        ConnectError::Assertion(_) => own(
            Exit::Config,
            "give the key that the client is registered with; openssl pkcs8 -topk8 -nocrypt turns an old format into \
             PKCS#8",
        ),
        ConnectError::Given(GivenError::Expired { .. }) => own(
            Exit::Unavailable,
            "run the same command again once a new one is there",
        ),
        ConnectError::Given(GivenError::NotYet { .. }) => own(
            Exit::Unavailable,
            "set the clock of this machine right, or run the same command again later",
        ),
        ConnectError::Given(_) => own(
            Exit::Data,
            "put the token alone into that file, then run the same command again",
        ),
        ConnectError::ProofKey(_) => own(
            Exit::Config,
            "run the same command again, which makes a new key",
        ),
        ConnectError::NotVouched { passing: true, .. } => own(
            Exit::Unavailable,
            "the identity provider returned a server error; run the same command again later",
        ),
        ConnectError::NotVouched { .. } => own(
            Exit::Permission,
            "check the person's token, the client at the identity provider, and whether it is allowed to vouch to this server",
        ),
        ConnectError::AssertionRefused { .. } => own(
            Exit::Permission,
            "check at that server who it trusts, for which audience and subject, and the client there",
        ),
        ConnectError::SpentSubject { .. } => own(
            Exit::Person,
            "sign in at the identity provider again, and put the new refresh token into the file",
        ),
        ConnectError::GrantMaterialLost(name) => (
            Exit::Usage,
            format!("authkeeper connect {name} again, as it was connected before"),
        ),
        ConnectError::NoSecret { .. } => own(
            Exit::Usage,
            "add --client-id ID with --client-secret-file FILE, --private-key-file FILE or --client-cert FILE (where the \
             provider does not list tls_client_auth, --client-auth tls_client_auth too)",
        ),
        ConnectError::BadKey => own(
            Exit::Data,
            "copy the key again from the provider's console, alone on one line",
        ),
        ConnectError::NoKey { name, .. } => (
            Exit::Usage,
            format!(
                "authkeeper rotate {name} --client-secret-file FILE replaces its client's secret; authkeeper \
                 reauthorize {name} signs in again"
            ),
        ),
        ConnectError::SameKey(_) => own(
            Exit::Usage,
            "make a new key at the provider, and give that one",
        ),
        ConnectError::NoSignIn(name) => (
            Exit::Usage,
            format!("authkeeper rotate {name} puts a new key in its place"),
        ),
        ConnectError::NoClientSecret(name) => (
            Exit::Usage,
            format!("authkeeper status {name} --json shows how it was granted"),
        ),
        ConnectError::Overtaken(_) => own(
            Exit::Unavailable,
            "look at authkeeper status, then try again",
        ),
        _ => own(Exit::Bug, REPORT),
    }
}

/// What to do about a refusal, by what the provider says it is about.
fn refused_advice(said: &str) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    let about = |words: &[&str]| {
        let said = said.to_ascii_lowercase();
        words.iter().any(|word| said.contains(word))
    };
    if about(&["invalid_target", "aadsts9010010", "resource"]) {
        own(Exit::Permission, NO_RESOURCE)
    } else if about(&["scope"]) {
        own(Exit::Permission, NO_SUCH_SCOPE)
    } else if about(&["audience"]) {
        let next = "name whom the tokens are for: run the same command with --param audience=URL";
        own(Exit::Permission, next)
    } else if about(&["redirect_uri", "redirect uri", "redirect url", "callback"]) {
        own(Exit::Permission, REDIRECT_URI)
    } else if about(&["unauthorized_client", "invalid_client", "client"]) {
        let next = "check the client at the provider, and --client-id, --client-secret-file and --client-auth; then run \
                    the same command again";
        own(Exit::Permission, next)
    } else {
        let next = "the provider's words say what it wants; --param KEY=VALUE adds a parameter that it asks for, \
                    --token-param one of the token request. Then run the same command again";
        own(Exit::Permission, next)
    }
}

fn redirect_advice(error: &RedirectError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        RedirectError::Denied(_) => own(Exit::Person, ALLOW),
        RedirectError::Refused(said) if is_of_person(said) => own(
            Exit::Person,
            "the provider's own page says more; then run the same command again",
        ),
        RedirectError::Refused(said) => refused_advice(said),
        RedirectError::NoCode => own(
            Exit::Person,
            "run the same command again; what is pasted is the whole address that the browser ended at",
        ),
        _ => own(
            Exit::Data,
            "do not go on: another server may be posing as this one. Check the URL and tell the provider",
        ),
    }
}

/// Codes about the person or the moment, and not about what was asked for (`OpenID` Connect Core §3.1.2.6).
fn is_of_person(said: &str) -> bool {
    let codes = [
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
        "server_error",
        "temporarily_unavailable",
    ];
    codes.iter().any(|code| said.starts_with(code))
}

fn device_advice(error: &DeviceError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        DeviceError::Published(_) => own(Exit::Data, SERVERS_MISTAKE),
        DeviceError::Denied => own(Exit::Person, ALLOW),
        DeviceError::Expired => own(
            Exit::Person,
            "run the same command again: it gives a new code",
        ),
        DeviceError::Refused(_) => own(
            Exit::Permission,
            "switch the device flow on for this client at the provider, or run the same command with --headless in the \
             place of --device",
        ),
        _ => own(Exit::Data, IN_BETWEEN),
    }
}

fn discovery_advice(error: &DiscoveryError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        DiscoveryError::Url(error) => (Exit::Usage, url_advice(error)),
        DiscoveryError::Published(_)
        | DiscoveryError::PublishedUnreachable {
            source: Unconnected::Internal { .. },
            ..
        } => (Exit::Data, SERVERS_MISTAKE.to_owned()),
        DiscoveryError::PublishedUnreachable { .. } => own(
            Exit::Unavailable,
            "try again later; if it stays, the address that the server publishes is wrong: tell the server's operator",
        ),
        DiscoveryError::Wire(error) if is_internal(error) => own(Exit::Data, SERVERS_MISTAKE),
        DiscoveryError::Wire(WireError::Connect(Unconnected::Proxy(_))) => own(
            Exit::Unavailable,
            "check the proxy's address and whether it is reachable from here (authkeeper doctor shows where it is set), then try \
             again",
        ),
        DiscoveryError::Wire(WireError::Connect(_)) => own(Exit::Unavailable, CHECK_ADDRESS),
        DiscoveryError::Wire(WireError::Exchange {
            source: ExchangeError::TooLarge { .. },
            ..
        }) => own(
            Exit::Data,
            "the server's own metadata is wrong; check the URL, or tell the server's operator",
        ),
        DiscoveryError::Wire(_) | DiscoveryError::Unavailable { .. } => {
            own(Exit::Unavailable, "try again later")
        }
        DiscoveryError::NoOAuth { .. } => own(
            Exit::Data,
            "check the path (often /mcp); if it has an authorization server that it does not name, run the same command with \
             --issuer URL; if it wants a client certificate, with --client-cert FILE",
        ),
        DiscoveryError::Redirected { to, url } => (
            Exit::Data,
            format!("if you trust it, run the same command with {to} in the place of {url}"),
        ),
        DiscoveryError::MetadataRedirected { to, .. } => metadata_redirect_advice(to),
        DiscoveryError::IssuerElsewhere { claimed, .. } => (
            Exit::Data,
            format!(
                "if that is who signs people in there, run the same command with --issuer {claimed}"
            ),
        ),
        DiscoveryError::IssuerMismatch {
            claimed, expected, ..
        } if differ_by_a_slash(claimed, expected) => (
            Exit::Data,
            format!(
                "an issuer counts to the last character, and this server spells it otherwise: run the same command with \
                 --issuer {claimed}"
            ),
        ),
        DiscoveryError::ResourceMismatch { .. } | DiscoveryError::IssuerMismatch { .. } => own(
            Exit::Data,
            "do not go on: this is how one server poses as another. Check the URL, or tell the server's operator",
        ),
        error => metadata_advice(error),
    }
}

/// What to do about an authorization server that publishes what can't be used.
fn metadata_advice(error: &DiscoveryError) -> (Exit, String) {
    let own = |exit, next: &str| (exit, next.to_owned());
    match error {
        DiscoveryError::NoEndpoint { endpoint, .. }
            if *endpoint == "device_authorization_endpoint" =>
        {
            own(
                Exit::Data,
                "run the same command with --headless in the place of --device",
            )
        }
        DiscoveryError::NoEndpoint { endpoint, .. } if *endpoint == "authorization_endpoint" => {
            own(
                Exit::Data,
                "nobody signs in in a browser there: run the same command with --device, or with --grant client_credentials for \
             a client of its own",
            )
        }
        DiscoveryError::NoMetadata { .. } => own(
            Exit::Data,
            "check the issuer: it is what stands before /.well-known/ in the address of its metadata; --issuer names \
             another one",
        ),
        DiscoveryError::NoPkce { offered, .. } if offered == "none" => own(
            Exit::Permission,
            "ask its operator, or look in its documentation, whether it takes PKCE with S256: many do and do not publish \
             it. Then run the same command with --pkce-unadvertised",
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

/// Metadata that lies on another origin belongs to another issuer, which a person may know.
fn metadata_redirect_advice(to: &str) -> (Exit, String) {
    let issuer = issuer_of_place(to);
    let next = if issuer == to {
        "the mistake is the server's: metadata that lies elsewhere is nobody's. If its documentation names its \
         authorization server, run the same command with --issuer URL"
            .to_owned()
    } else {
        format!("if that is who signs people in there, run the same command with --issuer {issuer}")
    };
    (Exit::Data, next)
}

/// One has a slash at its end that the other has not. A server that poses as another has another host or path.
fn differ_by_a_slash(one: &str, other: &str) -> bool {
    one.strip_suffix('/') == Some(other) || other.strip_suffix('/') == Some(one)
}

fn registration_advice(error: &RegistrationError) -> (Exit, String) {
    match error {
        RegistrationError::Impossible { .. } => (
            Exit::Config,
            REGISTER.to_owned(),
        ),
        RegistrationError::Document { .. } => (
            Exit::Usage,
            "give --client-metadata-url (or client_metadata_url in the settings) as it stands in the document: https://…, \
             with a path"
                .to_owned(),
        ),
        RegistrationError::Published(_) => (Exit::Data, SERVERS_MISTAKE.to_owned()),
        RegistrationError::Wire(error) if is_internal(error) => {
            (Exit::Data, SERVERS_MISTAKE.to_owned())
        }
        RegistrationError::Refused { .. } => (
            Exit::Permission,
            REGISTER.to_owned(),
        ),
        _ => (Exit::Unavailable, "check the network, then try again".to_owned()),
    }
}

#[cfg(test)]
mod next_steps;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_server_that_leads_inside_is_at_fault_itself() {
        let internal = || {
            WireError::Connect(Unconnected::Internal {
                host: "as.example".to_owned(),
                what: "127.0.0.1".to_owned(),
            })
        };
        let all = [
            connect_advice(&ConnectError::Wire(internal())),
            connect_advice(&DiscoveryError::Wire(internal()).into()),
            connect_advice(&RegistrationError::Wire(internal()).into()),
        ];
        for (exit, next) in all {
            assert_eq!((exit, next.as_str()), (Exit::Data, SERVERS_MISTAKE));
        }
    }

    /// `reauthorize` has no flag for a URL or a client.
    #[test]
    fn a_sign_in_in_place_is_not_told_to_correct_what_was_typed_long_ago() {
        let name = ConnectionName::parse("job").unwrap();
        let again = |next: &str| {
            let failure = Failure::new(Exit::Config, "it failed", next);
            failure.again(&name, "https://mcp.example/mcp").next
        };
        let client = again(CHECK_CLIENT);
        assert!(
            client.contains("authkeeper rotate job --client-secret-file FILE"),
            "{client}"
        );
        assert!(!client.contains("--client-id"), "{client}");
        let address = again(CHECK_ADDRESS);
        assert!(!address.contains("URL"), "{address}");
        assert_eq!(
            again("run the same command with --issuer URL"),
            "run authkeeper connect job https://mcp.example/mcp --issuer URL"
        );
    }

    #[test]
    fn an_issuer_that_lacks_a_slash_is_not_taken_for_a_deceiver() {
        let advice = |claimed: &str, expected: &str| {
            let error = DiscoveryError::IssuerMismatch {
                url: "https://as.example/.well-known/openid-configuration".to_owned(),
                claimed: claimed.to_owned(),
                expected: expected.to_owned(),
            };
            discovery_advice(&error)
        };
        for (claimed, expected) in [
            ("https://as.example", "https://as.example/"),
            ("https://as.example/", "https://as.example"),
        ] {
            let (exit, next) = advice(claimed, expected);
            assert_eq!(exit, Exit::Data);
            assert!(next.ends_with(&format!("--issuer {claimed}")), "{next}");
        }
        for claimed in [
            "https://as.example//",
            "https://as.example/x",
            "https://as.test",
        ] {
            let (_, next) = advice(claimed, "https://as.example");
            assert!(next.contains("poses as another"), "{claimed}: {next}");
        }
    }
}
