//! What must be remembered while a person is at a sign-in. Kept sealed, so that a sign-in that is cut off goes on where it
//! was: the code on somebody's phone, or the URL in somebody's browser, stays good.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AccessRequest, ConnectError, ConnectRequest};
use crate::{
    model::{ClientId, ClientRegistration, ConnectionName, Resource, Scope},
    oauth::{authorize::Begun, device::DeviceSignIn, discovery::Discovered},
    runtime::Runtime,
    secret::SecretString,
    store::PendingSignIn,
};

/// How long a URL in somebody's browser is waited for.
const HEADLESS_ENDS: Duration = Duration::from_mins(30);
/// How long a refresh token without a grant is kept: time to fix the cause of the authorization server's refusal.
const VOUCHED_ENDS: Duration = Duration::from_hours(7 * 24);

/// A sign-in under way.
pub(super) struct PendingState {
    /// What was asked for: a sign-in for anything else is another one.
    asked: Value,
    pub(super) client_id: ClientId,
    pub(super) begun: PendingStep,
}

/// How far it is.
pub(super) enum PendingStep {
    /// A person has a URL open.
    Headless {
        begun: Begun,
        redirect_uri: String,
        /// The key that the URL names.
        proof_key: Option<SecretString>,
    },
    /// A person has a code.
    Device(DeviceSignIn),
    /// An identity provider has answered with a new refresh token, and there is no grant yet that could hold it.
    IdpGrant {
        instead_of: SecretString,
        refresh_token: SecretString,
    },
}

impl Runtime {
    /// Keeps a sign-in before a person is sent away.
    pub(super) async fn remember(
        &self,
        asked: &Value,
        (request, client): (&ConnectRequest, &ClientRegistration),
        begun: PendingStep,
    ) -> Result<(), ConnectError> {
        let (name, client) = (request.name.clone(), client.client_id.clone());
        self.remember_at(name, (asked, client), begun).await
    }

    /// The same for what belongs to no connection yet.
    pub(super) async fn remember_at(
        &self,
        name: ConnectionName,
        (asked, client_id): (&Value, ClientId),
        begun: PendingStep,
    ) -> Result<(), ConnectError> {
        let now = self.now();
        let after = |span: Duration| now.saturating_add(span).unwrap_or(now);
        let ends = match &begun {
            PendingStep::Device(sign_in) => sign_in.ends,
            PendingStep::Headless { .. } => after(HEADLESS_ENDS),
            PendingStep::IdpGrant { .. } => after(VOUCHED_ENDS),
        };
        let memory = PendingState {
            asked: asked.clone(),
            client_id,
            begun,
        };
        let pending = PendingSignIn {
            name,
            memory: memory.write(),
            ends,
        };
        Ok(self.context.store.keep_pending(&pending, now).await?)
    }

    /// The sign-in that was cut off, if it asked for the same and is not over yet.
    pub(super) async fn recall(
        &self,
        request: &ConnectRequest,
        asked: &Value,
    ) -> Result<Option<PendingState>, ConnectError> {
        self.recall_at(&request.name, asked).await
    }

    /// The same for what belongs to no connection yet.
    pub(super) async fn recall_at(
        &self,
        name: &ConnectionName,
        asked: &Value,
    ) -> Result<Option<PendingState>, ConnectError> {
        let pending = self.context.store.pending(name).await?;
        let pending = pending.filter(|pending| self.now() < pending.ends);
        let memory = pending.and_then(|pending| PendingState::read(&pending.memory));
        Ok(memory.filter(|memory| memory.asked == *asked))
    }
}

/// Everything that makes one sign-in another than the next: a person allows this and nothing else.
pub(super) fn asked(request: &ConnectRequest, found: &Discovered, wanted: &AccessRequest) -> Value {
    json!({
        "url": request.url.as_str(),
        "principal": request.principal.as_str(),
        "issuer": found.provider.issuer.as_str(),
        "client": request.client.client_id.as_ref().map(ClientId::as_str),
        "redirect_uri": request.client.redirect_uri,
        "scope": wanted.scope.as_ref().map(Scope::as_str),
        "resource": wanted.resource.as_ref().map(Resource::as_str),
        "extra": request.extra,
        "authorization": request.requests.authorization,
        "provider": request.provider,
        "dpop": request.dpop.as_str(),
    })
}

/// A URL that a person has open.
pub(super) struct Headless {
    pub(super) client_id: ClientId,
    pub(super) begun: Begun,
    pub(super) redirect_uri: String,
    pub(super) proof_key: Option<SecretString>,
}

impl PendingState {
    /// The sign-in by a pasted URL, if it is one.
    pub(super) fn headless(self) -> Option<Headless> {
        match self.begun {
            PendingStep::Headless {
                begun,
                redirect_uri,
                proof_key,
            } => Some(Headless {
                client_id: self.client_id,
                begun,
                redirect_uri,
                proof_key,
            }),
            PendingStep::Device(_) | PendingStep::IdpGrant { .. } => None,
        }
    }

