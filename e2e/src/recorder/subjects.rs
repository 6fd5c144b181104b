//! The servers that are compared: three real ones, and the sandbox in the role of each.

use std::time::Duration;

use super::subject::{Access, Auth, Client, Feature, Knob, Subject};
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
