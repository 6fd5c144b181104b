//! Signing in on another device (RFC 8628).

use std::time::Duration;

use jiff::Timestamp;

use super::{
    AccessRequest, ConnectError, ConnectRequest, PromptAction, Prompter, SignInPrompt,
    pending::{PendingState, PendingStep, asked},
};
use crate::{
    http::{HttpUrl, Reply},
    model::{ClientRegistration, Grant, GrantType, Moment},
    oauth::{
        device::{
            DeviceError, DeviceSignIn, Pace, Poll, device_authorization_request,
            read_device_authorization, read_poll, said_meanwhile,
        },
        discovery::{self, Discovered},
        grant::device_request,
        register::Purpose,
    },
    runtime::Runtime,
    secret::SecretString,
    signin::{adopt::SignInOutcome, error::listed, request_credentials::RequestCredentials},
};

impl Runtime {
    pub(super) async fn connect_device(
        &self,
        request: ConnectRequest,
        person: &dyn Prompter,
    ) -> Result<Grant, ConnectError> {
        let found = self.discover(&request).await?;
        let metadata = request.published(&found);
        // Looked for before a client is registered for it.
        discovery::device_endpoint(&metadata)?;
        let token = discovery::token_endpoint(&metadata)?;
        drop(metadata);
        let wanted = AccessRequest::of_a_person(&request, &found);
        let with = self.with(&request, &found)?;
        let asked = asked(&request, &found, &wanted);
        let recalled = self.recall(&request, &asked).await?;
        let purpose = Purpose::of(GrantType::DeviceCode);
        let mut client = self
            .client(&request, &found, (purpose, wanted.scope.as_ref()))
            .await?;
        // A code belongs to the client that asked for it.
        let recalled = recalled.filter(|memory| memory.client_id == client.client_id);
        let recalled = recalled.and_then(PendingState::device);
        let resumed = recalled.is_some();
        let device = match recalled {
            Some(device) => device,
            None => {
                self.start_device((&request, &asked), (&found, &with), (&mut client, &wanted))
                    .await?
            }
        };
        let left = Duration::try_from(device.ends.duration_since(self.now())).unwrap_or_default();
        person.invite(&SignInPrompt {
            issuer: found.provider.issuer.clone(),
            patience: left.min(request.patience),
            resumed,
            unasked: wanted.unasked(&found),
            task: PromptAction::Enter {
                user_code: device.user_code.clone(),
                verification_uri: device.verification_uri.clone(),
                verification_uri_complete: device.verification_uri_complete.clone(),
            },
        });
        let patience = request.patience;
        let asking = DevicePoll {
            runtime: self.clone(),
            token,
            request,
            found,
            wanted,
            with,
        };
        let listed = listed(&asking.found);
        let polled = Box::pin(asking.poll(client, (&device, person)));
        let answered = tokio::time::timeout(patience, polled).await;
        let done = answered.map_err(|_elapsed| ConnectError::StillOpen(patience))?;
        done.map_err(|error| error.with_scopes(listed))
    }

    async fn start_device(
        &self,
        (request, asked): (&ConnectRequest, &serde_json::Value),
        (found, with): (&Discovered, &RequestCredentials),
        (client, wanted): (&mut ClientRegistration, &AccessRequest),
    ) -> Result<DeviceSignIn, ConnectError> {
        let endpoint = discovery::device_endpoint(&request.published(found))?;
        let (scope, resource) = (wanted.scope.as_ref(), wanted.resource.as_ref());
        let answer = self
            .ask((&endpoint, found, with), client, |client| {
                let client = client.clone();
                let client = client.with_parameters(request.requests.authorization.clone());
                Ok(device_authorization_request(&client, scope, resource))
            })
            .await?;
        self.check_answer(client, &answer).await?;
        let (reply, issued) = answer;
        let device = read_device_authorization(&client.issuer, &reply, issued.wall)?;
        // The person's code is good for as long as this is kept, whatever becomes of this process.
        self.remember(
            asked,
            (request, client),
            PendingStep::Device(device.clone()),
        )
        .await?;
        Ok(device)
    }
}

