//! What must be remembered while a person is at a sign-in. Kept sealed, so that a sign-in that is cut off goes on where it
//! was: the code on somebody's phone, or the URL in somebody's browser, stays good.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ConnectError, ConnectRequest};
use crate::{
    model::{ClientId, ClientRegistration},
    oauth::{device::DeviceSignIn, discovery::Discovered},
    runtime::Runtime,
    secret::SecretString,
    store::PendingSignIn,
};

/// How long a URL in somebody's browser is waited for.
const HEADLESS_ENDS: Duration = Duration::from_mins(30);

/// A sign-in under way.
pub(super) struct Memory {
    url: String,
    issuer: String,
    client_id: ClientId,
    pub(super) begun: Begun,
}

/// How far it is.
pub(super) enum Begun {
    /// A person has a URL open.
    Headless {
        state: SecretString,
        verifier: SecretString,
        redirect_uri: String,
    },
    /// A person has a code.
    Device(DeviceSignIn),
}

impl Runtime {
    /// Keeps a sign-in before a person is sent away.
    pub(super) async fn remember(
        &self,
        request: &ConnectRequest,
        client: &ClientRegistration,
        begun: Begun,
    ) -> Result<(), ConnectError> {
        let now = self.now();
        let ends = match &begun {
            Begun::Device(sign_in) => sign_in.ends,
            Begun::Headless { .. } => now.saturating_add(HEADLESS_ENDS).unwrap_or(now),
        };
        let memory = Memory {
            url: request.url.as_str().to_owned(),
            issuer: client.issuer.as_str().to_owned(),
            client_id: client.client_id.clone(),
            begun,
        };
        let pending = PendingSignIn {
            name: request.name.clone(),
            memory: memory.write(),
            ends,
        };
        Ok(self.tools.store.keep_pending(&pending).await?)
    }

    /// The sign-in that was cut off, if it was this one: same name, same URL, same issuer, same client, not over yet.
    pub(super) async fn recall(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
    ) -> Result<Option<(Memory, ClientRegistration)>, ConnectError> {
        let Some(pending) = self.tools.store.pending(&request.name).await? else {
            return Ok(None);
        };
        let same = |memory: &Memory| {
            memory.url == request.url.as_str()
                && memory.issuer == found.provider.issuer.as_str()
                && request
                    .client
                    .client_id
                    .as_ref()
                    .is_none_or(|id| *id == memory.client_id)
                && self.now() < pending.ends
        };
        let Some(memory) = Memory::read(&pending.memory).filter(same) else {
            return Ok(None);
        };
        let issuer = &found.provider.issuer;
        let store = &self.tools.store;
        let client = store.registration(issuer, &memory.client_id).await?;
        Ok(client.map(|client| (memory, client)))
    }
}

impl Memory {
    /// The sign-in on another device, if it is one.
    pub(super) fn device(self) -> Option<DeviceSignIn> {
        match self.begun {
            Begun::Device(device) => Some(device),
            Begun::Headless { .. } => None,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it is written into one secret, which is sealed"
    )]
    fn write(&self) -> SecretString {
        let begun = match &self.begun {
            Begun::Headless {
                state,
                verifier,
                redirect_uri,
            } => json!({
                "way": "headless", "state": state.expose(), "verifier": verifier.expose(),
                "redirect_uri": redirect_uri,
            }),
            Begun::Device(device) => json!({
                "way": "device", "device_code": device.device_code.expose(), "user_code": device.user_code,
                "verification_uri": device.verification_uri, "complete": device.verification_uri_complete,
                "interval": device.interval.as_secs(), "ends": device.ends,
            }),
        };
        let memory = json!({
            "url": self.url, "issuer": self.issuer, "client_id": self.client_id.as_str(), "begun": begun,
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
            "headless" => Begun::Headless {
                state: part("state")?.into(),
                verifier: part("verifier")?.into(),
                redirect_uri: part("redirect_uri")?,
            },
            _ => Begun::Device(DeviceSignIn {
                device_code: part("device_code")?.into(),
                user_code: part("user_code")?,
                verification_uri: part("verification_uri")?,
                verification_uri_complete: part("complete"),
                interval: Duration::from_secs(begun.get("interval")?.as_u64()?),
                ends: part("ends")?.parse::<Timestamp>().ok()?,
            }),
        };
        Some(Self {
            url: text(&whole, "url")?,
            issuer: text(&whole, "issuer")?,
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
        let memory = |begun| Memory {
            url: "https://mcp.example/".to_owned(),
            issuer: "https://as.example".to_owned(),
            client_id: ClientId::new("c"),
            begun,
        };
        let device = memory(Begun::Device(DeviceSignIn {
            device_code: "dc".to_owned().into(),
            user_code: "AB".to_owned(),
            verification_uri: "https://as.example/device".to_owned(),
            verification_uri_complete: None,
            interval: Duration::from_secs(7),
            ends: Timestamp::from_second(99).unwrap(),
        }));
        let back = Memory::read(&device.write()).unwrap();
        let Begun::Device(read) = back.begun else {
            panic!("another way")
        };
        assert_eq!(
            (read.device_code.expose().as_str(), read.user_code.as_str()),
            ("dc", "AB")
        );
        assert_eq!((read.interval.as_secs(), read.ends.as_second()), (7, 99));
        let headless = memory(Begun::Headless {
            state: "s".to_owned().into(),
            verifier: "v".to_owned().into(),
            redirect_uri: "http://127.0.0.1:1/callback".to_owned(),
        });
        let back = Memory::read(&headless.write()).unwrap();
        assert!(matches!(back.begun, Begun::Headless { verifier, .. } if verifier.expose() == "v"));
        assert!(Memory::read(&"{}".to_owned().into()).is_none());
    }
}
