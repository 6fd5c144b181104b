//! The servers that are compared: three real ones, and the sandbox in the role of each.

use std::time::Duration;

use serde_json::json;

use super::cases::DEVICE_GRANT;
use super::subject::{Access, Auth, Client, Feature, Knob, Subject};
use crate::sandbox::Running;
use crate::servers::Server;

impl<'a> Subject<'a> {
    /// oidc-provider. Its `/api` is guarded by a front of ours, its userinfo endpoint by itself.
    pub fn oidc_provider(server: &'a Server) -> Self {
        use Feature as F;
        let path = "/.well-known/openid-configuration";
        let access = plain("api", Some(server.url("/api")), "/api/whoami");
        let mut subject = Self::real("oidc-provider", server, path, access);
        subject.features = vec![
            F::Confidential,
            F::Scopes,
            F::Indicators,
            F::Accounts,
            F::Device,
            F::ClientCredentials,
            F::PrivateKeyJwt,
            F::Introspection,
            F::PushedRequests,
        ];
        subject.refusing = plain("openid", None, "/me");
        subject.scopes = ["openid profile".to_owned(), "openid".to_owned()];
        subject.confidential = Some(basic(server, "conf"));
        subject.service = Some(basic(server, "svc"));
        subject.device = Some(Client::public("device"));
        subject.keyed = Some(subject.register_key());
        subject
    }

    /// django-oauth-toolkit, which was started with this `GRACE`.
    pub fn django(server: &'a Server, grace: Duration) -> Self {
        use Feature as F;
        let path = "/.well-known/oauth-authorization-server/o";
        let access = plain("read", Some(server.url("/api")), "/api/whoami");
        let mut subject = Self::real("django-oauth-toolkit", server, path, access);
        // It has a device endpoint too, which fails with oauthlib 4.0.1.
        subject.features = vec![
            F::Confidential,
            F::Scopes,
            F::Indicators,
            F::Grace,
            F::Accounts,
            F::ClientCredentials,
            F::Introspection,
        ];
        subject.confidential = Some(basic(server, "conf"));
        subject.service = Some(basic(server, "svc"));
        subject.grace = grace;
        subject
    }

    /// `FastMCP`, where every client registers itself.
    pub fn fastmcp(server: &'a Server) -> Self {
        let path = "/.well-known/oauth-authorization-server";
        let mut access = plain("read", Some(server.resource().to_owned()), "/mcp");
        access.mcp = true;
        let mut subject = Self::real("FastMCP", server, path, access);
        subject.features = vec![Feature::Confidential, Feature::Scopes, Feature::Indicators];
        subject.public = subject.register("none");
        subject.confidential = Some(subject.register("client_secret_post"));
        subject
    }

    /// authgent-server, where every client registers itself, by name.
    pub fn authgent(server: &'a Server) -> Self {
        let path = "/.well-known/oauth-authorization-server";
        let access = plain("read", None, "/api");
        let address = (server.port(), server.issuer());
        let mut subject = Self::at("authgent-server", address, path, access);
        let registered = subject.try_register(&json!({
            "client_name": "e2e",
            "redirect_uris": [subject.callback.uri()],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        }));
        let id = registered.json()["client_id"].as_str().map(Client::public);
        subject.public = id.expect("a client id");
        subject
    }

    /// The sandbox, with what the real one offers.
    pub fn sandbox(sandbox: &'a Running, like: &Subject<'_>) -> Self {
        let path = "/.well-known/oauth-authorization-server";
        let home = if like.access.mcp { "/mcp" } else { "/api" };
        let resource = format!("{}{home}", sandbox.url());
        let mut access = plain("read", Some(resource), home);
        access.mcp = like.access.mcp;
        let mut subject = Self::at("the sandbox", (sandbox.port(), sandbox.url()), path, access);
        if like.refusing.path == "/me" {
            subject.refusing = plain("openid", None, "/userinfo");
            subject.scopes = ["openid offline_access".to_owned(), "openid".to_owned()];
        }
        subject.features.clone_from(&like.features);
        if subject.metadata["pushed_authorization_request_endpoint"].is_null() {
            subject
                .features
                .retain(|has| *has != Feature::PushedRequests);
        }
        subject.grace = like.grace;
        subject.turn = Box::new(|knob| turn_sandbox(sandbox, knob));
        subject.register_as(like);
        subject
    }

    /// Registers clients like another's.
    fn register_as(&mut self, like: &Subject<'_>) {
        let method = |client: &Client| match client.auth {
            Auth::None => "none",
            Auth::Basic(_) => "client_secret_basic",
            Auth::Post(_) => "client_secret_post",
        };
        let sign_in = ["authorization_code", "refresh_token"];
        let device = [DEVICE_GRANT, "refresh_token"];
        let register = |client: &Option<Client>, grants: &[&str]| {
            let client = client.as_ref()?;
            Some(self.register_for(method(client), grants))
        };
        let public = self.register("none");
        let confidential = register(&like.confidential, &sign_in);
        let service = register(&like.service, &["client_credentials"]);
        let device = register(&like.device, &device);
        self.keyed = like.keyed.as_ref().map(|_| self.register_key());
        (self.public, self.confidential, self.service, self.device) =
            (public, confidential, service, device);
    }

    fn real(name: &'static str, server: &'a Server, metadata_path: &str, access: Access) -> Self {
        let address = (server.port(), server.issuer());
        let mut subject = Self::at(name, address, metadata_path, access);
        subject.turn = Box::new(|knob| turn(server, knob));
        subject
    }
}

fn plain(scope: &str, indicator: Option<String>, path: &str) -> Access {
    Access {
        scope: scope.to_owned(),
        indicator,
        path: path.to_owned(),
        mcp: false,
    }
}

fn basic(server: &Server, id: &str) -> Client {
    Client::new(id, Auth::Basic(secret_of(server, id)))
}

/// The secret the server gave one of its own clients.
pub fn secret_of(server: &Server, id: &str) -> String {
    let secret = server.ctl("clients")[id]["client_secret"].clone();
    secret.as_str().expect("a secret").to_owned()
}

fn turn(server: &Server, knob: Knob) {
    let operation = match knob {
        Knob::Lifetimes(access, refresh) => format!("set?at={access}&rt={refresh}"),
        Knob::DeviceLifetime(seconds) => format!("set?device={seconds}"),
        Knob::Disabled(true) => "disable?sub=alice".to_owned(),
        Knob::Disabled(false) => "enable?sub=alice".to_owned(),
    };
    let _ = server.ctl(&operation);
}

fn turn_sandbox(sandbox: &Running, knob: Knob) {
    let seconds = |seconds: u32| format!("{seconds}s");
    let (path, body) = match knob {
        Knob::Lifetimes(access, refresh) => (
            "set",
            json!({"ttl": seconds(access), "refresh_ttl": seconds(refresh)}),
        ),
        Knob::DeviceLifetime(life) => ("set", json!({"device_ttl": seconds(life)})),
        Knob::Disabled(true) => ("users/alice/disable", json!({})),
        Knob::Disabled(false) => ("users/alice/enable", json!({})),
    };
    let _ = sandbox.control(path, &body);
}