/// What is asked for with a device code.
#[derive(Clone)]
struct DevicePoll {
    runtime: Runtime,
    token: HttpUrl,
    request: ConnectRequest,
    found: Discovered,
    wanted: AccessRequest,
    with: RequestCredentials,
}

/// What came of one poll; the client as it is authenticated since, and what the server said to the person.
enum PollResult {
    Again(Pace, Box<ClientRegistration>, Option<String>),
    Done(Box<Grant>),
}

impl DevicePoll {
    /// Polls until the person has signed in. Any reply may hold the new grant, so a poll is never cancelled.
    async fn poll(
        &self,
        mut client: ClientRegistration,
        (device, person): (&DeviceSignIn, &dyn Prompter),
    ) -> Result<Grant, ConnectError> {
        let mut pace = Pace::every(device.interval);
        let mut last = None;
        loop {
            self.wait(pace.wait, device.ends).await;
            if device.ends <= self.runtime.now() {
                return Err(DeviceError::Expired.into());
            }
            let code = device.device_code.clone();
            let once = self.clone().once(client, code, pace.interval);
            match self.runtime.land(Box::pin(once)).await? {
                PollResult::Again(next, same, said) => {
                    (pace, client) = (next, *same);
                    if let Some(said) = said.filter(|said| last.as_ref() != Some(said)) {
                        person.hear(&said);
                        last = Some(said);
                    }
                }
                PollResult::Done(grant) => return Ok(*grant),
            }
        }
    }

    /// Waits this long, or until the code ends. One sleep is capped.
    async fn wait(&self, wait: Duration, ends: Timestamp) {
        let clock = &self.runtime.context.seams.clock;
        let until = self.runtime.now().saturating_add(wait);
        let until = until.unwrap_or(Timestamp::MAX).min(ends);
        let left = || Duration::try_from(until.duration_since(self.runtime.now()));
        while let Some(left) = left().ok().filter(|left| !left.is_zero()) {
            clock.sleep(left).await;
        }
    }

    /// A poll without an answer is asked again: the device code is good until it is exchanged.
    async fn once(
        self,
        mut client: ClientRegistration,
        code: SecretString,
        interval: Duration,
    ) -> Result<PollResult, ConnectError> {
        let resource = self.wanted.resource.as_ref();
        let asked = self
            .runtime
            .ask(
                (&self.token, &self.found, &self.with),
                &mut client,
                |client| {
                    let client = client.clone();
                    let client = client.with_parameters(self.request.requests.token.clone());
                    Ok(device_request(&client, &code, resource))
                },
            )
            .await;
        let (reply, issued) = match asked {
            Ok(answer) => answer,
            Err(ConnectError::Wire(error)) => {
                tracing::warn!(%error, "a poll got no answer");
                return Ok(PollResult::Again(
                    Pace::unanswered(interval),
                    Box::new(client),
                    Some(error.to_string()),
                ));
            }
            Err(error) => return Err(error),
        };
        match read_poll(&reply, interval, issued.wall) {
            Poll::Again(next) => {
                let said = said_meanwhile(&reply);
                Ok(PollResult::Again(next, Box::new(client), said))
            }
            Poll::Over(_) => {
                let grant = Box::pin(self.adopt(client, (reply, issued))).await?;
                Ok(PollResult::Done(Box::new(grant)))
            }
            Poll::Failed(error) => Err(error.into()),
        }
    }

    async fn adopt(
        self,
        client: ClientRegistration,
        answered: (Reply, Moment),
    ) -> Result<Grant, ConnectError> {
        let provider = self.request.provider.as_deref();
        let by = (&client, provider, &self.with);
        let tokens = self.runtime.tokens(by, answered).await?;
        let outcome = SignInOutcome {
            grant_material: self.with.grant_material(&self.request, &tokens),
            grant_type: GrantType::DeviceCode,
            wanted: self.wanted,
            tokens,
        };
        self.runtime
            .adopt(self.request, self.found, client, outcome)
            .await
    }
}
