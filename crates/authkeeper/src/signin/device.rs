//! Signing in on another device (RFC 8628).

use std::time::Duration;

use super::{
    ConnectError, ConnectRequest, Errand, Invitation, Person, Wanted,
    pending::{Begun, Memory, asked},
};
use crate::{
    http::HttpUrl,
    model::{ClientRegistration, Grant, GrantType, Moment, Resource},
    oauth::{
        device::{
            DeviceError, DeviceSignIn, Poll, device_authorization_request,
            read_device_authorization, read_poll, unanswered,
        },
        discovery::{self, Discovered},
        register::Purpose,
        token::device_request,
    },
    runtime::Runtime,
};

impl Runtime {
    pub(super) async fn connect_device(
        &self,
        request: ConnectRequest,
        person: &dyn Person,
    ) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let metadata = &found.provider.metadata;
        // Looked for before a client is registered for it.
        discovery::device_endpoint(metadata)?;
        let token = discovery::token_endpoint(metadata)?;
        let wanted = Wanted::of_a_person(&request, &found);
        let asked = asked(&request, &found, &wanted);
        let recalled = self.recall(&request, &asked).await?;
        let mut client = self.client(&request, &found, Purpose::Device).await?;
        // A code belongs to the client that asked for it.
        let recalled = recalled.filter(|memory| memory.client_id == client.client_id);
        let recalled = recalled.and_then(Memory::device);
        let resumed = recalled.is_some();
        let device = match recalled {
            Some(device) => device,
            None => {
                self.start_device((&request, &asked), &found, (&mut client, &wanted))
                    .await?
            }
        };
        let left = Duration::try_from(device.ends.duration_since(self.now())).unwrap_or_default();
        person.invite(&Invitation {
            issuer: found.provider.issuer.clone(),
            patience: left.min(request.patience),
            resumed,
            task: Errand::Enter {
                user_code: device.user_code.clone(),
                verification_uri: device.verification_uri.clone(),
                verification_uri_complete: device.verification_uri_complete.clone(),
            },
        });
        let resource = wanted.resource.as_ref();
        let polled = self.poll((&token, &found), &mut client, &device, resource);
        let answered = tokio::time::timeout(request.patience, polled).await;
        let answered = answered.map_err(|_elapsed| ConnectError::StillOpen(request.patience))?;
        let tokens = self
            .tokens((&client, request.provider.as_deref()), answered?)
            .await?;
        let outcome = (GrantType::DeviceCode, wanted, tokens);
        self.adopt(request, found, client, outcome).await
    }

    async fn start_device(
        &self,
        (request, asked): (&ConnectRequest, &serde_json::Value),
        found: &Discovered,
        (client, wanted): (&mut ClientRegistration, &Wanted),
    ) -> Result<DeviceSignIn, ConnectError> {
        let endpoint = discovery::device_endpoint(&found.provider.metadata)?;
        let (scope, resource) = (wanted.scope.as_ref(), wanted.resource.as_ref());
        let answer = self
            .ask((&endpoint, found), client, |client| {
                device_authorization_request(client, scope, resource)
            })
            .await?;
        self.check_answer(client, &answer).await?;
        let (reply, issued) = answer;
        let device = read_device_authorization(&reply, issued.wall)?;
        // The person's code is good for as long as this is kept, whatever becomes of this process.
        self.remember(asked, (request, client), Begun::Device(device.clone()))
            .await?;
        Ok(device)
    }

    /// Asks until somebody has signed in. A poll without an answer is asked again: the device code is good until it is
    /// exchanged.
    async fn poll(
        &self,
        at: (&HttpUrl, &Discovered),
        client: &mut ClientRegistration,
        device: &DeviceSignIn,
        resource: Option<&Resource>,
    ) -> Result<(crate::http::Reply, Moment), ConnectError> {
        let mut wait = device.interval;
        loop {
            self.tools.seams.clock.sleep(wait).await;
            if device.ends <= self.now() {
                return Err(DeviceError::Expired.into());
            }
            let asked = self
                .ask(at, client, |client| {
                    device_request(client, &device.device_code, resource)
                })
                .await;
            let (reply, issued) = match asked {
                Ok(answer) => answer,
                Err(ConnectError::Wire(error)) => {
                    tracing::warn!(%error, "a poll got no answer");
                    wait = unanswered(wait);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match read_poll(&reply, wait, issued.wall) {
                Poll::Again(next) => wait = next,
                Poll::Over(_) => return Ok((reply, issued)),
                Poll::Failed(error) => return Err(error.into()),
            }
        }
    }
}