    /// The sign-in on another device, if it is one.
    pub(super) fn device(self) -> Option<DeviceSignIn> {
        match self.begun {
            PendingStep::Device(device) => Some(device),
            PendingStep::Headless { .. } | PendingStep::IdpGrant { .. } => None,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it is written into one secret, which is sealed"
    )]
    fn write(&self) -> SecretString {
        let begun = match &self.begun {
            PendingStep::Headless {
                begun,
                redirect_uri,
                proof_key,
            } => json!({
                "way": "headless", "state": begun.state.expose(),
                "verifier": begun.verifier.expose(), "nonce": begun.nonce.expose(),
                "redirect_uri": redirect_uri, "proof_key": proof_key.as_ref().map(SecretString::expose),
            }),
            PendingStep::Device(device) => json!({
                "way": "device", "device_code": device.device_code.expose(), "user_code": device.user_code,
                "verification_uri": device.verification_uri, "complete": device.verification_uri_complete,
                "interval": device.interval.as_secs(), "ends": device.ends,
            }),
            PendingStep::IdpGrant {
                instead_of,
                refresh_token,
            } => json!({
                "way": "vouched", "instead_of": instead_of.expose(), "refresh_token": refresh_token.expose(),
            }),
        };
        let memory = json!({
            "asked": self.asked, "client_id": self.client_id.as_str(), "begun": begun,
        });
        memory.to_string().into()
    }

    #[expect(clippy::disallowed_methods, reason = "it is read back")]
    fn read(secret: &SecretString) -> Option<Self> {
        let whole: Value = serde_json::from_str(secret.expose()).ok()?;
        let begun = whole.get("begun")?;
        let text = |from: &Value, key: &str| from.get(key)?.as_str().map(str::to_owned);
        let part = |key: &str| text(begun, key);
        let begun = match part("way")?.as_str() {
            "headless" => PendingStep::Headless {
                begun: Begun {
                    state: part("state")?.into(),
                    verifier: part("verifier")?.into(),
                    // One that an earlier version began has none, and none was sent.
                    nonce: part("nonce").unwrap_or_default().into(),
                },
                redirect_uri: part("redirect_uri")?,
                proof_key: part("proof_key").map(Into::into),
            },
            "vouched" => PendingStep::IdpGrant {
                instead_of: part("instead_of")?.into(),
                refresh_token: part("refresh_token")?.into(),
            },
            _ => PendingStep::Device(DeviceSignIn {
                device_code: part("device_code")?.into(),
                user_code: part("user_code")?,
                verification_uri: part("verification_uri")?,
                verification_uri_complete: part("complete"),
                interval: Duration::from_secs(begun.get("interval")?.as_u64()?),
                ends: part("ends")?.parse::<Timestamp>().ok()?,
            }),
        };
        Some(Self {
            asked: whole.get("asked")?.clone(),
            client_id: ClientId::new(text(&whole, "client_id")?),
            begun,
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests compare what came back"
)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_reads_back_what_it_wrote() {
        let memory = |begun| PendingState {
            asked: json!({"url": "https://mcp.example/"}),
            client_id: ClientId::new("c"),
            begun,
        };
        let device = memory(PendingStep::Device(DeviceSignIn {
            device_code: "dc".to_owned().into(),
            user_code: "AB".to_owned(),
            verification_uri: "https://as.example/device".to_owned(),
            verification_uri_complete: None,
            interval: Duration::from_secs(7),
            ends: Timestamp::from_second(99).unwrap(),
        }));
        let back = PendingState::read(&device.write()).unwrap();
        let PendingStep::Device(read) = back.begun else {
            panic!("another way")
        };
        assert_eq!(
            (read.device_code.expose().as_str(), read.user_code.as_str()),
            ("dc", "AB")
        );
        assert_eq!((read.interval.as_secs(), read.ends.as_second()), (7, 99));
        let headless = memory(PendingStep::Headless {
            begun: Begun {
                state: "s".to_owned().into(),
                verifier: "v".to_owned().into(),
                nonce: "n".to_owned().into(),
            },
            redirect_uri: "http://127.0.0.1:1/callback".to_owned(),
            proof_key: Some("k".to_owned().into()),
        });
        let back = PendingState::read(&headless.write()).unwrap();
        assert!(
            matches!(back.begun, PendingStep::Headless { begun, proof_key: Some(key), .. }
            if begun.verifier.expose() == "v" && begun.nonce.expose() == "n" && key.expose() == "k")
        );
        assert!(PendingState::read(&"{}".to_owned().into()).is_none());
    }
}
