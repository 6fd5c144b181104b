//! Signing in on another device (RFC 8628).

use std::time::Duration;

use super::{ConnectError, ConnectRequest, Errand, Invitation, Person, Wanted, pending::Begun};
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
        let token = discovery::token_endpoint(metadata)?;
        let wanted = Wanted::of_a_person(&request, &found);
        let recalled = self.recall(&request, &found).await?;
        let recalled = recalled.and_then(|(memory, client)| Some((client, memory.device()?)));
        let resumed = recalled.is_some();
        let (mut client, device) = match recalled {
            Some(recalled) => recalled,
            None => self.start_device(&request, &found, &wanted).await?,
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
        if answered.is_err() {
            self.tools.store.drop_pending(&request.name).await?;
        }
        let tokens = self
            .tokens((&client, request.provider.as_deref()), answered?)
            .await?;
        let outcome = (GrantType::DeviceCode, wanted, tokens);
        self.adopt(request, found, client, outcome).await
    }

    async fn start_device(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
        wanted: &Wanted,
    ) -> Result<(ClientRegistration, DeviceSignIn), ConnectError> {
        let endpoint = discovery::device_endpoint(&found.provider.metadata)?;
        let mut client = self.client(request, found, Purpose::Device).await?;
        let (scope, resource) = (wanted.scope.as_ref(), wanted.resource.as_ref());
        let (reply, issued) = self
            .ask((&endpoint, found), &mut client, |client| {
                device_authorization_request(client, scope, resource)
            })
            .await?;
        let device = read_device_authorization(&reply, issued.wall)?;
        // The person's code is good for as long as this is kept, whatever becomes of this process.
        self.remember(request, &client, Begun::Device(device.clone()))
            .await?;
        Ok((client, device))
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
